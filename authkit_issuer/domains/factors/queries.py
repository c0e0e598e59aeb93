"""The rows and the SQL of second factors: those of a user, and switching them off.

Every change of the factors raises the user's ``auth_epoch`` in the same transaction: a sign-in verified
before cannot open a session afterwards, and every challenge and code of the user is void.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from authkit_issuer.store.predicates import ALLOWED, FACTOR_ON
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
DISABLE = Statement(
    """
    update profiles.two_factor_settings
    set enabled = false, method = 'email', phone_number = null, backup_codes = '{}', frozen_at = null,
        updated_at = now()
    where user_id = $1::uuid and enabled
    """
)
