"""Reused refresh tokens: what is forgiven, for how long and how often, and what ends the session."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer import errors
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.security import refresh_token
from authkit_issuer.service import Service

HOME = Client(ip="192.0.2.1", user_agent="browser")
THIEF = Client(ip="198.51.100.7", user_agent="curl")


@pytest.fixture
async def user(service: Service) -> str:
    return (await service.users.create("ada@example.test", "ada_l")).id


def generation(service: Service, token: str) -> int:
    found = refresh_token.decode(service.rt.keys.current(), service.config.issuer, token)
    assert found is not None
    return found.generation


async def events(service: Service) -> list[tuple[str, str | None]]:
    rows = await service.pool.fetch("select event, reason from profiles.session_events order by id")
    return [(row["event"], row["reason"]) for row in rows if row["event"] != "user_created"]


async def rotate(service: Service, token: str, times: int) -> list[str]:
    """Return the token and each of its successors."""
    tokens = [token]
    for _ in range(times):
        tokens.append((await service.sessions.exchange(tokens[-1])).refresh_token)
    return tokens


# --- how long ---------------------------------------------------------------------------------------------


async def test_a_client_that_asks_again_gets_the_same_successor(service: Service, user: str) -> None:
    issued = await service.sessions.issue(user, client=HOME)
    first = await service.sessions.exchange(issued.refresh_token, client=HOME)
    again = await service.sessions.exchange(issued.refresh_token, client=HOME)
    assert again.refresh_token == first.refresh_token
    assert again.session_id == first.session_id
    assert await events(service) == []


async def test_a_lost_answer_is_repeated_for_as_long_as_the_successor_is_unused(
    service: Service, user: str, age
) -> None:
    issued = await service.sessions.issue(user)
    lost = await service.sessions.exchange(issued.refresh_token)
    await age("refresh_sessions", issued.session_id, rotated_at=29 * 86_400)
    assert (await service.sessions.exchange(issued.refresh_token)).refresh_token == lost.refresh_token


async def test_a_late_request_of_another_tab_works_after_the_successor_was_used(
    service: Service, user: str
) -> None:
    issued = await service.sessions.issue(user)
    tokens = await rotate(service, issued.refresh_token, 2)
    assert (await service.sessions.exchange(tokens[0])).refresh_token == tokens[2]


async def test_the_grace_begins_when_the_successor_is_used(service: Service, user: str, age) -> None:
    issued = await service.sessions.issue(user)
    tokens = await rotate(service, issued.refresh_token, 1)
    await age("refresh_sessions", issued.session_id, rotated_at=3600)
    tokens = await rotate(service, tokens[1], 1)
    await age("refresh_sessions", issued.session_id, rotated_at=29)
    assert (await service.sessions.exchange(issued.refresh_token)).refresh_token == tokens[1]
    await age("refresh_sessions", issued.session_id, rotated_at=2)
    with pytest.raises(errors.RefreshTokenReuseDetected) as raised:
        await service.sessions.exchange(issued.refresh_token, client=HOME)
    assert raised.value.evidence == {"class": "stale", "presented": 0, "current": 2, "distance": 2}
    for token in (tokens[1], issued.refresh_token):
        with pytest.raises(errors.InvalidRefreshToken) as refused:
            await service.sessions.exchange(token)
        assert refused.value.code == "invalid_refresh_token"
    assert await events(service) == [("session_revoked", "refresh_reuse_detected")]


async def test_the_grace_does_not_start_anew_with_a_later_rotation(service: Service, user: str, age) -> None:
    issued = await service.sessions.issue(user)
    tokens = await rotate(service, issued.refresh_token, 2)
    await age("refresh_sessions", issued.session_id, rotated_at=20)
    await rotate(service, tokens[2], 1)
    await age("refresh_sessions", issued.session_id, rotated_before=11)
    with pytest.raises(errors.RefreshTokenReuseDetected):
        await service.sessions.exchange(issued.refresh_token)


async def test_three_generations_back_are_forgiven_and_a_fourth_is_not(service: Service, user: str) -> None:
    issued = await service.sessions.issue(user)
    tokens = await rotate(service, issued.refresh_token, 4)
    assert (await service.sessions.exchange(tokens[1])).refresh_token == tokens[4]
    with pytest.raises(errors.RefreshTokenReuseDetected):
        await service.sessions.exchange(tokens[0])


async def test_a_replay_of_any_age_is_seen_and_leaves_other_sessions_alone(
    service: Service, user: str
) -> None:
    other = await service.sessions.issue(user)
    issued = await service.sessions.issue(user)
    await rotate(service, issued.refresh_token, 5)
    with pytest.raises(errors.RefreshTokenReuseDetected) as raised:
        await service.sessions.exchange(issued.refresh_token)
    assert raised.value.evidence["class"] == "stale"
    assert await service.sessions.resolve(other.refresh_token) == other.session_id


async def test_with_grace_off_the_first_repeat_is_a_replay(make_service) -> None:
    service = await make_service(refresh_rotation_grace=0.0)
    user = (await service.users.create("ada@example.test", "ada_l")).id
    issued = await service.sessions.issue(user)
    await service.sessions.exchange(issued.refresh_token)
    with pytest.raises(errors.RefreshTokenReuseDetected) as raised:
        await service.sessions.exchange(issued.refresh_token)
    assert raised.value.evidence["class"] == "recent"


async def test_no_token_of_an_ended_session_is_forgiven(service: Service, user: str) -> None:
    issued = await service.sessions.issue(user)
    pair = await service.sessions.exchange(issued.refresh_token)
    await service.sessions.revoke_for_user(user, issued.session_id, reason=SessionRevokeReason.LOGOUT)
    for token in (issued.refresh_token, pair.refresh_token):
        with pytest.raises(errors.InvalidRefreshToken) as refused:
            await service.sessions.exchange(token)
        assert refused.value.code == "invalid_refresh_token"
    assert await events(service) == [("session_revoked", "logout")]


# --- how often --------------------------------------------------------------------------------------------


async def followed(service: Service, token: str, thief: Client, *, thief_first: bool) -> int:
    """Let owner and thief share a session, each once per generation; return the turn that was refused."""
    parties = {"owner": (token, HOME), "thief": (token, thief)}
    order = ("thief", "owner") if thief_first else ("owner", "thief")
    for turn in range(20):
        for name in order:
            held, client = parties[name]
            try:
                pair = await service.sessions.exchange(held, client=client)
            except errors.RefreshTokenReuseDetected:
                return turn
            parties[name] = (pair.refresh_token, client)
    return 20


@pytest.mark.parametrize("thief_first", [False, True])
@pytest.mark.parametrize("thief", [HOME, THIEF], ids=["same network", "elsewhere"])
async def test_a_thief_who_follows_every_rotation_ends_the_session_at_the_fourth(
    service: Service, user: str, thief: Client, *, thief_first: bool
) -> None:
    issued = await service.sessions.issue(user, client=HOME)
    assert await followed(service, issued.refresh_token, thief, thief_first=thief_first) == 3
    assert await service.sessions.list_for_user(user) == []
    assert (await events(service))[-1] == ("session_revoked", "refresh_reuse_detected")


async def test_a_thief_who_leaves_out_every_other_generation_ends_the_session_as_well(
    service: Service, user: str
) -> None:
    issued = await service.sessions.issue(user, client=HOME)
    owner = thief = issued.refresh_token
    with pytest.raises(errors.RefreshTokenReuseDetected):
        for _ in range(4):
            for _ in range(2):
                owner = (await service.sessions.exchange(owner, client=HOME)).refresh_token
            thief = (await service.sessions.exchange(thief, client=HOME)).refresh_token


async def test_one_generation_is_forgiven_any_number_of_times_and_counts_once(
    service: Service, user: str
) -> None:
    issued = await service.sessions.issue(user)
    tokens = await rotate(service, issued.refresh_token, 1)
    for _ in range(10):
        assert (await service.sessions.exchange(tokens[0])).refresh_token == tokens[1]


async def test_a_rotation_that_needed_no_mercy_ends_the_row(service: Service, user: str) -> None:
    token = (await service.sessions.issue(user)).refresh_token
    for _ in range(3):
        for _ in range(3):
            lost = await service.sessions.exchange(token)
            assert (await service.sessions.exchange(token)).refresh_token == lost.refresh_token
            token = lost.refresh_token
        for _ in range(2):
            token = (await service.sessions.exchange(token)).refresh_token


async def test_tabs_that_refresh_at_one_moment_stay_signed_in(service: Service, user: str) -> None:
    token = (await service.sessions.issue(user)).refresh_token
    for _ in range(10):
        pairs = await asyncio.gather(*(service.sessions.exchange(token) for _ in range(5)))
        (token,) = {pair.refresh_token for pair in pairs}


async def test_a_thief_who_asks_twice_at_one_moment_is_counted(service: Service, user: str) -> None:
    issued = await service.sessions.issue(user, client=HOME)
    owner = thief = issued.refresh_token
    # One of the two ends the session, and the other may find it ended.
    with pytest.raises(errors.InvalidRefreshToken):
        for _ in range(4):
            owner = (await service.sessions.exchange(owner)).refresh_token
            (thief,) = {
                pair.refresh_token
                for pair in await asyncio.gather(*(service.sessions.exchange(thief) for _ in range(2)))
            }


async def test_a_thief_who_is_first_and_asks_twice_hides_no_use_of_the_owner(
    service: Service, user: str
) -> None:
    issued = await service.sessions.issue(user, client=HOME)
    owner = thief = issued.refresh_token
    with pytest.raises(errors.RefreshTokenReuseDetected):
        for _ in range(4):
            (thief,) = {
                pair.refresh_token
                for pair in await asyncio.gather(*(service.sessions.exchange(thief) for _ in range(2)))
            }
            owner = (await service.sessions.exchange(owner)).refresh_token


# --- sharing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "traced"),
    [
        (HOME, False),
        (Client(ip="192.0.2.1"), False),
        (Client(ip="198.51.100.7", user_agent="browser"), True),
        (Client(ip="192.0.2.1", user_agent="curl"), True),
    ],
    ids=["same", "agent unknown", "other address", "other agent"],
)
async def test_a_forgiven_use_from_elsewhere_is_recorded_once_for_each_generation(
    service: Service, user: str, client: Client, *, traced: bool
) -> None:
    issued = await service.sessions.issue(user, client=HOME)
    pair = await service.sessions.exchange(issued.refresh_token, client=HOME)
    shared = [("session_refresh_shared", None)] if traced else []
    for _ in range(3):
        await service.sessions.exchange(issued.refresh_token, client=client)
    assert await events(service) == shared
    await service.sessions.exchange(pair.refresh_token, client=HOME)
    await service.sessions.exchange(pair.refresh_token, client=client)
    assert await events(service) == shared * 2


async def test_an_event_that_cannot_be_written_leaves_the_sharing_to_the_next_use(
    service: Service, user: str
) -> None:
    issued = await service.sessions.issue(user, client=HOME)
    await service.sessions.exchange(issued.refresh_token, client=HOME)
    await service.pool.execute(
        "alter table profiles.session_events add constraint outage check (event <> 'session_refresh_shared')"
        " not valid"
    )
    try:
        with pytest.raises(Exception, match="outage"):
            await service.sessions.exchange(issued.refresh_token, client=THIEF)
    finally:
        await service.pool.execute("alter table profiles.session_events drop constraint outage")
    await service.sessions.exchange(issued.refresh_token, client=THIEF)
    assert await events(service) == [("session_refresh_shared", None)]


# --- no oracle --------------------------------------------------------------------------------------------


async def test_the_session_of_a_token_is_named_whether_it_was_replaced_or_not(
    service: Service, user: str
) -> None:
    issued = await service.sessions.issue(user)
    tokens = await rotate(service, issued.refresh_token, 5)
    assert {await service.sessions.resolve(token) for token in tokens} == {issued.session_id}
    assert await events(service) == []
    assert await service.sessions.grant_of(tokens[0]) is None
    grant = await service.sessions.grant_of(tokens[5])
    assert grant is not None
    assert grant.session_id == issued.session_id
    await service.sessions.revoke(issued.session_id)
    for token in tokens:
        with pytest.raises(errors.InvalidRefreshToken):
            await service.sessions.resolve(token)
