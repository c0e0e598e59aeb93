"""A request for a known and of an unknown address costs the same and reads the same.

Not measured in time, but counted: hashes, queries and what the store is asked, in order, before the answer.
Messages leave afterwards, in the background.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.mail import Mailbox
from fakes.users import PASSWORD, finish_background, verified_user
from fakes.work_counter import Work, WorkCounter

KNOWN = {"email": "known@example.test", "phone": "+4915111111111"}
UNKNOWN = {"email": "other@example.test", "phone": "+4915122222222"}
ATTACKERS = "a password of the attacker"


class CodesAndNotices:
    """A sender without links."""

    def __init__(self, sender: Any) -> None:
        for name in dir(sender):
            if name.startswith("send_") and "link" not in name and name != "send_email_verification":
                setattr(self, name, getattr(sender, name))


Ask = Callable[[Service, str, str], Awaitable[Any]]
Measured = Callable[[], AbstractAsyncContextManager[Work]]


@pytest.fixture
def measured(service: Service, monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Measure a block, and let its background end before the next one."""
    counter = WorkCounter(service, monkeypatch)

    @asynccontextmanager
    async def measure() -> AsyncIterator[Work]:
        async with counter.foreground() as work:
            yield work
        assert work.steps
        await counter.finish()

    return measure


async def register(service: Service, target: str, ip: str) -> str:
    name = "stranger_" + "".join(filter(str.isalnum, target))[:13]
    answer = await service.registration.register(target, name, ATTACKERS, client=Client(ip=ip))
    assert {answer.email, answer.phone} == {target, None}
    return answer.registration_id


async def verify(service: Service, target: str, ip: str) -> str:
    verification = service.verification
    request = verification.request_phone if target.startswith("+") else verification.request_email
    return await request(target, client=Client(ip=ip))


async def reset(service: Service, target: str, ip: str) -> str:
    passwords = service.passwords
    request = passwords.request_phone_reset if target.startswith("+") else passwords.request_reset
    return await request(target, client=Client(ip=ip))


@pytest.mark.parametrize("channel", ["email", "phone"])
@pytest.mark.parametrize("ask", [register, verify, reset])
async def test_asking_for_a_code_tells_nothing(
    service: Service, mailbox: Mailbox, measured: Measured, ask: Ask, channel: str
) -> None:
    user_id = await verified_user(service, mailbox, KNOWN[channel], "known")
    if ask is verify:  # known and to be proved: the one case in which something is sent
        column = "email_verified" if channel == "email" else "phone_verified"
        await service.pool.execute(f"update profiles.users set {column} = false where id = $1", user_id)
    outcomes = []
    for target in (KNOWN[channel], UNKNOWN[channel]):
        seen = []
        for _ in range(2):  # within the pause as well
            async with measured() as work:
                answer = await ask(service, target, "198.51.100.1")
            seen.append((len(answer), work))
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("channel", ["email", "phone"])
async def test_resending_tells_nothing(
    service: Service, mailbox: Mailbox, measured: Measured, clock, channel: str
) -> None:
    await verified_user(service, mailbox, KNOWN[channel], "known")
    registration = service.registration
    resend = registration.resend_email if channel == "email" else registration.resend_phone
    outcomes = []
    for target in (KNOWN[channel], UNKNOWN[channel]):
        registration_id = await register(service, target, "198.51.100.1")
        await finish_background(service)
        clock.advance(service.config.code_cooldown)
        seen = []
        for _ in range(2):
            async with measured() as work:
                answer = await _outcome(resend(registration_id, client=Client(ip="198.51.100.1")))
            seen.append((answer, work))
        await finish_background(service)
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]


async def _outcome(call: Awaitable[None]) -> object:
    try:
        return await call
    except errors.AuthError as refusal:
        return refusal.code, refusal.retry_after


@pytest.mark.parametrize("channel", ["email", "phone"])
async def test_confirming_a_guess_tells_nothing(
    service: Service, mailbox: Mailbox, measured: Measured, channel: str
) -> None:
    await verified_user(service, mailbox, KNOWN[channel], "known")
    outcomes = []
    for target in (KNOWN[channel], UNKNOWN[channel]):
        ids = [await register(service, target, "198.51.100.1"), await verify(service, target, "203.0.113.1")]
        await finish_background(service)
        seen: list[Any] = []
        for attempt in range(7):
            for kind, request_id in zip(("registration", "verification"), ids, strict=True):
                async with measured() as work:
                    with pytest.raises(errors.AuthError) as refused:
                        await _confirm(service, kind, target, request_id, f"00000{attempt}")
                seen.append((refused.value.code, work))
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("channel", ["email", "phone"])
@pytest.mark.parametrize("ask", [verify, reset])
async def test_guesses_that_add_up_tell_nothing(
    make_service, mailbox: Mailbox, monkeypatch, ask: Ask, channel: str, clock
) -> None:
    """The tenth wrong code in a row leaves an event and a notice; neither shows in the work."""
    service = await make_service(
        email_sender=CodesAndNotices(mailbox), sms_sender=CodesAndNotices(mailbox.texts)
    )
    user_id = await verified_user(service, mailbox, KNOWN[channel], "known")
    if channel == "phone":
        await service.pool.execute("update profiles.users set email = 'known@example.test'")
    if ask is verify:
        column = "email_verified" if channel == "email" else "phone_verified"
        await service.pool.execute(f"update profiles.users set {column} = false where id = $1", user_id)
    counter = WorkCounter(service, monkeypatch)
    outcomes = []
    for target in (KNOWN[channel], UNKNOWN[channel]):
        seen: list[Any] = []
        for number in range(3):
            clock.advance(61)
            async with counter.foreground() as work:
                request_id = await ask(service, target, "198.51.100.1")
            seen.append(work)
            await counter.finish()
            for _ in range(5):
                async with counter.foreground() as work:
                    with pytest.raises(errors.InvalidOrExpiredCode):
                        await _confirm(service, ask.__name__, target, request_id, f"wrong {number}")
                seen.append(work)
                await counter.finish()
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]
    assert [message.kind for message in mailbox.to("known@example.test")].count("codes_guessed") == 1


async def _confirm(service: Service, kind: str, target: str, request_id: str, code: str) -> object:
    if kind == "registration":
        return await service.registration.redeem(target, code, registration_id=request_id)
    if kind == "reset":
        return await service.passwords.confirm_reset_code(target, code, PASSWORD, request_id=request_id)
    if target.startswith("+"):
        return await service.verification.confirm_phone(target, code, request_id=request_id)
    return await service.verification.confirm_email(target, code, request_id=request_id)


@pytest.mark.parametrize("channel", ["email", "phone"])
async def test_signing_in_after_registering_a_attackers_address_tells_nothing(
    service: Service, mailbox: Mailbox, measured: Measured, clock, channel: str
) -> None:
    await verified_user(service, mailbox, KNOWN[channel], "known")
    with pytest.raises(errors.InvalidCredentials):  # once an hour a login looks at what hashes there are
        await service.logins.with_password("third@example.test", ATTACKERS)
    outcomes = []
    for target in (KNOWN[channel], UNKNOWN[channel]):
        await register(service, target, "198.51.100.1")
        await finish_background(service)
        clock.advance(service.config.code_cooldown)
        seen: list[Any] = []
        for password in (ATTACKERS, "neither of the two"):
            async with measured() as work:
                with pytest.raises(errors.AuthError) as refused:
                    await service.logins.with_password(target, password, client=Client(ip="198.51.100.1"))
            seen.append((refused.value.code, sorted(refused.value.metadata), work))
            await finish_background(service)
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]
    assert PASSWORD not in (ATTACKERS, "neither of the two")
