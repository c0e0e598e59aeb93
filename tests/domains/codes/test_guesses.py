"""Over every operation that takes a code: wrong guesses add up, however many codes are asked for.

``OPERATIONS`` names each method with a ``code``. A row starts an attempt, as often as it is called, and
returns what guesses at it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.codes.guesses import MAX_GUESSES
from authkit_issuer.ports import Client
from authkit_issuer.service import Service, capabilities
from fakes.factors import events, with_email_factor
from fakes.mail import Mailbox
from fakes.users import EMAIL, PASSWORD, PHONE, finish_background, unverified_user

NEW, HOUR = "another fine horse", 3600.0
OTHER_EMAIL, OTHER_PHONE = "new@example.test", "+4915187654321"

Guess = Callable[[str], Awaitable[Any]]
Start = Callable[[Service, str, str, Client], Awaitable[Guess]]
"""Takes the service, the user id, the contact and the client; returns what takes a code."""


async def reset(service: Service, user_id: str, to: str, client: Client) -> Guess:
    ask = service.passwords.request_reset if "@" in to else service.passwords.request_phone_reset
    request_id = await ask(to, client=client)
    return lambda code: service.passwords.confirm_reset_code(to, code, NEW, request_id=request_id)


async def verify(service: Service, user_id: str, to: str, client: Client) -> Guess:
    part = service.verification
    if "@" in to:
        request_id = await part.request_email(to, client=client)
        return lambda code: part.confirm_email(to, code, request_id=request_id)
    request_id = await part.request_phone(to, client=client)
    return lambda code: part.confirm_phone(to, code, request_id=request_id)


async def _register(service: Service, to: str, client: Client) -> str:
    return (await service.registration.register(to, "grace_h", PASSWORD, client=client)).registration_id


async def register(service: Service, user_id: str, to: str, client: Client) -> Guess:
    started = await _register(service, to, client)
    part = service.registration
    confirm = part.confirm_email if "@" in to else part.confirm_phone
    return lambda code: confirm(to, code, registration_id=started)


async def redeem(service: Service, user_id: str, to: str, client: Client) -> Guess:
    started = await _register(service, to, client)
    return lambda code: service.registration.redeem(to, code, registration_id=started)


async def sign_up(service: Service, user_id: str, to: str, client: Client) -> Guess:
    started = await _register(service, to, client)
    return lambda code: service.logins.with_registration_code(to, code, registration_id=started)


async def sign_in_by_message(service: Service, user_id: str, to: str, client: Client) -> Guess:
    flow = await service.passwordless.start(to, client=client)

    async def guess(code: str) -> None:
        # The account has a second factor, which is asked for after the right code alone.
        with suppress(errors.TwoFactorRequired):
            await service.passwordless.confirm_code(flow.flow_id, code, client=client)

    return guess


async def change(service: Service, user_id: str, to: str, client: Client) -> Guess:
    part = service.contact_changes
    if "@" in to:
        await part.request_email(user_id, to, client=client)
        return lambda code: part.confirm_email(user_id, code)
    await part.request_phone(user_id, to, client=client)
    return lambda code: part.confirm_phone(user_id, to, code)


async def _challenge(service: Service, client: Client) -> str:
    with pytest.raises(errors.TwoFactorRequired) as required:
        await service.logins.with_password(EMAIL, PASSWORD, client=client)
    return str(required.value.metadata["challenge"])


async def sign_in(service: Service, user_id: str, to: str, client: Client) -> Guess:
    challenge = await _challenge(service, client)
    return lambda code: service.logins.complete_two_factor(user_id, challenge, code)


async def answer(service: Service, user_id: str, to: str, client: Client) -> Guess:
    challenge = await _challenge(service, client)
    return lambda code: service.two_factor.complete_login(user_id, challenge, code)


async def answer_first(service: Service, user_id: str, to: str, client: Client) -> Guess:
    challenge = await _challenge(service, client)
    return lambda code: service.two_factor.redeem(user_id, challenge, code)


def must(done: Callable[[str], Awaitable[bool]]) -> Guess:
    async def guess(code: str) -> None:
        if not await done(code):
            raise errors.InvalidOrExpiredCode

    return guess


async def hosts_login(service: Service, user_id: str, to: str, client: Client) -> Guess:
    await service.two_factor.require_for_login(user_id, client=client)
    return must(lambda code: service.two_factor.verify_code(user_id, code))


async def set_up(service: Service, user_id: str, to: str, client: Client) -> Guess:
    part = service.two_factor
    if "@" in to:
        await part.send_email_setup_code(user_id, client=client)
        return must(lambda code: part.verify_email_setup_code(user_id, code))
    await part.send_phone_setup_code(user_id, to, client=client)
    return must(lambda code: part.verify_phone_setup_code(user_id, to, code))


async def enable(service: Service, user_id: str, to: str, client: Client) -> Guess:
    await service.two_factor.send_phone_setup_code(user_id, to, client=client)
    return lambda code: service.two_factor.enable(user_id, "sms", to, code=code)


async def add_factor(service: Service, user_id: str, to: str, client: Client) -> Guess:
    await service.two_factor.send_phone_setup_code(user_id, to, client=client)
    return lambda code: service.second_factors.add(user_id, "sms", phone_number=to, code=code)


async def step_up(service: Service, user_id: str, to: str, client: Client) -> Guess:
    session = (await service.sessions.issue(user_id)).session_id
    await service.logins.step_up_send_code(user_id, session, client=client)
    return lambda code: service.logins.step_up_two_factor(user_id, session, code)


OPERATIONS: dict[tuple[str, str], tuple[str, Start]] = {
    ("passwords.confirm_reset_code", "email"): (EMAIL, reset),
    ("passwords.confirm_reset_code", "phone"): (PHONE, reset),
    ("verification.confirm_email", ""): (EMAIL, verify),
    ("verification.confirm_phone", ""): (PHONE, verify),
    ("registration.confirm_email", ""): (OTHER_EMAIL, register),
    ("registration.confirm_phone", ""): (OTHER_PHONE, register),
    ("registration.redeem", ""): (OTHER_EMAIL, redeem),
    ("logins.with_registration_code", ""): (OTHER_EMAIL, sign_up),
    ("passwordless.confirm_code", "email"): (EMAIL, sign_in_by_message),
    ("passwordless.confirm_code", "phone"): (PHONE, sign_in_by_message),
    ("contact_changes.confirm_email", ""): (OTHER_EMAIL, change),
    ("contact_changes.confirm_phone", ""): (OTHER_PHONE, change),
    ("logins.complete_two_factor", ""): (EMAIL, sign_in),
    ("two_factor.complete_login", ""): (EMAIL, answer),
    ("two_factor.redeem", ""): (EMAIL, answer_first),
    ("two_factor.verify_code", ""): (EMAIL, hosts_login),
    ("two_factor.verify_email_setup_code", ""): (EMAIL, set_up),
    ("two_factor.verify_phone_setup_code", ""): (OTHER_PHONE, set_up),
    ("two_factor.enable", ""): (OTHER_PHONE, enable),
    ("second_factors.add", ""): (OTHER_PHONE, add_factor),
    ("logins.step_up_two_factor", ""): (EMAIL, step_up),
}
LONG = {
    "two_factor.check_backup_code": "backup codes have 65 bits",
    "two_factor.use_backup_code": "backup codes have 65 bits",
    "two_factor.verify_backup_code": "backup codes have 65 bits",
    "oidc_login.trade": "a result code has 256 bits",
}
"""Methods whose codes are too long to be guessed."""
OWN = {"totp.complete": "the caller has just received the secret that makes the code"}

WITHOUT_LINKS = {
    "send_password_reset_link", "send_email_verification_link", "send_email_verification",
}  # fmt: skip


class Plain:
    """A sender of codes alone."""

    def __init__(self, sender: Any) -> None:
        for name in dir(sender):
            if name.startswith("send_") and name not in WITHOUT_LINKS:
                setattr(self, name, getattr(sender, name))


async def account(service: Service, mailbox: Mailbox, operation: str) -> str:
    """An account with an unverified contact for verifications, else with a second factor."""
    if operation.startswith("verification"):
        return await unverified_user(service, EMAIL, phone=PHONE)
    user_id, _ = await with_email_factor(service, mailbox, password=PASSWORD)
    await service.pool.execute(
        "update profiles.users set phone_number = $1, phone_verified = true where id = $2::text::uuid",
        PHONE,
        user_id,
    )
    return user_id


@pytest.fixture
async def plain(make_service, mailbox) -> Service:
    return await make_service(
        email_sender=Plain(mailbox),
        sms_sender=Plain(mailbox.texts),
        session_max_per_user=None,
        passwordless="code",
    )


async def attempt(
    service: Service, mailbox: Mailbox, clock, operation: tuple[str, str], user_id: str, day: int
):
    """Start another attempt, an hour later and from another network; returns its guess and its code."""
    clock.advance(HOUR + 1)
    to, start = OPERATIONS[operation]
    guess = await start(service, user_id, to, Client(ip=f"192.0.{day}.1"))
    await finish_background(service)
    return guess, mailbox.last(to).code


async def wrong(guess: Guess, code: str) -> None:
    mistaken = f"{(int(code) + 1) % 1_000_000:06d}" if code.isdigit() else "AAAA-AAAA-AAAAA"
    with pytest.raises((errors.InvalidOrExpiredCode, errors.InvalidChallenge)):
        await guess(mistaken)


@pytest.mark.parametrize("operation", OPERATIONS, ids=".".join)
async def test_a_hundred_wrong_guesses_over_any_number_of_codes_are_the_end(
    plain: Service, mailbox: Mailbox, clock, operation
) -> None:
    user_id = await account(plain, mailbox, operation[0])
    short: list[tuple[Guess, str]] = []
    for day in range(20):
        guess, code = await attempt(plain, mailbox, clock, operation, user_id, day)
        if code.isdigit():
            short.append((guess, code))
        for _ in range(5):
            await wrong(guess, code)
    assert len(short) * 5 == MAX_GUESSES
    # A short code that is left over, or that the count overtakes, is right no more; the next long one is.
    guess, code = await attempt(plain, mailbox, clock, operation, user_id, 21)
    assert len(code) == 15
    assert not code.isdigit()
    await guess(f" {code.lower().replace('-', ' ')} ")
    assert [event["data"] for event in await events(plain, "codes_guessed")][:1] == ['{"tries": 10}']


@pytest.mark.parametrize("operation", OPERATIONS, ids=".".join)
async def test_the_count_overtakes_a_short_code_that_lives(
    plain: Service, mailbox: Mailbox, clock, operation
) -> None:
    user_id = await account(plain, mailbox, operation[0])
    guess, code = await attempt(plain, mailbox, clock, operation, user_id, 1)
    await wrong(guess, code)
    assert await plain.pool.execute("update profiles.code_guesses set tries = $1", MAX_GUESSES) == "UPDATE 1"
    with pytest.raises((errors.InvalidOrExpiredCode, errors.InvalidChallenge)):
        await guess(code)


@pytest.mark.parametrize("operation", OPERATIONS, ids=".".join)
async def test_a_right_code_begins_the_count_again(
    plain: Service, mailbox: Mailbox, clock, operation
) -> None:
    user_id = await account(plain, mailbox, operation[0])
    guess, code = await attempt(plain, mailbox, clock, operation, user_id, 1)
    await wrong(guess, code)
    await guess(f" {code[:3]} {code[3:]} ")
    assert await plain.pool.fetchval("select count(*) from profiles.code_guesses") == 0


def test_the_table_has_every_operation_that_takes_a_code() -> None:
    taking = {
        f"{name}.{method}"
        for name, kind in capabilities().items()
        for method, function in inspect.getmembers(kind, inspect.isfunction)
        if not method.startswith("_") and "code" in inspect.signature(function).parameters
    }
    assert taking == {name for name, _ in OPERATIONS} | set(LONG) | set(OWN)


async def test_guesses_at_one_account_cost_another_nothing(plain: Service, mailbox: Mailbox, clock) -> None:
    operation = ("passwords.confirm_reset_code", "email")
    user_id = await account(plain, mailbox, operation[0])
    for day in range(3):
        guess, code = await attempt(plain, mailbox, clock, operation, user_id, day)
        for _ in range(5):
            await wrong(guess, code)
    await unverified_user(plain, OTHER_EMAIL, "other")
    await plain.pool.execute("update profiles.users set email_verified = true")
    await plain.passwords.request_reset(OTHER_EMAIL)
    await finish_background(plain)
    assert len(mailbox.last(OTHER_EMAIL).code) == 6


async def test_counts_of_addresses_end_after_a_year_without_a_guess(
    plain: Service, mailbox: Mailbox, clock, monkeypatch
) -> None:
    monkeypatch.setattr("authkit_issuer.domains.codes.guesses._PURGE_BATCH", 2)
    await plain.pool.execute(
        "insert into profiles.code_guesses (purpose, subject, tries, last_at) select p, p || d, 10,"
        " now() - d * interval '1 day' from unnest($1::text[]) p cross join unnest($2::int[]) d",
        ["password_reset", "registration", "second_factor"],
        [1, 364, 366, 800],
    )
    await plain.maintain()
    left = await plain.pool.fetch("select subject from profiles.code_guesses order by subject")
    assert [row["subject"] for row in left] == [
        "password_reset1", "password_reset364", "registration1", "registration364",
        "second_factor1", "second_factor364", "second_factor366", "second_factor800",
    ]  # fmt: skip


async def test_the_count_of_a_second_factor_ends_with_its_account(
    plain: Service, mailbox: Mailbox, clock
) -> None:
    operation = ("logins.complete_two_factor", "")
    user_id = await account(plain, mailbox, operation[0])
    guess, code = await attempt(plain, mailbox, clock, operation, user_id, 1)
    await wrong(guess, code)
    assert await plain.pool.fetchval("select count(*) from profiles.code_guesses") == 1
    await plain.lifecycle.soft_delete(user_id)
    assert await plain.pool.fetchval("select count(*) from profiles.code_guesses") == 1
    await plain.lifecycle.hard_delete(user_id)
    assert await plain.pool.fetchval("select count(*) from profiles.code_guesses") == 0


async def test_an_outage_of_the_database_takes_no_try_from_a_right_code(
    plain: Service, mailbox: Mailbox, clock, monkeypatch
) -> None:
    operation = ("passwords.confirm_reset_code", "email")
    user_id = await account(plain, mailbox, operation[0])
    guess, code = await attempt(plain, mailbox, clock, operation, user_id, 1)

    async def down(*_: object) -> None:
        raise errors.DatabaseUnavailable

    for name in ("count", "forget"):
        with monkeypatch.context() as patch:
            patch.setattr(f"authkit_issuer.domains.codes.guesses.Guesses.{name}", down)
            for _ in range(6):
                with pytest.raises(errors.DatabaseUnavailable):
                    await guess(code)
    await guess(code)
