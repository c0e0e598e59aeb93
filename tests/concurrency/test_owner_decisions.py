"""What an owner decides about an account: whole or not at all, and once, however often it is asked for.

Each row of ``DECISIONS`` prepares an account and returns the decision with the state that it changes. The
connection is killed at every statement of it, and many of it run at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment
from fakes.factors import new_user, with_email_factor
from fakes.gather import gather
from fakes.mail import Mailbox
from fakes.users import PASSWORD, finish_background

State = tuple[object, ...]
Decision = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[State]]]
Prepare = Callable[[Service, Mailbox, str], Awaitable[Decision]]

NEW, TEMPORARY = "another fine horse", "temporary horse"
LOST = (
    errors.InvalidOrExpiredToken,
    errors.InvalidCredentials,
    errors.UserDeleted,
    errors.Conflict,
)
"""What a decision that was made before is answered with, where it is refused."""


async def rows(service: Service, user: str, columns: str, kind: str) -> State:
    """Return what stands: columns of the user's row, live sessions, and how many events tell of it."""
    row = await service.pool.fetchrow(
        f"select {columns} from profiles.users u"
        " left join profiles.user_passwords p on p.user_id = u.id"
        " left join profiles.two_factor_settings t on t.user_id = u.id"
        " left join profiles.user_providers l on l.user_id = u.id where u.id = $1::text::uuid",
        user,
    )
    told = await service.pool.fetchval(
        "select count(*) from profiles.session_events where user_id = $1 and event = $2", user, kind
    )
    return (*row, len(await service.sessions.list_for_user(user)), told)


async def confirm_login(service: Service, mailbox: Mailbox, email: str) -> Decision:
    user = await new_user(service, email)
    await service.providers.link_by_issuer(user, "solana:mainnet", "solana", email)
    await service.pool.execute("update profiles.user_providers set frozen_at = now()")
    return (
        lambda: service.providers.confirm(user, "solana"),
        lambda: rows(service, user, "l.frozen_at is null", "provider_confirmed"),
    )


async def confirm_factor(service: Service, mailbox: Mailbox, email: str) -> Decision:
    user, _ = await with_email_factor(service, mailbox, email)
    await service.pool.execute("update profiles.two_factor_settings set frozen_at = now()")
    return (
        lambda: service.two_factor.confirm(user),
        lambda: rows(service, user, "t.enabled, t.frozen_at is null, auth_epoch", "two_factor_confirmed"),
    )


async def end_others(service: Service, mailbox: Mailbox, email: str) -> Decision:
    user, _ = await with_email_factor(service, mailbox, email)
    kept, *_ = [(await service.sessions.issue(user)).session_id for _ in range(3)]
    return (
        lambda: service.two_factor.disable(user, keep_session_id=kept, end_other_sessions=True),
        lambda: rows(service, user, "t.enabled, auth_epoch", "two_factor_disabled"),
    )


async def deny(service: Service, mailbox: Mailbox, email: str) -> Decision:
    user = (await service.users.add(email=email, username=f"u{email[3:-13]}_user")).id
    await service.sessions.issue(user)
    await service.verification.request_email(email)
    await finish_background(service)
    token = mailbox.last(email).token

    async def state() -> State:
        *row, told = await rows(service, user, "email_verified", "contact_denied")
        # Once the answer is lost the owner may say it again.
        return (*row, bool(told))

    return lambda: service.verification.deny_email_link(token), state


async def restore(service: Service, mailbox: Mailbox, email: str) -> Decision:
    user = await new_user(service, email, password=PASSWORD)
    await service.lifecycle.soft_delete(user)
    return (
        lambda: service.deleted_accounts.restore(email, PASSWORD),
        lambda: rows(service, user, "deleted_at is null, auth_epoch", "user_restored"),
    )


async def erase(service: Service, mailbox: Mailbox, email: str) -> Decision:
    user = await new_user(service, email, password=PASSWORD)
    await service.lifecycle.soft_delete(user)
    return (
        lambda: service.deleted_accounts.erase(email, PASSWORD),
        lambda: rows(service, user, "erase_requested, auth_epoch", "user_erasure_requested"),
    )


async def replace(service: Service, mailbox: Mailbox, email: str) -> Decision:
    user = await new_user(service, email)
    await service.passwords.admin_set(user, TEMPORARY, must_change=True)
    await service.sessions.issue(user)
    return (
        lambda: service.passwords.replace_temporary(email, TEMPORARY, NEW),
        lambda: rows(service, user, "must_change, auth_epoch", "password_changed"),
    )


DECISIONS: tuple[Prepare, ...] = (confirm_login, confirm_factor, end_others, deny, restore, erase, replace)

REPEATABLE = (restore, end_others)
"""Decisions that succeed again once they are made, and then change nothing."""


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(
        link_base_url="https://app.example.test", max_codes_per_hour=100_000, code_cooldown=0.0
    )


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("prepare", DECISIONS)
async def test_a_decision_is_made_wholly_or_not_at_all_and_can_be_repeated(
    service: Service, mailbox: Mailbox, connection_killer: ConnectionKiller, prepare: Prepare, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        decide, state = await prepare(service, mailbox, f"ada{step}@example.test")
        old = await state()
        with connection_killer.striking(moment, step):
            await decide()
        between = await state()
        with suppress(*LOST):
            await decide()
        new = await state()
        assert between in {old, new}
        assert new != old
        assert new[-1] == (2 if prepare is replace else 1)
        await finish_background(service)
        if not connection_killer.struck:
            break
    assert step > 3


@pytest.mark.parametrize("prepare", DECISIONS)
async def test_many_at_once_make_one_decision(
    service: Service, mailbox: Mailbox, rounds, prepare: Prepare
) -> None:
    for number in range(rounds(50)):
        decide, state = await prepare(service, mailbox, f"ada{number}@example.test")
        old = await state()
        outcomes = await gather(*[decide] * 5)
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert all(isinstance(refusal, LOST) for refusal in refused), refused
        if prepare not in REPEATABLE:
            assert len([outcome for outcome in outcomes if outcome is True or outcome is None]) == 1
        new = await state()
        with suppress(*LOST):
            await decide()
        assert await state() == new != old
        assert new[-1] == (2 if prepare is replace else 1)
        await finish_background(service)


async def test_of_a_restoration_and_an_erasure_at_once_one_stands(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    for number in range(rounds(50)):
        email = f"ada{number}@example.test"
        give_back, _ = await restore(service, mailbox, email)
        give_up = partial(service.deleted_accounts.erase, email, PASSWORD)
        outcomes = await gather(give_back, give_up)
        user = await service.pool.fetchrow(
            "select deleted_at, erase_requested from profiles.users where email = $1", email
        )
        assert (user["deleted_at"] is None) != user["erase_requested"]
        assert [outcome for outcome in outcomes if outcome is None]
        assert all(outcome is None or isinstance(outcome, LOST) for outcome in outcomes), outcomes
        await finish_background(service)


async def test_of_two_new_passwords_at_once_the_one_that_was_accepted_is_right(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    for number in range(rounds(50)):
        email = f"ada{number}@example.test"
        await replace(service, mailbox, email)
        wanted = [f"{NEW} {n}" for n in range(3)]
        outcomes = await gather(
            *(lambda new=new, email=email: service.passwords.replace_temporary(email, TEMPORARY, new)
              for new in wanted)
        )  # fmt: skip
        (accepted,) = [new for new, outcome in zip(wanted, outcomes, strict=True) if outcome is None]
        assert await service.passwords.prove(email, accepted)
        await finish_background(service)


async def test_a_frozen_login_that_is_confirmed_and_removed_at_once_is_gone(
    service: Service, mailbox: Mailbox, rounds
) -> None:
    for number in range(rounds(50)):
        email = f"ada{number}@example.test"
        user = await new_user(service, email, password=PASSWORD)
        await service.providers.link_by_issuer(user, "solana:mainnet", "solana", email)
        await service.pool.execute("update profiles.user_providers set frozen_at = now()")
        confirmed, unlinked = await gather(
            lambda user=user: service.providers.confirm(user, "solana"),
            lambda user=user: service.providers.unlink(user, "solana"),
        )
        assert unlinked is True
        told = await service.events.list_session_events(user, "provider_confirmed", "provider_unlinked")
        assert [event.event for event in reversed(told)] == [
            *(["provider_confirmed"] if confirmed else []), "provider_unlinked",
        ]  # fmt: skip
        assert await service.providers.list_for_user(user) == []
        await finish_background(service)
