"""What must hold whatever happens at the same moment."""

from __future__ import annotations

import asyncio

from authkit_issuer import errors
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.service import Service


async def new_user(service: Service, number: int) -> str:
    return (await service.users.create(f"u{number}@example.test", f"user_{number}")).id


async def test_twenty_parallel_exchanges_have_one_successor(service: Service, rounds) -> None:
    for number in range(rounds(100)):
        user = await new_user(service, number)
        issued = await service.sessions.issue(user)
        pairs = await asyncio.gather(*(service.sessions.exchange(issued.refresh_token) for _ in range(20)))
        assert len({pair.refresh_token for pair in pairs}) == 1
        (live,) = await service.sessions.list_for_user(user)
        assert live.id == issued.session_id
        assert await service.sessions.resolve(pairs[0].refresh_token) == issued.session_id


async def test_logging_out_beats_an_exchange_in_flight(service: Service, rounds) -> None:
    for number in range(rounds(1000)):
        user = await new_user(service, number)
        issued = await service.sessions.issue(user)
        outcome, ended = await asyncio.gather(
            service.sessions.exchange(issued.refresh_token),
            service.sessions.revoke_for_user(user, issued.session_id, reason=SessionRevokeReason.LOGOUT),
            return_exceptions=True,
        )
        assert ended is True
        tokens = [issued.refresh_token]
        if not isinstance(outcome, BaseException):
            tokens.append(outcome.refresh_token)
        for token in tokens:
            refused = await asyncio.gather(service.sessions.exchange(token), return_exceptions=True)
            assert type(refused[0]) is errors.InvalidRefreshToken
        assert await service.sessions.list_for_user(user) == []


async def test_a_login_in_flight_does_not_survive_signing_out_everywhere(service: Service, rounds) -> None:
    for number in range(rounds(1000)):
        user = await new_user(service, number)
        await asyncio.gather(
            service.sessions.issue(user, auth_epoch=0),
            service.sessions.revoke_all(user),
            return_exceptions=True,
        )
        assert await service.sessions.list_for_user(user) == []


async def test_parallel_replays_end_the_session_once(service: Service, age, rounds) -> None:
    for number in range(rounds(100)):
        user = await new_user(service, number)
        issued = await service.sessions.issue(user)
        await service.sessions.exchange(issued.refresh_token)
        await age("refresh_sessions", issued.session_id, grace_since=31, rotated_at=31)
        refusals = await asyncio.gather(
            *(service.sessions.exchange(issued.refresh_token) for _ in range(8)), return_exceptions=True
        )
        assert all(isinstance(refusal, errors.InvalidRefreshToken) for refusal in refusals)
        assert sum(isinstance(r, errors.RefreshTokenReuseDetected) for r in refusals) == 1
        assert (
            await service.pool.fetchval(
                "select count(*) from profiles.session_events"
                " where event = 'session_revoked' and session_id = $1",
                issued.session_id,
            )
            == 1
        )


async def test_two_sweeps_of_one_user_do_not_deadlock(service: Service, rounds) -> None:
    for number in range(rounds(200)):
        user = await new_user(service, number)
        for _ in range(3):
            await service.sessions.issue(user)
        counts = await asyncio.gather(*(service.sessions.revoke_all(user) for _ in range(6)))
        assert sum(counts) == 3
