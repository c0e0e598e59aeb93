"""Enrollment: verify that an address or number is the user's, before a second factor relies on it.

Set-up records are stored under the user's id: other users can neither replace them nor use up their tries.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from authkit_issuer import errors
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import OneTimeCodes, Record, on_outage
from authkit_issuer.domains.factors.delivery import Delivery
from authkit_issuer.domains.factors.kinds import SMS_CODE, FactorKind
from authkit_issuer.domains.factors.queries import UserFactors
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

SETUP = "2fa_setup"


async def send_setup_code(
    rt: Runtime, user: UserFactors, kind: FactorKind, destination: str, client: Client | None
) -> None:
    """Send a set-up code to the destination; it replaces the one before."""
    rt.refuse_joining("sending a set-up code")
    limits = SendingLimits(rt)
    contact = kind.contact
    assert contact is not None  # noqa: S101 - set-up codes are of kinds that send
    Messages(rt).require(contact)
    Messages(rt).require_reachable(contact, destination)
    await limits.check(SETUP, user.user_id, client)
    # One number has a limit of its own over all users: accounts are cheap, messages are not.
    await limits.check(f"{SETUP}_to", destination, client, cooldown=False)
    issued = await OneTimeCodes(rt).issue(
        SETUP,
        target=f"{kind.name}:{destination}",
        code_ttl=rt.config.code_ttl,
        record_ttl=rt.config.code_ttl,
        request_id=user.user_id,
        user_id=user.user_id,
        auth_epoch=user.auth_epoch,
    )
    async with limits.sending(SETUP, user.user_id, client):
        await Delivery(rt).setup_code(contact, destination, user.username, issued.code)


async def verify_setup_code(
    rt: Runtime, user: UserFactors, kind: FactorKind, destination: str, code: str
) -> bool:
    """Use up a set-up code; the destination then counts as verified for ``code_ttl`` seconds."""
    try:
        await _redeem(rt, user, kind, destination, code)
    except errors.InvalidOrExpiredCode:
        return False
    await rt.ephemeral.set(_verified_key(user), _verified(rt, user, kind, destination), rt.config.code_ttl)
    return True


@asynccontextmanager
async def use_verification(
    rt: Runtime, user: UserFactors, kind: FactorKind, destination: str, code: str | None
) -> AsyncGenerator[None]:
    """Use up an earlier verification, or the code itself; an outage in the block restores it.

    Raises ``InvalidOrExpiredCode``; without a code and a verification ``PhoneNotVerified`` or
    ``EmailNotVerified``.
    """
    async with on_outage(await _use(rt, user, kind, destination, code)):
        yield


async def _use(
    rt: Runtime, user: UserFactors, kind: FactorKind, destination: str, code: str | None
) -> Callable[[], Awaitable[object]]:
    """Use the code or the verification up, and return what restores it."""
    if code is not None:
        record = await _redeem(rt, user, kind, destination, code)
        return lambda: OneTimeCodes(rt).restore(record)
    key, verified = _verified_key(user), _verified(rt, user, kind, destination)
    if not await rt.ephemeral.take_if(key, verified):
        raise errors.PhoneNotVerified if kind is SMS_CODE else errors.EmailNotVerified
    return lambda: rt.ephemeral.set(key, verified, rt.config.code_ttl, only_if_absent=True)


async def _redeem(rt: Runtime, user: UserFactors, kind: FactorKind, destination: str, code: str) -> Record:
    record = await OneTimeCodes(rt).redeem_code(SETUP, user.user_id, f"{kind.name}:{destination}", code)
    if record.auth_epoch != user.auth_epoch:
        raise errors.InvalidOrExpiredCode
    return record


def _verified_key(user: UserFactors) -> str:
    return f"{SETUP}_ok:{user.user_id}"


def _verified(rt: Runtime, user: UserFactors, kind: FactorKind, destination: str) -> bytes:
    return f"{user.auth_epoch}|{identifier_digest(rt, kind.name, destination)}".encode()
