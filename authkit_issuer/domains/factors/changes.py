"""Changes of a user's second factors: each is one transaction with its event and a new epoch.

A change locks the user's row first, the factors next and the settings last.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from authkit_issuer import errors
from authkit_issuer.domains.accounts.contact_proof import note_proof
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.asking_session import require_live
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.domains.factors.backup_codes import BackupCodes
from authkit_issuer.domains.factors.kinds import EMAIL_CODE, FactorKind
from authkit_issuer.domains.factors.queries import UserFactors
from authkit_issuer.domains.sessions.queries import RAISE_EPOCH
from authkit_issuer.domains.sessions.service import OtherSessions, Sessions
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED, FACTOR_ON, IN_STRICT_ORG, LOCK_USER
from authkit_issuer.store.query import Query, Statement

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

DROP_ALL = Statement("delete from profiles.second_factors where user_id = $1::uuid")

CONFIRM = Statement(
    """
    update profiles.two_factor_settings set frozen_at = null, updated_at = now()
    where user_id = $1::uuid and enabled and frozen_at is not null
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFactor:
    """A factor that its user has just proved."""

    id: str
    kind: FactorKind
    name: str = ""
    phone_number: str | None = None
    secret: bytes | None = field(default=None, repr=False)
    """The sealed secret of an authenticator app."""
    secret_key_id: int | None = None
    last_step: int = -1
    """The step of the code that proved the app, which is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedFactor:
    """A factor that sign-ins accept from now on."""

    id: str
    backup_codes: list[str] | None = field(repr=False)
    """The new backup codes, shown once, if it is the user's first factor; else None."""


async def enable(
    rt: Runtime, user: UserFactors, new: NewFactor, *, client: Client | None, others: OtherSessions
) -> list[str]:
    """Make this factor the default, in place of all whose codes are sent; return new backup codes.

    Raises ``InvalidOrExpiredCode`` if the account changed meanwhile.
    """
    shown = BackupCodes(rt).new()
    async with rt.transaction() as tx:
        await _claim(tx, user, new.kind)
        is_first = not await tx.one(IS_ON, user.user_id)
        await tx.execute(DROP_SENT, user.user_id, new.kind.name, new.phone_number)
        added = await _insert(tx, user, new)
        present = await tx.maybe(FIND_SENT, user.user_id, new.kind.name, new.phone_number)
        await _make_default(tx, user.user_id, added or present or new.id)
        await tx.execute(ENABLE, user.user_id, BackupCodes(tx).digests(user.user_id, shown))
        await _record(tx, SessionEventType.TWO_FACTOR_ENABLED, user.user_id, new.kind.name, client)
        await _end_others(tx, user.user_id, others, is_first=is_first, client=client)
    return shown


async def add(
    rt: Runtime, user: UserFactors, new: NewFactor, *, client: Client | None, others: OtherSessions
) -> AddedFactor:
    """Add a factor beside the others; the first one makes the backup codes.

    Raises ``InvalidOrExpiredCode`` if the account changed meanwhile, ``SecondFactorExists``,
    ``TooManySecondFactors``.
    """
    shown = BackupCodes(rt).new()
    async with rt.transaction() as tx:
        await _claim(tx, user, new.kind)
        if await tx.one(COUNT_KIND, user.user_id, new.kind.name) >= new.kind.most:
            raise errors.TooManySecondFactors
        is_first = not await tx.one(IS_ON, user.user_id)
        if await _insert(tx, user, new) is None:
            raise errors.SecondFactorExists
        await tx.execute(KEEP_DEFAULT, user.user_id)
        stored = BackupCodes(tx).digests(user.user_id, shown) if is_first else None
        await tx.execute(ENABLE, user.user_id, stored)
        event = SessionEventType.TWO_FACTOR_ENABLED if is_first else SessionEventType.SECOND_FACTOR_ADDED
        await _record(tx, event, user.user_id, new.kind.name, client, target=new.id)
        await _end_others(tx, user.user_id, others, is_first=is_first, client=client)
    return AddedFactor(id=new.id, backup_codes=shown if is_first else None)


async def remove(
    rt: Runtime, user_id: str, factor_id: str, *, client: Client | None, others: OtherSessions
) -> None:
    """Remove a factor; the last one disables two-factor sign-in. Raises ``SecondFactorNotFound``."""
    async with rt.transaction() as tx:
        await lock(tx, user_id)
        kind = await tx.maybe(REMOVE, user_id, factor_id)
        if kind is None:
            raise errors.SecondFactorNotFound
        if not await disable_without_factors(tx, user_id, client):
            await tx.execute(KEEP_DEFAULT, user_id)
            await tx.execute(ENABLE, user_id, None)
            await _record(tx, SessionEventType.SECOND_FACTOR_REMOVED, user_id, kind, client, target=factor_id)
        await tx.execute(RAISE_EPOCH, user_id)
        await Sessions(tx).end_others(user_id, others, client=client)


async def disable_without_factors(
    tx: Runtime,
    user_id: str,
    client: Client | None,
    *,
    actor: str | None = None,
    reason: str | None = None,
) -> bool:
    """Disable two-factor sign-in if the last factor is gone; True if none is left.

    For every removal of a factor, of any table, in its transaction and under the lock of the user's row. The
    caller raises the epoch.
    """
    if await tx.one(HAS_FACTORS, user_id):
        return False
    if await tx.execute(sql.DISABLE, user_id):
        await _record_disabled(tx, user_id, client, actor=actor, reason=reason)
    return True


async def change(
    rt: Runtime, user_id: str, factor_id: str, *, name: str | None, default: bool, client: Client | None
) -> None:
    """Rename a factor, or make it the default. Raises ``SecondFactorNotFound``."""
    async with rt.transaction() as tx:
        await lock(tx, user_id)
        if not await tx.execute(RENAME, user_id, factor_id, name):
            raise errors.SecondFactorNotFound
        if not default:
            return
        await _make_default(tx, user_id, factor_id)
        await tx.execute(ENABLE, user_id, None)
        await tx.execute(RAISE_EPOCH, user_id)
        await _record(tx, SessionEventType.SECOND_FACTOR_CHANGED, user_id, None, client, target=factor_id)


async def disable(
    rt: Runtime,
    user_id: str,
    client: Client | None,
    *,
    others: OtherSessions | None = None,
    actor: str | None = None,
    reason: str | None = None,
) -> bool:
    """Disable two-factor sign-in with all factors of its own; False if it was off.

    Raises ``UserNotFound``.
    """
    async with rt.transaction() as tx:
        await lock(tx, user_id)
        await tx.execute(DROP_ALL, user_id)
        if not await tx.execute(sql.DISABLE, user_id):
            return False
        await tx.execute(RAISE_EPOCH, user_id)
        await _record_disabled(tx, user_id, client, actor=actor, reason=reason)
        if others is not None:
            await Sessions(tx).end_others(user_id, others, client=client)
    return True


async def confirm(rt: Runtime, user_id: str, session_id: str | None, client: Client | None) -> bool:
    """Let frozen second factors count again; False if there are none.

    Raises ``UserNotFound``, ``SessionEnded``.
    """
    async with rt.transaction() as tx:
        await lock(tx, user_id)
        await require_live(tx, user_id, session_id)
        if not await tx.execute(CONFIRM, user_id):
            return False
        await tx.execute(RAISE_EPOCH, user_id)
        await _record(tx, SessionEventType.TWO_FACTOR_CONFIRMED, user_id, None, client)
    return True


async def lock(tx: Runtime, user_id: str) -> None:
    """Lock the user's row; raises ``UserNotFound``."""
    if await tx.maybe(LOCK_USER, user_id) is None:
        raise errors.UserNotFound


async def _end_others(
    tx: Runtime, user_id: str, others: OtherSessions, *, is_first: bool, client: Client | None
) -> None:
    """End the other sessions where that is wished for, or where the first factor is a required one.

    With it the roles and organizations that require a factor count, in every session of the account, and each
    is refreshed again that ``two_factor_policy`` kept from it. One that another person opened by the password
    before must have none of that.
    """
    config = tx.config
    if is_first and (
        config.two_factor_policy == "required"
        or await tx.one(IS_REQUIRED, user_id, sorted(config.two_factor_required_roles))
    ):
        others = replace(others, end=True)
    await Sessions(tx).end_others(user_id, others, client=client)


async def _claim(tx: Runtime, user: UserFactors, kind: FactorKind) -> None:
    """Raise the epoch at which the user proved a factor, and drop what is frozen beside it."""
    email = user.email if kind is EMAIL_CODE else None
    if await tx.maybe(CLAIM, user.user_id, user.auth_epoch, email) is None:
        raise errors.InvalidOrExpiredCode
    if email is not None:
        await note_proof(tx, user_id=user.user_id, contact=email)
    await tx.execute(DROP_FROZEN, user.user_id)


async def _insert(tx: Runtime, user: UserFactors, new: NewFactor) -> str | None:
    """Insert a factor and return its id; None if the user has this address or number already."""
    return await tx.maybe(
        ADD,
        user.user_id,
        new.id,
        new.kind.name,
        new.name,
        new.phone_number,
        new.secret,
        new.secret_key_id,
        new.last_step,
    )


async def _make_default(tx: Runtime, user_id: str, factor_id: str) -> None:
    await tx.execute(CLEAR_DEFAULT, user_id)
    await tx.execute(SET_DEFAULT, user_id, factor_id)


async def _record_disabled(
    tx: Runtime, user_id: str, client: Client | None, *, actor: str | None, reason: str | None
) -> None:
    await Events(tx).record(
        SessionEventType.TWO_FACTOR_DISABLED, user_id=user_id, actor=actor, reason=reason, client=client
    )


async def _record(
    tx: Runtime,
    event: SessionEventType,
    user_id: str,
    method: str | None,
    client: Client | None,
    *,
    target: str | None = None,
) -> None:
    await Events(tx).record(event, actor=None, user_id=user_id, method=method, client=client, target=target)
