"""The rows and the SQL of second factors.

Every change of the factors raises the user's ``auth_epoch`` in the same transaction: a sign-in verified
before cannot open a session afterwards, and every challenge and code of the user is void.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from authkit_issuer.store.predicates import ALLOWED, FACTOR_ON, IN_STRICT_ORG, OWNS_PASSKEY
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorSettings:
    """The settings of a user, with the kind and the number of the default factor.

    ``backup_codes`` are keyed digests of the unused codes. ``frozen`` factors are older than the owner's
    first proof of a contact. They count as not enabled until ``two_factor.confirm``.
    """

    user_id: str
    enabled: bool
    frozen: bool
    method: str
    phone_number: str | None
    backup_codes: list[str] = field(repr=False)
    created_at: datetime
    updated_at: datetime


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """One second factor. ``secret`` is the sealed one of an authenticator app, in hexadecimal."""

    id: str
    kind: str
    name: str
    phone_number: str | None
    is_default: bool
    created_at: datetime
    last_used_at: datetime | None
    secret: str | None = None
    secret_key_id: int | None = None

    def __repr__(self) -> str:
        """Leave out the secret and the number."""
        return f"Factor(id={self.id!r}, kind={self.kind!r})"


_decode = msgspec.json.Decoder(list[Factor]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFactors:
    """A user and all second factors, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    email: str | None
    email_verified: bool
    username: str
    enabled: bool
    frozen: bool
    backup_codes_left: int
    now: float
    """Unix seconds by the clock of the database."""
    stored: str = field(repr=False)
    """The factors as JSON."""

    @property
    def factors(self) -> list[Factor]:
        """The factors that sign-ins require, the default first; none where they are off or frozen."""
        return self.all_factors if self.enabled else []

    @property
    def all_factors(self) -> list[Factor]:
        """The factors, the default first, whether they are required or not."""
        return _decode(self.stored)

    def factor(self, factor_id: str) -> Factor | None:
        """The factor of this id that sign-ins require, or None."""
        return next((factor for factor in self.factors if factor.id == factor_id), None)


SETTINGS = Query(
    TwoFactorSettings,
    f"""
    select t.user_id::text, {FACTOR_ON} as enabled, t.enabled and t.frozen_at is not null as frozen,
           coalesce(f.kind, t.method) as method, f.phone_number, t.backup_codes, t.created_at, t.updated_at
    from profiles.two_factor_settings t
    left join profiles.second_factors f on f.user_id = t.user_id and f.is_default
    where t.user_id = $1::uuid
    """,
)
USER_FACTORS = Query(
    UserFactors,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, u.email, u.email_verified,
           coalesce(u.username, '') as username, coalesce({FACTOR_ON}, false) as enabled,
           coalesce(t.enabled and t.frozen_at is not null, false) as frozen,
           coalesce(cardinality(t.backup_codes), 0) as backup_codes_left,
           extract(epoch from now())::float8 as now,
           (
               select coalesce(jsonb_agg(jsonb_build_object(
                   'id', f.id, 'kind', f.kind, 'name', f.name, 'phone_number', f.phone_number,
                   'is_default', f.is_default, 'created_at', f.created_at, 'last_used_at', f.last_used_at,
                   'secret', encode(f.secret, 'hex'), 'secret_key_id', f.secret_key_id
               ) order by f.is_default desc, f.created_at, f.id), '[]')
               from profiles.user_factors f where f.user_id = u.id
           ) as stored
    from profiles.users u left join profiles.two_factor_settings t on t.user_id = u.id
    where u.id = $1::uuid
    """,
)
# No row if the account changed since its address was verified: that verification is void.
CLAIM = Query(
    str,
    f"""
    update profiles.users u set auth_epoch = u.auth_epoch + 1
    where u.id = $1::uuid and u.auth_epoch = $2 and {ALLOWED}
      and ($3::text is null or (u.email = $3 and u.email_verified))
    returning u.id::text
    """,
)
# A frozen factor does not come back with a new one beside it.
DROP_FROZEN = Statement(
    """
    with frozen as (
        update profiles.two_factor_settings
        set enabled = false, phone_number = null, backup_codes = '{}', frozen_at = null
        where user_id = $1::uuid and frozen_at is not null returning user_id
    )
    delete from profiles.second_factors f using frozen where f.user_id = frozen.user_id
    """
)
DROP_SENT = Statement(
    """
    delete from profiles.second_factors
    where user_id = $1::uuid and kind in ('email', 'sms')
      and not (kind = $2 and phone_number is not distinct from $3)
    """
)
COUNT_KIND = Query(
    int, "select count(*)::int from profiles.second_factors where user_id = $1::uuid and kind = $2"
)
# No row if the user has this address or number as a factor already.
ADD = Query(
    str,
    """
    insert into profiles.second_factors (
        id, user_id, kind, name, phone_number, secret, secret_key_id, last_step
    ) values ($2::uuid, $1::uuid, $3, $4, $5, $6, $7, $8)
    on conflict do nothing returning id::text
    """,
)
FIND_SENT = Query(
    str,
    """
    select id::text from profiles.second_factors
    where user_id = $1::uuid and kind = $2 and phone_number is not distinct from $3
    """,
)
CLEAR_DEFAULT = Statement(
    "update profiles.second_factors set is_default = false where user_id = $1::uuid and is_default"
)
SET_DEFAULT = Statement(
    "update profiles.second_factors set is_default = true where user_id = $1::uuid and id = $2::uuid"
)
# The factor that was added first takes the place of a default that was removed.
KEEP_DEFAULT = Statement(
    """
    update profiles.second_factors set is_default = true
    where id = (
        select f.id from profiles.second_factors f where f.user_id = $1::uuid
        order by f.created_at, f.id limit 1
    ) and not exists (select from profiles.second_factors f where f.user_id = $1::uuid and f.is_default)
    """
)
RENAME = Statement(
    """
    update profiles.second_factors set name = coalesce($3::text, name)
    where user_id = $1::uuid and id = $2::uuid
    """
)
REMOVE = Query(
    str,
    "delete from profiles.second_factors where user_id = $1::uuid and id = $2::uuid returning kind",
)
# No row if the account changed.
HAS_PASSKEY_AT = Query(
    bool, f"select {OWNS_PASSKEY} from profiles.users u where u.id = $1::uuid and u.auth_epoch = $2"
)
IS_ON = Query(
    bool,
    f"select exists (select from profiles.two_factor_settings t where t.user_id = $1::uuid and {FACTOR_ON})",
)
IS_REQUIRED = Query(
    bool,
    f"""
    select {IN_STRICT_ORG} or exists (
        select from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
        where ur.user_id = u.id and r.deleted_at is null and r.slug = any($2::text[])
    )
    from profiles.users u where u.id = $1::uuid
    """,
)
"""True if a role of the given ones, or an organization, requires a second factor of the user."""
HAS_FACTORS = Query(
    bool,
    """
    select exists (select from profiles.user_factors where user_id = $1::uuid)
    """,
)
# The release before reads method and phone number; 'sms' without a number accepts backup codes alone there.
ENABLE = Statement(
    """
    insert into profiles.two_factor_settings as s (user_id, enabled, method, phone_number, backup_codes)
    select $1::uuid, true, coalesce(f.kind, 'sms'), f.phone_number, coalesce($2::text[], '{}')
    from (select 1) as one left join lateral (
        select kind, phone_number from profiles.second_factors
        where user_id = $1::uuid and kind <> 'totp' order by is_default desc, created_at, id limit 1
    ) f on true
    on conflict (user_id) do update
    set enabled = true, method = excluded.method, phone_number = excluded.phone_number,
        backup_codes = coalesce($2::text[], s.backup_codes), updated_at = now()
    """
)
DISABLE = Statement(
    """
    update profiles.two_factor_settings
    set enabled = false, method = 'email', phone_number = null, backup_codes = '{}', frozen_at = null,
        updated_at = now()
    where user_id = $1::uuid and enabled
    """
)
DROP_ALL = Statement("delete from profiles.second_factors where user_id = $1::uuid")
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
# The owner has proved a second factor: authenticator apps take codes again.
RESET_TRIES = Statement("update profiles.second_factors set tries = 0 where user_id = $1::uuid and tries > 0")
