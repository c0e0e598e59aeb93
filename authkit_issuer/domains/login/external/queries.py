"""The SQL of browser logins."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, live
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """The user of a login, with everything a sign-in asks; ``username`` is what the provider called them."""

    user_id: str
    auth_epoch: int
    allowed: bool
    two_factor: bool
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Who has an address, and whether a login is linked, both of one moment."""

    linked: bool
    holder: str | None
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A signed-in user about to link a login or to step up with one."""

    auth_epoch: int
    allowed: bool
    two_factor: bool
    linked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A user whose row is held while a login is linked."""

    allowed: bool
    auth_epoch: int
    email: str | None
    username: str | None
    has_this: bool
    has_issuer: bool


LINKED = Query(
    Linked,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor,
           coalesce(l.profile ->> 'username', '') as username
    from profiles.user_providers l join profiles.users u on u.id = l.user_id
    where l.issuer = $1 and l.subject = $2
    """,
)
# One statement: of a parallel first login either both its user and its link are seen, or neither.
ADDRESS = Query(
    Address,
    """
    select exists (select from profiles.user_providers l where l.issuer = $1 and l.subject = $2) as linked,
           h.id::text as holder, coalesce(h.email_verified, false) as verified
    from (select 1) as one left join profiles.users h on lower(h.email) = $3
    """,
)
ACTOR = Query(
    Actor,
    f"""
    select u.auth_epoch, {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor,
           exists (
               select from profiles.user_providers l where l.user_id = u.id and l.issuer = $3
           ) as linked
    from profiles.users u join profiles.refresh_sessions s on s.user_id = u.id
    where u.id = $1::uuid and s.id = $2::uuid and {live("s")}
    """,
)
_HELD = f"""
    select {ALLOWED} as allowed, u.auth_epoch, u.email, u.username,
           exists (
               select from profiles.user_providers l
               where l.user_id = u.id and l.issuer = $2 and l.subject = $3
           ) as has_this,
           exists (
               select from profiles.user_providers l where l.user_id = u.id and l.issuer = $2
           ) as has_issuer
    from profiles.users u
"""
HOLD_SESSION = Query(
    Held,
    f"""
    {_HELD}
    where u.id = $1::uuid and exists (
        select from profiles.refresh_sessions s where s.id = $4::uuid and s.user_id = u.id and {live("s")}
    )
    for no key update of u
    """,
)
HOLD_ADDRESS = Query(
    Held,
    f"""
    {_HELD}
    where u.id = $1::uuid and lower(u.email) = $4 and u.email_verified for no key update of u
    """,
)
