"""The rows and the SQL of passwordless sign-ins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.domains.base.contacts import CONTACT_KINDS
from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, RESTORABLE
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The account of an address or number, with all that a sign-in needs, read in one statement."""

    user_id: str
    auth_epoch: int
    username: str
    verified: bool
    proved: bool
    """Its owner has proved it here; false for one that only an operator vouches for."""
    frozen: bool
    """The address awaits a proof by the user of the account, whose other contact was proved first."""
    allowed: bool
    two_factor: bool
    deleted_at: datetime | None
    restorable: bool


HOLDER = {
    kind: Query(
        Holder,
        f"""
        select u.id::text as user_id, u.auth_epoch, coalesce(u.username, '') as username,
               u.{kind.verified_column} as verified,
               u.proved_{kind.name} is not distinct from u.{kind.column} as proved,
               u.email_frozen_at is not null as frozen,
               {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor, u.deleted_at, {RESTORABLE} as restorable
        from profiles.users u where {kind.lookup} = $1
        """,
    )
    for kind in CONTACT_KINDS
}
