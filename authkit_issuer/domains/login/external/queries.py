"""The rows and the SQL of logins with a provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, RESTORABLE, live
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedUser:
    """The user of a linked login, with all that a sign-in needs; ``username`` is the one at the provider."""

    user_id: str
    auth_epoch: int
    allowed: bool
    two_factor: bool
    username: str
    frozen: bool
    deleted_at: datetime | None
    restorable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailHolder:
    """The user with an email address, and whether a login is linked, both read at one moment.

    ``proved`` is true if the owner of the address has proved it here; an operator's word is no proof.
    """

    linked: bool
    user_id: str | None
    proved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedInUser:
    """The user of a live session who is about to link a login or to reauthenticate with one."""

    auth_epoch: int
    allowed: bool
    two_factor: bool
    linked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedAccount:
    """A user whose row is locked while a login is linked to it."""

    allowed: bool
    auth_epoch: int
    email: str | None
    username: str | None
    has_login: bool
    has_issuer: bool


LINKED_USER = Query(
    LinkedUser,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor,
           coalesce(l.profile ->> 'username', '') as username, l.frozen_at is not null as frozen,
           u.deleted_at, {RESTORABLE} as restorable
    from profiles.user_providers l join profiles.users u on u.id = l.user_id
    where l.issuer = $1 and l.subject = $2
    """,
)
# One statement: of a concurrent first login it sees both the user and the link, or neither.
EMAIL_HOLDER = Query(
    EmailHolder,
    """
    select exists (select from profiles.user_providers l where l.issuer = $1 and l.subject = $2) as linked,
           h.id::text as user_id, coalesce(h.email_verified and h.proved_email = h.email, false) as proved
    from (select 1) as one left join profiles.users h on lower(h.email) = $3
    """,
)
SIGNED_IN_USER = Query(
    SignedInUser,
    f"""
    select u.auth_epoch, {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor,
           exists (
               select from profiles.user_providers l
               where l.user_id = u.id and l.issuer = $3 and l.frozen_at is null
           ) as linked
    from profiles.users u join profiles.refresh_sessions s on s.user_id = u.id
    where u.id = $1::uuid and s.id = $2::uuid and {live("s")}
    """,
)
_ACCOUNT = f"""
    select {ALLOWED} as allowed, u.auth_epoch, u.email, u.username,
           exists (
               select from profiles.user_providers l
               where l.user_id = u.id and l.issuer = $2 and l.subject = $3
           ) as has_login,
           exists (
               select from profiles.user_providers l where l.user_id = u.id and l.issuer = $2
           ) as has_issuer
    from profiles.users u
"""
LOCK_SESSION_USER = Query(
    LockedAccount,
    f"""
    {_ACCOUNT}
    where u.id = $1::uuid and exists (
        select from profiles.refresh_sessions s where s.id = $4::uuid and s.user_id = u.id and {live("s")}
    )
    for no key update of u
    """,
)
LOCK_EMAIL_HOLDER = Query(
    LockedAccount,
    f"""
    {_ACCOUNT}
    where u.id = $1::uuid and lower(u.email) = $4 and u.email_verified and u.proved_email = u.email
    for no key update of u
    """,
)
