"""What must hold when passwords are proved, set and reset at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import bcrypt
import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.gather import gather
from fakes.users import finish_background

OLD, NEW = "correct horse battery", "another fine horse"


class CodesOnly:
    """A mail sender that sends no links, over a mailbox."""

    def __init__(self, box) -> None:
        self.send_password_reset_code = box.send_password_reset_code
        self.send_email_verification_code = box.send_email_verification_code
        self.send_login_code = box.send_login_code
        self.send_welcome = box.send_welcome


async def new_user(service: Service, number: int) -> tuple[str, str]:
    email = f"u{number}@example.test"
    user = await service.users.add(email=email, username=f"user_{number}", verified=True)
    await service.passwords.store_hash(user.id, await service.rt.hasher.hash(OLD))
    return user.id, email


def won(outcomes: list[object]) -> list[object]:
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


async def reset_link(service: Service, mailbox, email: str) -> Callable[[str], Awaitable[str]]:
    await service.passwords.request_reset(email)
    await finish_background(service)
    token = mailbox.last(email).token
    return lambda new: service.passwords.confirm_reset(token, new)


async def reset_code(service: Service, mailbox, email: str) -> Callable[[str], Awaitable[str]]:
    request_id = await service.passwords.request_reset(email)
    await finish_background(service)
    code = mailbox.last(email).code
    return lambda new: service.passwords.confirm_reset_code(email, code, new, request_id=request_id)


@pytest.mark.parametrize("store", ["memory", "redis"])
@pytest.mark.parametrize("ask", [reset_link, reset_code])
async def test_of_fifty_uses_of_one_reset_exactly_one_wins(
    make_service, mailbox, redis_url: str, rounds, store: str, ask
) -> None:
    senders = {"email_sender": CodesOnly(mailbox)} if ask is reset_code else {}
    service = await make_service(
        redis_url=redis_url if store == "redis" else None, max_code_attempts=50, **senders
    )
    for number in range(rounds(200)):
        user, email = await new_user(service, number)
        confirm = await ask(service, mailbox, email)
        outcomes = await gather(*(partial(confirm, f"{NEW} {n}") for n in range(50)))
        (winner,) = won(outcomes)
        assert winner == user
        refusals = (errors.InvalidOrExpiredToken, errors.InvalidOrExpiredCode)
        assert sum(isinstance(outcome, refusals) for outcome in outcomes) == 49
        assert await service.passwords.verify(user, f"{NEW} {outcomes.index(winner)}")
        assert await service.pool.fetchval("select count(*) from profiles.session_events"
            " where event = 'password_changed' and user_id = $1", user) == 1  # fmt: skip


async def test_parallel_guesses_beside_the_right_code_stay_under_the_cap(
    make_service, mailbox, rounds
) -> None:
    service = await make_service(email_sender=CodesOnly(mailbox))
    for number in range(rounds(50)):
        user, email = await new_user(service, number)
        request_id = await service.passwords.request_reset(email)
        await finish_background(service)
        code = int(mailbox.last(email).code)
        guesses = [f"{(code + step) % 1_000_000:06d}" for step in range(1, 50)] + [f"{code:06d}"]
        confirm = partial(service.passwords.confirm_reset_code, request_id=request_id)
        outcomes = await gather(*(partial(confirm, email, guess, NEW) for guess in guesses))
        assert won(outcomes) == []
        assert await service.passwords.verify(user, OLD)


async def test_a_rehash_never_brings_an_old_password_back(service: Service, rounds) -> None:
    legacy = (await asyncio.to_thread(bcrypt.hashpw, OLD.encode(), bcrypt.gensalt(4))).decode()
    for number in range(rounds(300)):
        user, email = await new_user(service, number)
        await service.passwords.upsert_hash(user, legacy, "bcrypt")
        await gather(
            lambda email=email: service.passwords.prove(email, OLD),
            lambda user=user: service.passwords.admin_set(user, NEW),
            lambda email=email: service.passwords.prove(email, OLD),
        )
        assert await service.passwords.verify(user, NEW)
        assert not await service.passwords.verify(user, OLD)


@pytest.mark.parametrize(
    "change",
    [
        lambda service, user: service.passwords.change(user, OLD, NEW),
        lambda service, user: service.passwords.admin_set(user, NEW),
    ],
)
async def test_a_login_never_survives_the_change_of_its_password(service: Service, rounds, change) -> None:
    for number in range(rounds(1000)):
        user, email = await new_user(service, number)
        outcomes = await gather(
            lambda email=email: service.logins.with_password(email, OLD),
            lambda user=user: change(service, user),
            lambda email=email: service.logins.with_password(email, OLD),
        )
        assert outcomes[1] is None
        assert await service.sessions.list_for_user(user) == []
        for outcome in (outcomes[0], outcomes[2]):
            if not isinstance(outcome, errors.InvalidCredentials):
                with pytest.raises(errors.InvalidRefreshToken):
                    await service.sessions.resolve(outcome.refresh_token)


async def test_a_login_never_survives_the_reset_of_its_password(service: Service, mailbox, rounds) -> None:
    for number in range(rounds(300)):
        user, email = await new_user(service, number)
        confirm = await reset_link(service, mailbox, email)
        _, winner = await gather(
            lambda email=email: service.logins.with_password(email, OLD), partial(confirm, NEW)
        )
        assert winner == user
        assert await service.sessions.list_for_user(user) == []


async def test_of_two_changes_from_one_password_one_wins(service: Service, rounds) -> None:
    for number in range(rounds(200)):
        user, _ = await new_user(service, number)
        outcomes = await gather(
            lambda user=user: service.passwords.change(user, OLD, f"{NEW} 0"),
            lambda user=user: service.passwords.change(user, OLD, f"{NEW} 1"),
        )
        assert [type(outcome) for outcome in outcomes].count(errors.InvalidCredentials) == 1
        assert await service.passwords.verify(user, f"{NEW} {outcomes.index(None)}")


async def test_a_first_password_is_set_once(service: Service, rounds) -> None:
    for number in range(rounds(100)):
        user = (await service.users.create(f"b{number}@example.test", f"bare_{number}")).id
        outcomes = await gather(
            *(lambda n=n, user=user: service.passwords.change(user, "", f"{NEW} {n}") for n in range(5))
        )
        assert outcomes.count(None) == 1
        assert await service.passwords.verify(user, f"{NEW} {outcomes.index(None)}")
