"""Registrations, verifications and changes: of any number of parallel uses one wins, on either store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.gather import gather
from fakes.mail import Mailbox
from fakes.users import finish_background, register, unverified_user

LOST = (errors.InvalidOrExpiredCode, errors.AlreadyConfirmed, errors.InvalidOrExpiredToken)


@pytest.fixture(params=["memory", "redis"])
async def service(request: pytest.FixtureRequest, make_service) -> Service:
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return await make_service(
        redis_url=redis_url,
        code_cooldown=0.0,
        max_codes_per_hour=100_000,
        max_codes_per_target_hour=100_000,
        sms_max_per_number_hour=100_000,
        sms_max_per_prefix_hour=100_000,
        sms_max_per_hour=100_000,
    )


async def winners(call: Callable[[], Awaitable[Any]], times: int = 50) -> int:
    """Run the call many times at once; every loser hears the same."""
    outcomes = await gather(*[call] * times)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(type(refusal) in LOST for refusal in refused), refused
    return len(outcomes) - len(refused)


def address(number: int, channel: str) -> str:
    return f"ada{number}@example.test" if channel == "email" else f"+4915{number:08d}"


@pytest.mark.parametrize("proof", ["email", "phone", "link"])
async def test_fifty_parallel_confirms_of_a_registration_make_one_account(
    service: Service, mailbox: Mailbox, rounds, proof: str
) -> None:
    for number in range(rounds(200)):
        target = address(number, "email" if proof == "link" else proof)
        registration_id = await register(service, target, f"ada_{number}")
        mail = mailbox.last(target)

        async def confirm(
            target: str = target, registration_id: str = registration_id, mail: Any = mail
        ) -> object:
            registration = service.registration
            if proof == "link":
                return await registration.confirm_email_link(mail.token, registration_id=registration_id)
            return await registration.redeem(target, mail.code, registration_id=registration_id)

        assert await winners(confirm) == 1
        assert await service.pool.fetchval("select count(*) from profiles.users") == number + 1
        assert await service.pool.fetchval("select count(*) from profiles.user_passwords") == number + 1


@pytest.mark.parametrize("proof", ["email", "phone", "link"])
async def test_fifty_parallel_confirms_of_a_verification_have_one_winner(
    service: Service, mailbox: Mailbox, rounds, proof: str
) -> None:
    channel = "phone" if proof == "phone" else "email"
    for number in range(rounds(200)):
        target = address(number, channel)
        await unverified_user(service, f"u{number}@x.test" if channel == "phone" else target, f"ada_{number}",
                       target if channel == "phone" else None)  # fmt: skip
        verification = service.verification
        request = verification.request_phone if channel == "phone" else verification.request_email
        request_id = await request(target)
        await finish_background(service)
        mail = mailbox.last(target)

        async def confirm(target: str = target, request_id: str = request_id, mail: Any = mail) -> object:
            if proof == "link":
                return await service.verification.confirm_email_link(mail.token)
            if proof == "phone":
                return await service.verification.confirm_phone(target, mail.code, request_id=request_id)
            return await service.verification.confirm_email(target, mail.code, request_id=request_id)

        assert await winners(confirm) == 1
        assert await _events(service, "contact_verified") == number + 1


@pytest.mark.parametrize("channel", ["email", "phone"])
async def test_fifty_parallel_confirms_of_a_change_have_one_winner(
    service: Service, mailbox: Mailbox, rounds, channel: str
) -> None:
    user_id = await unverified_user(service)
    for number in range(rounds(200)):
        target = address(number + 1, channel)
        changes = service.contact_changes
        request = changes.request_phone if channel == "phone" else changes.request_email
        await request(user_id, target)
        code = mailbox.last(target).code

        async def confirm(target: str = target, code: str = code) -> object:
            if channel == "phone":
                return await service.contact_changes.confirm_phone(user_id, target, code)
            return await service.contact_changes.confirm_email(user_id, code)

        assert await winners(confirm) == 1
        assert await _events(service, "contact_changed") == number + 1
        await finish_background(service)


async def test_two_users_who_prove_one_number_at_once_do_not_share_it(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    for number in range(rounds(200)):
        target = address(number, "phone")
        codes = []
        for name in ("ada", "bob"):
            user_id = await unverified_user(service, f"{name}{number}@example.test", f"{name}_{number}")
            await service.contact_changes.request_phone(user_id, target)
            codes.append((user_id, mailbox.last(target).code))
        outcomes = await gather(
            *(
                lambda user_id=user_id, code=code, target=target: service.contact_changes.confirm_phone(
                    user_id, target, code
                )
                for user_id, code in codes
            )
        )
        assert sorted(type(outcome) for outcome in outcomes if outcome is not None) == [errors.PhoneInUse]
        assert (
            await service.pool.fetchval("select count(*) from profiles.users where phone_number = $1", target)
            == 1
        )


async def test_guesses_in_parallel_do_not_exceed_the_cap(service: Service, mailbox: Mailbox, rounds) -> None:
    """Five wrong ones and the right one start at once, the right one last: too late, whatever the scope."""
    user_id = await unverified_user(service)
    for number in range(rounds(200)):
        target = address(number + 1, "email")
        await service.contact_changes.request_email(user_id, target)
        code = int(mailbox.last(target).code)
        request_id = await register(service, address(number, "phone"), f"bob_{number}")
        digits = int(mailbox.last(address(number, "phone")).code)
        for right, confirm in (
            (code, lambda text: service.contact_changes.confirm_email(user_id, text)),
            (
                digits,
                lambda text, number=number, request_id=request_id: service.registration.confirm_phone(
                    address(number, "phone"), text, registration_id=request_id
                ),
            ),
        ):
            guesses = [f"{(right + step) % 1_000_000:06d}" for step in (*range(1, 51), 0)]
            outcomes = await gather(*(lambda text=text, confirm=confirm: confirm(text) for text in guesses))
            assert {type(outcome) for outcome in outcomes} == {errors.InvalidOrExpiredCode}
        await service.contact_changes.cancel_email(user_id)


async def test_equal_digits_in_other_scopes_never_match(make_service, mailbox: Mailbox) -> None:
    """Every code drawn is the same; only what it was issued for keeps the scopes apart."""

    def ones(size: int) -> bytes:
        import os

        return b"\x01" * size if size == 3 else os.urandom(size)

    service = await make_service(random_bytes=ones, code_cooldown=0.0)
    ada, bob = (
        await unverified_user(service, phone="+4915100000001"),
        await unverified_user(service, "b@x.test", "bob_1"),
    )
    ids = {
        "registration": await register(service, "c@x.test", "carol"),
        "verification": await service.verification.request_email("ada@example.test"),
    }
    await service.contact_changes.request_email(ada, "n@x.test")
    await finish_background(service)
    (code,) = {message.code for message in mailbox.messages if message.code}
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: service.registration.confirm_email("c@x.test", code, registration_id=ids["verification"]),
        lambda: service.registration.confirm_email("b@x.test", code, registration_id=ids["registration"]),
        lambda: service.registration.confirm_email("n@x.test", code, registration_id=ada),
        lambda: service.verification.confirm_email("ada@example.test", code, request_id=ids["registration"]),
        lambda: service.verification.confirm_email("b@x.test", code, request_id=ids["verification"]),
        lambda: service.contact_changes.confirm_email(bob, code),
        lambda: service.contact_changes.confirm_phone(ada, "+4915100000001", code),
    ]
    outcomes = await gather(*calls)
    assert {type(outcome) for outcome in outcomes} == {errors.InvalidOrExpiredCode}
    await service.contact_changes.confirm_email(ada, code)


async def _events(service: Service, kind: str) -> int:
    return await service.pool.fetchval("select count(*) from profiles.session_events where event = $1", kind)
