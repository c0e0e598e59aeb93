"""The right code again says that its contact is confirmed; nothing else says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.mail import Mailbox
from fakes.users import EMAIL, PHONE, finish_background, register, unverified_user

Confirm = Callable[..., Awaitable[Any]]


async def registration(service: Service, to: str) -> tuple[str, Confirm]:
    started = await register(service, to)

    async def confirm(code: str, request_id: str = started, target: str = to) -> object:
        return await service.logins.with_registration_code(target, code, registration_id=request_id)

    return started, confirm


async def verification(service: Service, to: str) -> tuple[str, Confirm]:
    by_phone = to.startswith("+")
    await unverified_user(service, None if by_phone else to, phone=to if by_phone else None)
    part = service.verification
    started = await (part.request_phone(to) if by_phone else part.request_email(to))
    await finish_background(service)

    async def confirm(code: str, request_id: str = started, target: str = to) -> object:
        done = part.confirm_phone if by_phone else part.confirm_email
        return await done(target, code, request_id=request_id)

    return started, confirm


@pytest.fixture(params=["memory", "redis"])
async def service(request: pytest.FixtureRequest, make_service) -> Service:
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return await make_service(redis_url=redis_url)


@pytest.mark.parametrize("to", [EMAIL, PHONE])
@pytest.mark.parametrize("start", [registration, verification])
async def test_the_right_code_again_says_that_it_is_confirmed(
    service: Service, mailbox: Mailbox, start, to: str
) -> None:
    _, confirm = await start(service, to)
    code = mailbox.last(to).code
    await confirm(code)
    sessions = await service.pool.fetchval("select count(*) from profiles.refresh_sessions")
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for call in (confirm(wrong), confirm(code, "x" * 22), confirm(code, target="eve@example.test")):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await call
    with pytest.raises(errors.AlreadyConfirmed):
        await confirm(f"{code[:3]} {code[3:]}")
    assert await service.pool.fetchval("select count(*) from profiles.refresh_sessions") == sessions


@pytest.mark.parametrize("start", [registration, verification])
async def test_a_guess_at_a_used_code_has_five_tries(service: Service, mailbox: Mailbox, start) -> None:
    _, confirm = await start(service, EMAIL)
    code = mailbox.last(EMAIL).code
    await confirm(code)
    for _ in range(5):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await confirm("wrong")
    with pytest.raises(errors.InvalidOrExpiredCode):
        await confirm(code)


async def test_a_used_code_is_forgotten_when_it_would_have_expired(
    make_service, mailbox: Mailbox, clock
) -> None:
    service = await make_service()
    _, confirm = await verification(service, EMAIL)
    code = mailbox.last(EMAIL).code
    await confirm(code)
    clock.advance(service.config.code_ttl)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await confirm(code)


async def test_a_code_typed_after_its_link_was_followed_says_so_too(make_service, mailbox: Mailbox) -> None:
    service = await make_service()
    _, confirm = await verification(service, EMAIL)
    mail = mailbox.last(EMAIL)
    await service.verification.confirm_email_link(mail.token)
    with pytest.raises(errors.AlreadyConfirmed):
        await confirm(mail.code)


async def test_the_record_of_a_used_code_holds_no_password(service: Service, mailbox: Mailbox) -> None:
    started, confirm = await registration(service, EMAIL)
    await confirm(mailbox.last(EMAIL).code)
    found = await service.rt.ephemeral.get(f"done:reg_email:{started}")
    assert found is not None
    assert b"argon2" not in found
