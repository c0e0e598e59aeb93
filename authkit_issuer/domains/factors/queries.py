"""The rows and the SQL of second factors.

Enabling or disabling a second factor raises the user's ``auth_epoch`` in the same transaction: a sign-in
verified before cannot open a session afterwards, and every challenge and code of the user is void.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from authkit_issuer.store.predicates import ALLOWED, FACTOR_ON
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorSettings:
    """The settings of a user. ``backup_codes`` are keyed digests of the unused codes.

    A ``frozen`` factor is older than the owner's first proof of a contact. It counts as not enabled until
    ``two_factor.confirm``.
    """

    user_id: str
    enabled: bool
    frozen: bool
    method: str
    phone_number: str | None
    backup_codes: list[str] = field(repr=False)
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFactor:
    """A user and the second factor, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    email: str | None
    email_verified: bool
    username: str
    enabled: bool
    method: str
    phone_number: str | None

    @property
    def destination(self) -> str | None:
        """Where a code goes; None if the user has no verified address for the method."""
        if self.method == "sms":
            return self.phone_number
        return self.email if self.email_verified else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Where the notice of a change goes."""

    email: str | None
    username: str


SETTINGS = Query(
    TwoFactorSettings,
    f"""
    select t.user_id::text, {FACTOR_ON} as enabled, t.enabled and t.frozen_at is not null as frozen, t.method,
           t.phone_number, t.backup_codes, t.created_at, t.updated_at
    from profiles.two_factor_settings t where t.user_id = $1::uuid
    """,
)
FACTOR = Query(
    UserFactor,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, u.email, u.email_verified,
           coalesce(u.username, '') as username, coalesce({FACTOR_ON}, false) as enabled,
           coalesce(t.method, 'email') as method, t.phone_number
    from profiles.users u left join profiles.two_factor_settings t on t.user_id = u.id
    where u.id = $1::uuid
    """,
)
# No row if the account changed since its address was verified: that verification is void.
CLAIM = Query(
    Owner,
    f"""
    update profiles.users u set auth_epoch = u.auth_epoch + 1
    where u.id = $1::uuid and u.auth_epoch = $2 and {ALLOWED}
      and ($3::text is null or (u.email = $3 and u.email_verified))
    returning u.email, coalesce(u.username, '') as username
    """,
)
ENABLE = Statement(
    """
    insert into profiles.two_factor_settings (user_id, enabled, method, phone_number, backup_codes)
    values ($1::uuid, true, $2, $3, $4::text[])
    on conflict (user_id) do update
    set enabled = true, method = excluded.method, phone_number = excluded.phone_number,
        backup_codes = excluded.backup_codes, frozen_at = null, updated_at = now()
    """
)
LOCK = Query(
    Owner,
    """
    select email, coalesce(username, '') as username from profiles.users where id = $1::uuid
    for no key update
    """,
)
DISABLE = Statement(
    """
    update profiles.two_factor_settings
    set enabled = false, phone_number = null, backup_codes = '{}', frozen_at = null, updated_at = now()
    where user_id = $1::uuid and enabled
    """
)
CONFIRM = Statement(
    """
    update profiles.two_factor_settings set frozen_at = null, updated_at = now()
    where user_id = $1::uuid and enabled and frozen_at is not null
    """
)
REPLACE_BACKUP_CODES = Statement(
    f"""
    update profiles.two_factor_settings t set backup_codes = $2::text[], updated_at = now()
    where t.user_id = $1::uuid and {FACTOR_ON}
    """
)
HOLDS_BACKUP_CODE = Query(
    bool,
    f"""
    select exists (
        select from profiles.two_factor_settings t
        where t.user_id = $1::uuid and {FACTOR_ON} and t.backup_codes && $2::text[]
    )
    """,
)
# One statement: of parallel uses the later ones wait for the row and then no longer find the code in it.
USE_BACKUP_CODE = Query(
    int,
    f"""
    update profiles.two_factor_settings t
    set backup_codes = array(select code from unnest(t.backup_codes) as code where code <> all ($2::text[])),
        updated_at = now()
    where t.user_id = $1::uuid and {FACTOR_ON} and t.backup_codes && $2::text[]
    returning cardinality(t.backup_codes)
    """,
)
