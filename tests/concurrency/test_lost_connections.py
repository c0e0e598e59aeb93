"""The database connection is killed at every statement: what stands is the old state or the new one.

Before a statement, after it, and after a commit whose answer never arrives. The caller hears "try again",
never "wrong code" or "invalid token", and trying again works.
"""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment
from fakes.users import finish_background

EMAIL = "ada@example.test"
PASSWORD = "correct horse battery"


async def start(service: Service, mailbox, number: int) -> tuple[str, str, str]:
    email = f"ada{number}@example.test"
    started = await service.registration.register(email, f"ada_{number}", PASSWORD)
    await finish_background(service)
    return email, mailbox.last(email).code, started.registration_id


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_registration_is_confirmed_wholly_or_not_at_all(
    service: Service, mailbox, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    number = 0
    while True:
        number += 1
        email, code, registration_id = await start(service, mailbox, number)
        with connection_killer.striking(moment, number):
            await service.registration.confirm_email(email, code, registration_id=registration_id)
        user = await service.users.get_by_email(email)
        if user is not None:
            assert await service.passwords.has(user.id)
            assert (
                await service.pool.fetchval(
                    "select count(*) from profiles.names where user_id = $1::text::uuid", user.id
                )
                == 1
            )
        assert await service.pool.fetchval(
            "select count(*) from profiles.session_events where event = 'user_created'"
        ) == await service.pool.fetchval("select count(*) from profiles.users")
        if not connection_killer.struck:
            break
        confirmed = await service.registration.confirm_email(email, code, registration_id=registration_id)
        assert user is None or confirmed == user.id
        assert await service.passwords.verify(confirmed, PASSWORD)
    assert number > 5


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_confirming_sign_in_can_be_asked_again_until_it_answers(
    service: Service, mailbox, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    number = 0
    while True:
        number += 1
        email, code, registration_id = await start(service, mailbox, number)
        connection_killer.arm(moment, number)
        try:
            pair = await service.logins.with_registration_code(email, code, registration_id=registration_id)
        except errors.DatabaseUnavailable:
            connection_killer.disarm()
            pair = await service.logins.with_registration_code(email, code, registration_id=registration_id)
        connection_killer.disarm()
        assert await service.sessions.resolve(pair.refresh_token) == pair.session_id
        if not connection_killer.struck:
            break
    assert number > 8


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_exchange_whose_answer_was_lost_gives_the_same_successor(
    service: Service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    user = await service.users.create(EMAIL, "ada_l")
    token = (await service.sessions.issue(user.id)).refresh_token
    step = 0
    while True:
        step += 1
        connection_killer.arm(moment, step)
        try:
            pair = await service.sessions.exchange(token)
        except errors.DatabaseUnavailable:
            connection_killer.disarm()
            pair = await service.sessions.exchange(token)
            again = await service.sessions.exchange(token)
            assert again.refresh_token == pair.refresh_token
        connection_killer.disarm()
        assert len(await service.sessions.list_for_user(user.id)) == 1
        assert await service.sessions.resolve(pair.refresh_token) == pair.session_id
        if not connection_killer.struck:
            break
        token = pair.refresh_token
    assert step > 1


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_replayed_token_ends_its_session_whatever_is_lost_on_the_way(
    service: Service, connection_killer: ConnectionKiller, age, moment: Moment
) -> None:
    user = await service.users.create(EMAIL, "ada_l")
    step = 0
    while True:
        step += 1
        issued = await service.sessions.issue(user.id)
        pair = await service.sessions.exchange(issued.refresh_token)
        pair = await service.sessions.exchange(pair.refresh_token)
        await age("refresh_sessions", issued.session_id, rotated_at=31)
        connection_killer.arm(moment, step)
        try:
            with pytest.raises(errors.InvalidRefreshToken):
                await service.sessions.exchange(issued.refresh_token)
        except errors.DatabaseUnavailable:
            connection_killer.disarm()
            with pytest.raises(errors.InvalidRefreshToken):
                await service.sessions.exchange(issued.refresh_token)
        connection_killer.disarm()
        with pytest.raises(errors.InvalidRefreshToken):
            await service.sessions.resolve(pair.refresh_token)
        assert (
            await service.pool.fetchval(
                "select count(*) from profiles.session_events"
                " where session_id = $1 and event = 'session_revoked'",
                issued.session_id,
            )
            == 1
        )
        if not connection_killer.struck:
            break
    assert step > 3


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_use_from_elsewhere_counts_once_with_its_event_whatever_is_lost_on_the_way(
    service: Service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    user = await service.users.create(EMAIL, "ada_l")
    home, elsewhere = Client(ip="192.0.2.1"), Client(ip="198.51.100.7")
    step = 0
    while True:
        step += 1
        issued = await service.sessions.issue(user.id, client=home)
        pair = await service.sessions.exchange(issued.refresh_token, client=home)
        with connection_killer.striking(moment, step):
            await service.sessions.exchange(issued.refresh_token, client=elsewhere)
        again = await service.sessions.exchange(issued.refresh_token, client=elsewhere)
        assert again.refresh_token == pair.refresh_token
        row = await service.pool.fetchrow(
            "select forgiven_in_row, shared_generation, ("
            "    select count(*) from profiles.session_events e"
            "    where e.session_id = s.id::text and e.event = 'session_refresh_shared')"
            " from profiles.refresh_sessions s where s.id = $1::uuid",
            issued.session_id,
        )
        assert tuple(row) == (1, 1, 1)
        if not connection_killer.struck:
            break
    assert step > 2


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_token_in_force_is_never_called_inactive_when_a_connection_is_lost(
    make_service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    service = await make_service(org_mode="multi")
    user = await service.users.create(EMAIL, "ada_l")
    issued = await service.sessions.issue(user.id)
    token = (await service.sessions.exchange(issued.refresh_token, org="ada-l")).access_token
    step = 0
    while True:
        step += 1
        with connection_killer.striking(moment, step):
            claims = await service.sessions.claims_of(token)
            assert claims is not None
            assert claims["roles"] == ["owner"]
        if not connection_killer.struck:
            break
    assert step > 2


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_signing_out_everywhere_is_all_or_nothing(
    service: Service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    user = await service.users.create(EMAIL, "ada_l")
    step = 0
    while True:
        step += 1
        for _ in range(2):
            await service.sessions.issue(user.id)
        before = len(await service.sessions.list_for_user(user.id))
        with connection_killer.striking(moment, step):
            await service.sessions.revoke_all(user.id)
        left = len(await service.sessions.list_for_user(user.id))
        assert left in {0, before}
        await service.sessions.revoke_all(user.id)
        assert await service.sessions.list_for_user(user.id) == []
        if not connection_killer.struck:
            break
    assert step > 3
