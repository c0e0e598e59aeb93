"""The connection is killed at every statement: the old password stands with its sessions, or the new one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment
from fakes.users import finish_background

OLD, NEW = "correct horse battery", "another fine horse"


async def by_owner(service: Service, mailbox, user: str, email: str) -> Callable[[], Awaitable[object]]:
    return lambda: service.passwords.change(user, OLD, NEW)


async def by_operator(service: Service, mailbox, user: str, email: str) -> Callable[[], Awaitable[object]]:
    return lambda: service.passwords.admin_set(user, NEW)


async def by_link(service: Service, mailbox, user: str, email: str) -> Callable[[], Awaitable[object]]:
    await service.passwords.request_reset(email)
    await finish_background(service)
    token = mailbox.last(email).token
    return lambda: service.passwords.confirm_reset(token, NEW)


async def new_user(service: Service, step: int) -> tuple[str, str]:
    email = f"ada{step}@example.test"
    user = await service.users.add(email=email, username=f"ada_{step}", verified=True)
    await service.passwords.store_hash(user.id, await service.rt.hasher.hash(OLD))
    for _ in range(2):
        await service.sessions.issue(user.id)
    return user.id, email


async def state(service: Service, user: str) -> tuple[object, ...]:
    return (
        await service.passwords.verify(user, NEW),
        len(await service.sessions.list_for_user(user)),
        await service.pool.fetchval(
            "select count(*) from profiles.session_events where event = 'password_changed' and user_id = $1",
            user,
        ),
        await service.pool.fetchval("select auth_epoch from profiles.users where id = $1::text::uuid", user),
    )


BEFORE, AFTER = (False, 2, 0, 0), (True, 0, 1, 1)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("start", [by_owner, by_operator, by_link])
async def test_a_password_is_set_wholly_or_not_at_all(
    service: Service, mailbox, connection_killer: ConnectionKiller, start, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        user, email = await new_user(service, step)
        change = await start(service, mailbox, user, email)
        with connection_killer.striking(moment, step):
            await change()
        stands = await state(service, user)
        assert stands in {BEFORE, AFTER}
        if not connection_killer.struck:
            assert stands == AFTER
            break
        if stands == BEFORE:
            await change()  # the token, too, is as good as it was
            assert await state(service, user) == AFTER
    assert step > 5


@pytest.mark.parametrize("kind", ["link", "code"])
async def test_a_reset_that_is_hung_up_on_leaves_its_secret_good_or_the_password_set(
    make_service, mailbox, kind: str, rounds
) -> None:
    class CodesOnly:
        send_password_reset_code = mailbox.send_password_reset_code
        send_email_verification_code = mailbox.send_email_verification_code
        send_login_code = mailbox.send_login_code
        send_welcome = mailbox.send_welcome

    service = await make_service(**({"email_sender": CodesOnly()} if kind == "code" else {}))
    for step in range(rounds(200)):
        user, email = await new_user(service, step)
        request_id = await service.passwords.request_reset(email)
        await finish_background(service)
        message = mailbox.last(email)

        async def confirm(
            email: str = email,
            code: str = message.code,
            token: str = message.token,
            request: str = request_id,
        ) -> str:
            if kind == "link":
                return await service.passwords.confirm_reset(token, NEW)
            return await service.passwords.confirm_reset_code(email, code, NEW, request_id=request)

        task = asyncio.create_task(confirm())
        for _ in range(step % 25):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if await state(service, user) != AFTER:
            assert await state(service, user) == BEFORE
            assert await confirm() == user


async def test_the_event_is_in_the_transaction_of_the_change(service: Service, monkeypatch) -> None:
    user, _ = await new_user(service, 0)

    async def fail(*_: object, **__: object) -> int:
        raise errors.DatabaseUnavailable

    for change in (
        lambda: service.passwords.change(user, OLD, NEW),
        lambda: service.passwords.admin_set(user, NEW),
        lambda: service.passwords.upsert_hash(user, "x", "legacy-reset-required", revoke_sessions=True),
    ):
        with monkeypatch.context() as failing, pytest.raises(errors.DatabaseUnavailable):
            failing.setattr("authkit_issuer.domains.credentials.password_update.Events.record", fail)
            await change()
        assert await state(service, user) == BEFORE


async def frozen(service: Service, user: str) -> tuple[int, int]:
    """Return how many logins are frozen, and how many events say so."""
    logins = await service.providers.list_for_user(user)
    count = "select count(*) from profiles.session_events where event = 'logins_frozen' and user_id = $1"
    return sum(login.frozen for login in logins), await service.pool.fetchval(count, user)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_first_proof_freezes_the_logins_with_the_new_password_or_not_at_all(
    make_service, mailbox, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    service = await make_service(verification_required=False)
    step = 0
    while True:
        step += 1
        email = f"ada{step}@example.test"
        user = (await service.users.create(email, f"ada_{step}")).id
        await service.providers.link_by_issuer(user, "https://git.example.test", "github", f"other-{step}")
        reset = await by_link(service, mailbox, user, email)
        with connection_killer.striking(moment, step):
            await reset()
        stands = int(await service.passwords.verify(user, NEW))
        assert await frozen(service, user) == (stands, stands)
        with suppress(errors.InvalidOrExpiredToken):
            await reset()
        assert await frozen(service, user) == (1, 1)
        assert await service.passwords.verify(user, NEW)
        if not connection_killer.struck:
            break
