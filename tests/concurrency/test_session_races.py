"""What must hold whatever happens at the same moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from weakref import WeakValueDictionary

from authkit_issuer import errors
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.ports import Client
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
        pair = await service.sessions.exchange(issued.refresh_token)
        await service.sessions.exchange(pair.refresh_token)
        await age("refresh_sessions", issued.session_id, rotated_at=31)
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


async def test_parallel_uses_from_elsewhere_are_one_event_and_count_once(service: Service, rounds) -> None:
    """Each is alone with its token in its process, as with several servers."""
    home, elsewhere = Client(ip="192.0.2.1"), Client(ip="198.51.100.7")
    for number in range(rounds(100)):
        user = await new_user(service, number)
        issued = await service.sessions.issue(user, client=home)
        pair = await service.sessions.exchange(issued.refresh_token, client=home)
        servers = [
            Sessions(replace(service.rt, exchanges=WeakValueDictionary())).exchange(
                issued.refresh_token, client=elsewhere
            )
            for _ in range(6)
        ]
        found = await asyncio.gather(*servers)
        assert {entry.refresh_token for entry in found} == {pair.refresh_token}
        row = await service.pool.fetchrow(
            "select forgiven_in_row, forgiven_generation from profiles.refresh_sessions where id = $1::uuid",
            issued.session_id,
        )
        assert tuple(row) == (1, 1)
        assert await shared_events(service, issued.session_id) == 1


async def test_a_use_from_elsewhere_beside_the_rotation_of_its_successor_gets_a_living_token(
    service: Service, rounds
) -> None:
    for number in range(rounds(100)):
        user = await new_user(service, number)
        issued = await service.sessions.issue(user)
        pair = await service.sessions.exchange(issued.refresh_token)
        late, rotated = await asyncio.gather(
            service.sessions.exchange(issued.refresh_token), service.sessions.exchange(pair.refresh_token)
        )
        assert late.refresh_token in {pair.refresh_token, rotated.refresh_token}
        await service.sessions.exchange(late.refresh_token)
        assert len(await service.sessions.list_for_user(user)) == 1


async def shared_events(service: Service, session_id: str) -> int:
    return await service.pool.fetchval(
        "select count(*) from profiles.session_events"
        " where event = 'session_refresh_shared' and session_id = $1",
        session_id,
    )


async def test_two_sweeps_of_one_user_do_not_deadlock(service: Service, rounds) -> None:
    for number in range(rounds(200)):
        user = await new_user(service, number)
        for _ in range(3):
            await service.sessions.issue(user)
        counts = await asyncio.gather(*(service.sessions.revoke_all(user) for _ in range(6)))
        assert sum(counts) == 3
