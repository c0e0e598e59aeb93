"""Where the tokens of an issuer carry roles, scopes and the like, if not in the usual claims.

``_policy.claim_paths`` follows them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

ClaimPath = tuple[str, ...]
"""The names that lead to a value: of a claim, then of the members of objects below it."""

Names = str | Sequence[str]
"""One claim, or several of them."""

_STEP = re.compile(r'"([^"]+)"|([^."\s]+)')
_URI = r"[A-Za-z][A-Za-z0-9+.-]*://[^\"\s]+"
# What users write themselves at Supabase, Clerk and Auth0: no decision may rest on it.
_WRITTEN_BY_USERS = frozenset({"user_metadata", "raw_user_meta_data", "unsafe_metadata"})
_DISPLAYED = frozenset({"username"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsMapping:
    """The claims of an issuer that hold roles, scopes and the like. A field left out has its usual claims.

    A claim is named by its path: ``realm_access.roles`` is the member ``roles`` of the claim
    ``realm_access``. A name with a dot is quoted, as in ``resource_access."my.app".roles``; a URL such as
    ``https://example.com/roles`` is one name, without quotes. Several claims are a list: the lists of roles,
    scopes, permissions and groups are joined; of every other field the first claim that is present counts.

    Only map claims that the issuer writes itself: a claim that users can edit lets them choose their roles.

    Raises:
        ValueError: A path is malformed, or leads into metadata that users write themselves.
    """

    roles: Names | None = None
    """Global roles. Once mapped, they count in tokens of an organization too. Default ``roles``, of which
    none are global in a token with an ``org``."""
    scopes: Names | None = None
    """Scopes: a list, or a string with blanks between them. Default ``scope``, or else ``scp``."""
    permissions: Names | None = None
    """``Claims.permissions``. Default ``permissions``."""
    groups: Names | None = None
    """``Claims.groups``. Default ``groups``."""
    org: Names | None = None
    """The organization that a token is for. Default ``org``."""
    org_roles: Names | None = None
    """Roles in the organization. Default ``roles``, or none once ``roles`` is mapped."""
    username: Names | None = None
    """``Claims.username``, for display. Default ``username``."""
    client_id: Names | None = None
    """The client that requested the token. Default ``client_id``, or else ``azp``."""
    subject: Names | None = None
    """``Claims.user_id``. With ``["sub", "client_id"]``, a token without ``sub`` gets the id of its client:
    use it only if no client can have the id of a user. Default ``sub`` alone."""
    audience: Names | None = None
    """The claim that is compared with ``audiences``, such as ``client_id``. Of several, a token's first one
    counts: it is not for a client if its ``aud`` says otherwise. Default ``aud``."""

    def __post_init__(self) -> None:
        """Normalize every field to a tuple of names, then check them."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            names = (value,) if isinstance(value, str) else tuple(value)
            if not names:
                raise ValueError(f"ClaimsMapping.{field.name} is empty: leave it out for the usual claims")
            for name in names:
                check_decisive(f"ClaimsMapping.{field.name}", name, is_shown=field.name in _DISPLAYED)
            object.__setattr__(self, field.name, names)


def check_decisive(setting: str, name: str, *, is_shown: bool = False) -> None:
    """Raise ValueError for a claim that users can edit, unless it ``is_shown`` only, and a malformed name."""
    path = claim_path(name)
    if not is_shown and not _WRITTEN_BY_USERS.isdisjoint(path):
        raise ValueError(
            f"{setting} leads to {'.'.join(path)!r}, which users can edit: take a claim that the issuer "
            "writes, such as app_metadata"
        )


def claim_path(name: str) -> ClaimPath:
    """Return the path that a name of a claim spells. Raises ValueError if it is malformed."""
    if not isinstance(name, str):
        raise ValueError(f"a claim is named by a string, not {name!r}")  # noqa: TRY004 - every mistake in a configuration is a ValueError
    if re.fullmatch(_URI, name):
        return (name,)
    steps: list[str] = []
    at = 0
    while step := _STEP.match(name, at):
        steps.append(step[1] or step[2])
        at = step.end()
        if at == len(name):
            return tuple(steps)
        if name[at] != ".":
            break
        at += 1
    raise ValueError(
        f"{name!r} does not name a claim: write names with dots between them, and in double quotes a name "
        'that has a dot or a blank, as in resource_access."my.app".roles'
    )
