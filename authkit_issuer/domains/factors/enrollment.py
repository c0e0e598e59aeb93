"""Enrollment: verify that an address or number is the user's, then enable a second factor that relies on it.

Set-up records are stored under the user's id: other users can neither replace them nor use up their tries.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import OneTimeCodes, Record, on_outage
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.domains.factors.backup_codes import BackupCodes
from authkit_issuer.domains.factors.delivery import Delivery, contact_kind
from authkit_issuer.domains.factors.queries import UserFactor
from authkit_issuer.domains.sessions.queries import RAISE_EPOCH
from authkit_issuer.domains.sessions.service import OtherSessions, Sessions
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

SETUP = "2fa_setup"


async def send_setup_code(
    rt: Runtime, user: UserFactor, method: str, destination: str, client: Client | None
) -> None:
    """Send a set-up code to the destination; it replaces the one before."""
    rt.refuse_joining("sending a set-up code")
    limits = SendingLimits(rt)
    Messages(rt).require(contact_kind(method))
    Messages(rt).require_reachable(contact_kind(method), destination)
    await limits.check(SETUP, user.user_id, client)
    # One number has a limit of its own over all users: accounts are cheap, messages are not.
    await limits.check(f"{SETUP}_to", destination, client, cooldown=False)
    issued = await OneTimeCodes(rt).issue(
        SETUP,
        target=f"{method}:{destination}",
        code_ttl=rt.config.code_ttl,
        record_ttl=rt.config.code_ttl,
        request_id=user.user_id,
        user_id=user.user_id,
        auth_epoch=user.auth_epoch,
    )
    async with limits.sending(SETUP, user.user_id, client):
        await Delivery(rt).setup_code(method, destination, user.username, issued.code)


async def verify_setup_code(rt: Runtime, user: UserFactor, method: str, destination: str, code: str) -> bool:
    """Use up a set-up code; the destination then counts as verified for ``code_ttl`` seconds."""
    try:
        await _redeem(rt, user, method, destination, code)
    except errors.InvalidOrExpiredCode:
        return False
    await rt.ephemeral.set(_verified_key(user), _verified(rt, user, method, destination), rt.config.code_ttl)
    return True


@asynccontextmanager
async def use_verification(
    rt: Runtime, user: UserFactor, method: str, destination: str, code: str | None
) -> AsyncGenerator[None]:
    """Use up an earlier verification, or the code itself; an outage in the block restores it.

    Raises ``InvalidOrExpiredCode``; without a code and a verification ``PhoneNotVerified`` or
    ``EmailNotVerified``.
    """
    async with on_outage(await _use(rt, user, method, destination, code)):
        yield


async def _use(
    rt: Runtime, user: UserFactor, method: str, destination: str, code: str | None
) -> Callable[[], Awaitable[object]]:
    """Use the code or the verification up, and return what restores it."""
    if code is not None:
        record = await _redeem(rt, user, method, destination, code)
        return lambda: OneTimeCodes(rt).restore(record)
    key, verified = _verified_key(user), _verified(rt, user, method, destination)
    if not await rt.ephemeral.take_if(key, verified):
        raise errors.PhoneNotVerified if method == "sms" else errors.EmailNotVerified
    return lambda: rt.ephemeral.set(key, verified, rt.config.code_ttl, only_if_absent=True)


async def enable(
    rt: Runtime,
    user: UserFactor,
    method: str,
    phone: str | None,
    *,
    client: Client | None,
    others: OtherSessions,
) -> list[str]:
    """Enable the second factor and return its backup codes; the caller has verified the destination.

    One transaction with its event. Raises ``InvalidOrExpiredCode`` if the account changed meanwhile.
    """
    shown = BackupCodes(rt).new()
    stored = BackupCodes(rt).digests(user.user_id, shown)
    email = user.email if method == "email" else None
    async with rt.transaction() as tx:
        owner = await tx.maybe(sql.CLAIM, user.user_id, user.auth_epoch, email)
        if owner is None:
            raise errors.InvalidOrExpiredCode
        await tx.execute(sql.ENABLE, user.user_id, method, phone, stored)
        await Events(tx).record(
            SessionEventType.TWO_FACTOR_ENABLED,
            actor=None,
            user_id=user.user_id,
            method=method,
            client=client,
        )
        await Sessions(tx).end_others(user.user_id, others, client=client)
    return shown


async def disable(
    rt: Runtime,
    user_id: str,
    client: Client | None,
    *,
    others: OtherSessions | None = None,
    actor: str | None = None,
    reason: str | None = None,
) -> bool:
    """Disable the second factor, in one transaction with its event; False if it was off.

    Raises ``UserNotFound``.
    """
    async with rt.transaction() as tx:
        owner = await tx.maybe(sql.LOCK, user_id)
        if owner is None:
            raise errors.UserNotFound
        if not await tx.execute(sql.DISABLE, user_id):
            return False
        await tx.execute(RAISE_EPOCH, user_id)
        await Events(tx).record(
            SessionEventType.TWO_FACTOR_DISABLED,
            user_id=user_id,
            actor=actor,
            reason=reason,
            client=client,
        )
        if others is not None:
            await Sessions(tx).end_others(user_id, others, client=client)
    return True


async def confirm(rt: Runtime, user_id: str, client: Client | None) -> bool:
    """Let a frozen second factor count again, in one transaction with its event; False if it is not frozen.

    Raises ``UserNotFound``.
    """
    async with rt.transaction() as tx:
        if await tx.maybe(sql.LOCK, user_id) is None:
            raise errors.UserNotFound
        if not await tx.execute(sql.CONFIRM, user_id):
            return False
        await tx.execute(RAISE_EPOCH, user_id)
        await Events(tx).record(
            SessionEventType.TWO_FACTOR_CONFIRMED, actor=None, user_id=user_id, client=client
        )
    return True


async def _redeem(rt: Runtime, user: UserFactor, method: str, destination: str, code: str) -> Record:
    record = await OneTimeCodes(rt).redeem_code(SETUP, user.user_id, f"{method}:{destination}", code)
    if record.auth_epoch != user.auth_epoch:
        raise errors.InvalidOrExpiredCode
    return record


def _verified_key(user: UserFactor) -> str:
    return f"{SETUP}_ok:{user.user_id}"


def _verified(rt: Runtime, user: UserFactor, method: str, destination: str) -> bytes:
    return f"{user.auth_epoch}|{identifier_digest(rt, method, destination)}".encode()
