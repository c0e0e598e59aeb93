"""The rows and the SQL of passwords: a stored one with its user, setting one, resetting one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from authkit_issuer.domains.tokens.service import TokenFacts, fact_columns
from authkit_issuer.security.hashing import RESET_REQUIRED, StoredHash
from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, NO_AMR, NOT_BANNED, RESTORABLE, live
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Frequency:
    """One kind of stored hash: an example, and how many accounts of the sample have that kind."""

    example: str = field(repr=False)
    hash_algo: str
    accounts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resettable:
    """The user whose password may be reset, and the contacts through which."""

    user_id: str
    auth_epoch: int
    username: str
    email: str | None
    phone: str | None


_CREDENTIAL = f"""
    select u.id::text as user_id, u.auth_epoch, u.deleted_at, {RESTORABLE} as restorable,
           not {NOT_BANNED} as banned, u.created_at, u.email, u.phone_number,
           u.username, u.email_verified, u.phone_verified, p.password_hash, p.hash_algo,
           coalesce(p.must_change, false) as must_change,
           {HAS_TWO_FACTOR} as two_factor
    from profiles.users u left join profiles.user_passwords p on p.user_id = u.id
"""
BY_EMAIL = Query(Credential, _CREDENTIAL + "where lower(u.email) = $1")
BY_PHONE = Query(Credential, _CREDENTIAL + "where u.phone_number = $1")
BY_USERNAME = Query(Credential, _CREDENTIAL + "where lower(u.username) = $1")
BY_ID = Query(Credential, _CREDENTIAL + "where u.id = $1::uuid")
# Ids are random, so a run of them is a fair sample; it is read through the primary key.
FREQUENCIES = Query(
    Frequency,
    r"""
    with sample as (
        (select p.password_hash, p.hash_algo from profiles.user_passwords p
         where p.user_id >= $1::uuid order by p.user_id limit $2)
        union all
        (select p.password_hash, p.hash_algo from profiles.user_passwords p
         where p.user_id < $1::uuid order by p.user_id limit $2)
    )
    select min(s.password_hash) as example, s.hash_algo, count(*) as accounts
    from (select * from sample limit $2) s
    group by s.hash_algo, substring(
        s.password_hash from
        '^\$(?:argon2i?d?\$v=\d+\$[a-z0-9=,]+|2[aby]\$\d\d|[a-z0-9-]+\$[a-z0-9=,]+)\$'
    )
    """,
)
HAS_PASSWORD = Query(bool, "select exists (select from profiles.user_passwords where user_id = $1::uuid)")
LOGGED_IN = Query(
    TokenFacts,
    f"""
    with entered as (
        update profiles.users u set last_login = now()
        where u.id = $1::uuid and u.auth_epoch = $2 and {ALLOWED} returning u.id
    )
    select {fact_columns(NO_AMR)} from profiles.users u join entered on entered.id = u.id
    """,
)

SET_HASH = Statement(
    """
    insert into profiles.user_passwords (user_id, password_hash, hash_algo, hash_params, must_change)
    values ($1::uuid, $2, $3, $4::text::jsonb, $5)
    on conflict (user_id) do update
    set password_hash = excluded.password_hash, hash_algo = excluded.hash_algo,
        hash_params = excluded.hash_params, must_change = excluded.must_change, password_updated_at = now()
    """
)
REMOVE = Query(str, "delete from profiles.user_passwords where user_id = $1::uuid returning user_id::text")
# Compare and swap: an unconditional write could bring back a password that was changed a moment ago.
REHASH = Statement(
    """
    update profiles.user_passwords set password_hash = $3, hash_algo = 'argon2id', hash_params = null
    where user_id = $1::uuid and password_hash = $2
    """
)
OWNS_SESSION = Query(
    bool,
    f"""
    select exists (
        select from profiles.refresh_sessions s where s.id = $1::uuid and s.user_id = $2::uuid and {live("s")}
    )
    """,
)

# Deleted accounts too, if their owner may restore them: the reset proves who that is.
_MAY_RESET = f"(u.deleted_at is null or u.deleted_by_owner) and {NOT_BANNED}"


def _email_resets(required: str) -> str:
    """Return SQL that is true if the email address of ``u`` resets the password; a frozen one never does.

    ``required`` is the parameter that says if an unverified address gets no reset.
    """
    return f"(u.email_verified or (not {required} and u.email_frozen_at is null))"


_RESETTABLE = f"""
    select u.id::text as user_id, u.auth_epoch, coalesce(u.username, '') as username,
           case when {_email_resets("$2")} then u.email end as email,
           case when u.phone_verified then u.phone_number end as phone
    from profiles.users u where {_MAY_RESET}
"""
RESETTABLE_BY_EMAIL = Query(Resettable, _RESETTABLE + f"and lower(u.email) = $1 and {_email_resets('$2')}")
RESETTABLE_BY_PHONE = Query(Resettable, _RESETTABLE + "and u.phone_number = $1 and u.phone_verified")
RESETTABLE_BY_USERNAME = Query(Resettable, _RESETTABLE + "and lower(u.username) = $1")
# Found again by id, address and epoch, and locked: no row if the account has changed since.
LOCK_RESETTABLE_BY_EMAIL = Query(
    str,
    f"""
    select u.id::text from profiles.users u
    where u.id = $1::uuid and lower(u.email) = $2 and u.auth_epoch = $3 and {_MAY_RESET}
      and {_email_resets("$4")}
    for no key update
    """,
)
LOCK_RESETTABLE_BY_PHONE = Query(
    str,
    f"""
    select u.id::text from profiles.users u
    where u.id = $1::uuid and u.phone_number = $2 and u.phone_verified and u.auth_epoch = $3 and {_MAY_RESET}
    for no key update
    """,
)
