"""The rows and the SQL of passwords that several features share: a stored one with its user, setting one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from authkit_issuer.security.hashing import RESET_REQUIRED, StoredHash
from authkit_issuer.store.predicates import HAS_TWO_FACTOR, NOT_BANNED, RESTORABLE
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user's stored password and everything a login asks about the user, read in one statement."""

    user_id: str
    auth_epoch: int
    deleted_at: datetime | None
    restorable: bool
    banned: bool
    created_at: datetime
    email: str | None
    phone_number: str | None
    username: str | None
    email_verified: bool
    phone_verified: bool
    password_hash: str | None = field(repr=False)
    hash_algo: str | None
    must_change: bool
    two_factor: bool

    @property
    def deleted(self) -> bool:
        """True if the user is deleted, and not yet purged."""
        return self.deleted_at is not None

    @property
    def allowed(self) -> bool:
        """True if the user is neither deleted nor banned."""
        return not (self.deleted or self.banned)

    @property
    def must_replace(self) -> bool:
        """True if a set or imported password must be replaced before it signs its user in."""
        return self.must_change or self.hash_algo == RESET_REQUIRED

    @property
    def stored(self) -> StoredHash | None:
        """The hash to compare with; None for an account without a password."""
        if self.password_hash is None or self.hash_algo is None:
            return None
        return StoredHash(text=self.password_hash, algo=self.hash_algo)


SELECT_CREDENTIAL = f"""
    select u.id::text as user_id, u.auth_epoch, u.deleted_at, {RESTORABLE} as restorable,
           not {NOT_BANNED} as banned, u.created_at, u.email, u.phone_number,
           u.username, u.email_verified, u.phone_verified, p.password_hash, p.hash_algo,
           coalesce(p.must_change, false) as must_change,
           {HAS_TWO_FACTOR} as two_factor
    from profiles.users u left join profiles.user_passwords p on p.user_id = u.id
"""
BY_ID = Query(Credential, SELECT_CREDENTIAL + "where u.id = $1::uuid")
HAS_PASSWORD = Query(bool, "select exists (select from profiles.user_passwords where user_id = $1::uuid)")

SET_HASH = Statement(
    """
    insert into profiles.user_passwords (user_id, password_hash, hash_algo, hash_params, must_change)
    values ($1::uuid, $2, $3, $4::text::jsonb, $5)
    on conflict (user_id) do update
    set password_hash = excluded.password_hash, hash_algo = excluded.hash_algo,
        hash_params = excluded.hash_params, must_change = excluded.must_change, password_updated_at = now()
    """
)
