"""The SQL of the user directory: one page and its total, by filter, search and order.

Only requested conditions are in a statement, so that each shape has a plan of its own. A prefix search
compares ranges instead of patterns: a pattern that is a parameter cannot use an index. ``admin.service`` has
the sizes of a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.service import User
from authkit_issuer.store.dialect import ESTIMATED_USERS, between
from authkit_issuer.store.predicates import ALLOWED, NOT_BANNED
from authkit_issuer.store.query import Query

Match = Literal["prefix", "substring"]
Sort = Literal["created_at", "last_login", "username", "email"]
Status = Literal["active", "banned", "deleted", "any"]

EXACT_UP_TO = 10_000
"""Up to this many matches the total is exact, beyond it an estimate."""
MAX_SEARCH = 100
"""How many characters of a search are used, except for a whole email address."""
_HIGHEST = "\U0010ffff"

COLUMNS = """
    u.id::text, u.email, u.phone_number, u.username, u.discord_username, u.email_verified, u.phone_verified,
    u.banned_at, u.banned_until, u.ban_reason, u.banned_by::text, u.deleted_at, u.biography,
    u.created_at, u.updated_at, u.last_login,
    array(
        select r.slug from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
        where ur.user_id = u.id and r.deleted_at is null order by r.slug
    ) as roles
"""

_STATUS: dict[str, str] = {
    "": "u.deleted_at is null",
    "active": ALLOWED,
    "banned": f"u.deleted_at is null and not {NOT_BANNED}",
    "deleted": "u.deleted_at is not null",
    "any": "true",
}
_ROLE = """u.id in (select ur.user_id from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
             where r.slug = $1 and r.deleted_at is null)"""
# Each order equals the order of an index, or its exact reverse, nulls and ids included.
_SORT: dict[tuple[str, bool], str] = {
    ("created_at", True): "u.created_at desc, u.id",
    ("created_at", False): "u.created_at, u.id desc",
    ("last_login", True): "u.last_login desc nulls last, u.id",
    ("last_login", False): "u.last_login nulls first, u.id desc",
    ("username", True): "lower(u.username) desc nulls first, u.id desc",
    ("username", False): "lower(u.username), u.id",
    ("email", True): "lower(u.email) desc nulls first, u.id desc",
    ("email", False): "lower(u.email), u.id",
}
_SEARCH: dict[str, str] = {
    "id": "u.id = ${0}::uuid",
    "email": "lower(u.email) = ${0}",
    "phone": "u.phone_number = ${0}",
    "phone_prefix": between("u.phone_number", "${0}", "${1}"),
    "prefix": (
        f"({between('lower(u.email)', '${0}', '${1}')} or {between('lower(u.username)', '${0}', '${1}')})"
    ),
    "substring": """(lower(u.email) like ${0} or lower(u.username) like ${0} or u.phone_number like ${0})""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundUser(User):
    """A row of the directory: the user and the sorted roles."""

    roles: list[str]


class Shape(NamedTuple):
    """The conditions of a statement; there is a small number of shapes."""

    status: str = ""
    with_role: bool = False
    search: str = ""

    def where(self) -> str:
        """Return the condition; its parameters begin at $1: the role, then the search."""
        conditions, number = [_STATUS[self.status]], 1
        if self.with_role:
            conditions.append(_ROLE)
            number += 1
        if self.search:
            conditions.append(_SEARCH[self.search].format(number, number + 1))
        return " and ".join(conditions)

    def parameters(self) -> int:
        """The number of parameters of ``where``."""
        ranged = self.search in {"prefix", "phone_prefix"}
        return int(self.with_role) + (0 if not self.search else 2 if ranged else 1)


def _page(shape: Shape, order: str) -> Query[FoundUser]:
    number = shape.parameters() + 1
    return Query(
        FoundUser,
        f"""
        select {COLUMNS} from profiles.users u where {shape.where()}
        order by {order} limit ${number} offset ${number + 1}
        """,
    )


def _count(shape: Shape) -> Query[int]:
    return Query(
        int,
        f"""
        select count(*)::int from (
            select from profiles.users u where {shape.where()} limit {EXACT_UP_TO + 1}
        ) counted
        """,
    )


SHAPES = tuple(
    Shape(status, with_role, search)
    for status in _STATUS
    for with_role in (False, True)
    for search in ("", *_SEARCH)
)
PAGES = {(shape, order): _page(shape, _SORT[order]) for shape in SHAPES for order in _SORT}
"""One page, by shape and by sort column and direction (True is descending); then limit and offset."""

COUNTS = {shape: _count(shape) for shape in SHAPES}
"""The number of matches, counted up to one more than ``EXACT_UP_TO``."""

SAMPLE = _page(Shape(with_role=True), "random()")
"""Random holders of a role."""

ESTIMATE = Query(
    int,
    f"select greatest(coalesce(({ESTIMATED_USERS}), 0), 0)::bigint",
)


def search_terms(search: str, match: Match) -> tuple[str, tuple[str, ...]]:
    """Return the kind of search for a text, with its parameters.

    An id, a whole email address or a phone number is looked up exactly, everything else by its beginning, or
    anywhere inside with ``match="substring"``.
    """
    whole = search.strip()
    text = whole[:MAX_SEARCH]
    if not text or not identifiers.storable(text):
        return ("", ()) if not text else ("email", ("",))
    if match == "substring":
        return "substring", (f"%{_escaped(text.lower())}%",)
    if identifiers.uuid_or_none(text) is not None:
        return "id", (text.lower(),)
    if text.startswith("+"):
        return "phone_prefix", (text, text + _HIGHEST)
    try:
        return "email", (identifiers.email(whole),)
    except errors.InvalidEmail:
        return "prefix", (text.lower(), text.lower() + _HIGHEST)


def _escaped(text: str) -> str:
    """Escape the wildcards of LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
