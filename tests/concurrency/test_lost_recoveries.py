"""The connection is killed at every statement of a recovery: what was done is done wholly or not at all."""

from __future__ import annotations

import pytest

from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment
from fakes.factors import PASSWORD, events, with_app
from fakes.mail import Mailbox
from fakes.recovery import DAY, DELAY, challenge_of, let_pass, wait_out
from fakes.users import finish_background


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(recovery_delay=DELAY)


async def _notices(service: Service, mailbox: Mailbox, email: str, kind: str) -> int:
    await finish_background(service)
    return len([one for one in mailbox.to(email) if one.kind == kind])


async def _recorded(service: Service, kind: str, user_id: str) -> int:
    return len([event for event in await events(service, kind) if event["user_id"] == user_id])


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_recovery_starts_wholly_or_not_at_all_and_its_notices_go_out_once(
    service: Service, mailbox: Mailbox, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        email = f"ada{step}@example.test"
        user_id, _, _ = await with_app(service, email, password=PASSWORD)
        challenge = await challenge_of(service, email)
        with connection_killer.striking(moment, step):
            await service.recovery.start(user_id, challenge)
        struck = connection_killer.struck
        opened = await service.recovery.get(user_id) is not None
        assert await _recorded(service, "recovery_requested", user_id) == int(opened)
        assert await _notices(service, mailbox, email, "recovery_requested") <= int(opened)
        await service.recovery.start(user_id, challenge)
        await finish_background(service)
        await service.recovery.remind()
        assert await _notices(service, mailbox, email, "recovery_requested") == 1
        await let_pass(service, DAY)
        with connection_killer.striking(moment, step):
            await service.recovery.remind()
        struck = struck or connection_killer.struck
        await service.recovery.remind()
        assert await _notices(service, mailbox, email, "recovery_waiting") <= 1
        await service.recovery.cancel(user_id)
        if not struck:
            break
    assert step > 5


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_recovery_completes_wholly_or_not_at_all(
    service: Service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        email = f"ada{step}@example.test"
        user_id, _, _ = await with_app(service, email, password=PASSWORD)
        await service.recovery.start(user_id, await challenge_of(service, email))
        await wait_out(service)
        challenge = await challenge_of(service, email)
        with connection_killer.striking(moment, step):
            await service.recovery.complete(user_id, challenge)
        on = (await service.second_factors.list_for_user(user_id)).enabled
        assert await _recorded(service, "recovery_completed", user_id) == int(not on)
        assert (await service.recovery.get(user_id) is not None) is on
        if on:
            assert await service.recovery.complete(user_id, challenge)
        else:
            assert await service.logins.with_password(email, PASSWORD)
        if not connection_killer.struck:
            break
    assert step > 8


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_recovery_is_cancelled_wholly_or_not_at_all(
    service: Service, mailbox: Mailbox, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        email = f"ada{step}@example.test"
        user_id, _, _ = await with_app(service, email, password=PASSWORD)
        await service.recovery.start(user_id, await challenge_of(service, email))
        await finish_background(service)
        token = mailbox.last(email).token
        with connection_killer.striking(moment, step):
            await service.recovery.cancel_by_token(token)
        cancelled = await service.recovery.get(user_id) is None
        assert await _recorded(service, "recovery_cancelled", user_id) == int(cancelled)
        await service.recovery.cancel_by_token(token)
        assert await service.recovery.get(user_id) is None
        if not connection_killer.struck:
            break
    assert step > 4
