"""The rows and the SQL of logins with a provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, RESTORABLE
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
