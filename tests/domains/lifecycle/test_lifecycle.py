"""Bans and deletions: what ends with them, what stays, what can be undone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authkit_issuer import Client, errors
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.service import Service
from fakes.users import finish_background

UNKNOWN_USER = "00000000-0000-4000-8000-000000000000"
CLIENT = Client(ip="192.0.2.1", user_agent="test")


def future(**by: float) -> datetime:
    return datetime.now(UTC) + timedelta(**(by or {"hours": 1}))


async def ada(service: Service, name: str = "ada_l") -> str:
    return (await service.users.create(f"{name}@example.test", name)).id


async def epoch(service: Service, user: str) -> int:
    return await service.pool.fetchval(
        "select auth_epoch from profiles.users where id = $1::text::uuid", user
    )


async def events(service: Service, *kinds: str) -> list[dict[str, Any]]:
    rows = await service.pool.fetch(
        "select user_id, session_id, reason, actor, target, data::text, host(ip_addr) as ip"
        " from profiles.session_events where event = any($1) order by id",
        list(kinds),
    )
    return [dict(row) | {"data": json.loads(row["data"])} for row in rows]


async def test_a_ban_ends_the_sessions_of_every_issuer_and_says_so(service: Service, make_service) -> None:
    elsewhere = await make_service(issuer="https://other.example.test")
    user, author = await ada(service), await ada(service, "moira")
    here, there = await service.sessions.issue(user), await elsewhere.sessions.issue(user)
    until = future()
    await service.lifecycle.ban(user, "  spam ", until, author, client=CLIENT)
    ended = await events(service, "session_revoked")
    assert {(event["session_id"], event["reason"]) for event in ended} == {
        (here.session_id, "banned"),
        (there.session_id, "banned"),
    }
    found = await service.users.get(user)
    assert found.banned_at is not None
    assert (found.banned_until, found.ban_reason, found.banned_by) == (until, "spam", author)
    assert not await service.users.is_allowed(user)
    for owner, issued in ((service, here), (elsewhere, there)):
        with pytest.raises(errors.InvalidRefreshToken):
            await owner.sessions.resolve(issued.refresh_token)
        with pytest.raises(errors.UserBanned):
            await owner.sessions.exchange(issued.refresh_token)
        with pytest.raises(errors.UserBanned):
            await owner.sessions.issue(user)
        with pytest.raises(errors.UserBanned):
            await owner.tokens.issue_access(user)
    (told,) = await events(service, "user_banned")
    assert (told["user_id"], told["actor"], told["target"], told["ip"]) == (user, author, user, "192.0.2.1")
    assert told["data"] == {"reason": "spam", "until": until.isoformat()}
    assert await epoch(service, user) == 1


async def test_a_proof_from_before_a_ban_or_a_deletion_opens_nothing_after_it(service: Service) -> None:
    user = await ada(service)
    before = await epoch(service, user)
    await service.lifecycle.ban(user)
    await service.lifecycle.unban(user)
    with pytest.raises(errors.InvalidCredentials):
        await service.sessions.issue(user, auth_epoch=before)
    before = await epoch(service, user)
    await service.lifecycle.soft_delete(user)
    deleted = await epoch(service, user)
    await service.lifecycle.restore(user)
    for stale in (before, deleted):
        with pytest.raises(errors.InvalidCredentials):
            await service.sessions.issue(user, auth_epoch=stale)
    assert await service.sessions.list_for_user(user) == []
    assert await service.sessions.issue(user, auth_epoch=await epoch(service, user))


async def test_a_ban_must_end_in_the_future_of_the_database(service: Service) -> None:
    user = await ada(service)
    issued = await service.sessions.issue(user)
    for wrong in (future(seconds=-1), datetime(2999, 1, 1)):  # noqa: DTZ001 - without a zone on purpose
        with pytest.raises(errors.InvalidUntil):
            await service.lifecycle.ban(user, until=wrong)
    assert await service.users.is_allowed(user)
    assert await service.sessions.resolve(issued.refresh_token) == issued.session_id


async def test_who_is_not_there_can_neither_be_banned_nor_ban(service: Service) -> None:
    user = await ada(service)
    for unknown in (UNKNOWN_USER, "no id"):
        with pytest.raises(errors.UserNotFound):
            await service.lifecycle.ban(unknown)
        with pytest.raises(errors.UserNotFound) as refused:
            await service.lifecycle.ban(user, banned_by=unknown)
        assert refused.value.param == "banned_by"
        for refuse in (service.lifecycle.unban, service.lifecycle.soft_delete, service.lifecycle.restore):
            with pytest.raises(errors.UserNotFound):
                await refuse(unknown)
        assert not await service.lifecycle.hard_delete(unknown)
        assert not await service.lifecycle.delete(unknown, soft=True)
        assert not await service.lifecycle.delete(unknown, soft=False)
        assert await service.lifecycle.anonymise_events(unknown) == 0
    with pytest.raises(errors.Invalid):
        await service.lifecycle.ban(user, "a\x00b")
    assert await service.users.is_allowed(user)


async def test_unbanning_clears_the_ban_and_brings_no_session_back(service: Service) -> None:
    user, author = await ada(service), await ada(service, "moira")
    issued = await service.sessions.issue(user)
    await service.lifecycle.ban(user, " ", banned_by=author)
    assert (await service.users.get(user)).ban_reason is None
    for _ in range(2):
        await service.lifecycle.unban(user, actor="operator")
    found = await service.users.get(user)
    assert (found.banned_at, found.banned_until, found.ban_reason, found.banned_by) == (None,) * 4
    with pytest.raises(errors.InvalidRefreshToken):
        await service.sessions.resolve(issued.refresh_token)
    (told,) = await events(service, "user_unbanned")
    assert told["actor"] == "operator"


async def test_a_lapsed_ban_counts_no_longer_and_is_cleared_in_passing(service: Service, age) -> None:
    lapsed, running, endless = [await ada(service, f"user_{n}") for n in range(3)]
    await service.lifecycle.ban(lapsed, until=future())
    await service.lifecycle.ban(running, until=future())
    await service.lifecycle.ban(endless)
    await age("users", lapsed, banned_until=3601)
    assert await service.users.is_allowed(lapsed)
    assert await service.sessions.issue(lapsed)
    await service.maintain()
    assert (await service.users.get(lapsed)).banned_at is None
    assert (await service.users.get(running)).banned_at is not None
    assert (await service.users.get(endless)).banned_at is not None
    (told,) = await events(service, "user_unbanned")
    assert (told["user_id"], told["reason"]) == (lapsed, "lapsed")
    assert await service.lifecycle.lift_lapsed_bans() == 0


async def test_a_soft_deletion_keeps_what_was_taken_and_the_time_of_the_first(service: Service, age) -> None:
    user = await ada(service)
    await service.users.update_username(user, "countess")
    issued = await service.sessions.issue(user)
    await service.lifecycle.soft_delete(user, actor="operator", client=CLIENT)
    await age("users", user, deleted_at=3600)
    first = (await service.users.get(user)).deleted_at
    await service.lifecycle.soft_delete(user)
    assert (await service.users.get(user)).deleted_at == first
    assert not await service.users.is_allowed(user)
    with pytest.raises(errors.UserBanned):
        await service.sessions.exchange(issued.refresh_token)
    for name in ("countess", "ada_l"):
        with pytest.raises(errors.UsernameInUse):
            await service.users.create(None, name)
    (ended,) = await events(service, "session_revoked")
    assert ended["reason"] == "soft_deleted"
    (told,) = await events(service, "user_soft_deleted")
    assert (told["actor"], told["target"], told["ip"]) == ("operator", user, "192.0.2.1")


async def test_restoring_takes_back_the_deletion_and_nothing_else(service: Service) -> None:
    user = await ada(service)
    await service.sessions.issue(user)
    await service.lifecycle.ban(user, "spam")
    assert await service.lifecycle.delete(user, soft=True)
    for _ in range(2):
        await service.lifecycle.restore(user)
    found = await service.users.get(user)
    assert found.deleted_at is None
    assert found.ban_reason == "spam"
    assert await service.sessions.list_for_user(user) == []
    assert len(await events(service, "user_restored")) == 1


async def test_a_hard_deletion_ends_sessions_and_frees_address_and_names(service: Service) -> None:
    user = await ada(service)
    await service.users.update_username(user, "countess")
    issued = await service.sessions.issue(user)
    over = await service.sessions.issue(user)
    await service.sessions.revoke(over.session_id)
    assert await service.lifecycle.delete(user, soft=False, actor="operator")
    assert not await service.lifecycle.hard_delete(user)
    assert await service.users.get(user) is None
    with pytest.raises(errors.InvalidRefreshToken):
        await service.sessions.exchange(issued.refresh_token)
    with pytest.raises(errors.UserNotFound):
        await service.sessions.issue(user)
    again = await service.users.create("ada_l@example.test", "ada_l")
    await service.users.update_username(again.id, "countess")
    ended = await events(service, "session_revoked")
    assert [(event["session_id"], event["reason"]) for event in ended] == [
        (over.session_id, "admin_revoke"),
        (issued.session_id, "admin_revoke_all"),
    ]
    (told,) = await events(service, "user_deleted")
    assert (told["user_id"], told["actor"], told["target"]) == (user, "operator", user)


async def test_the_author_of_a_ban_can_be_deleted_and_the_ban_stays(service: Service) -> None:
    user, author = await ada(service), await ada(service, "moira")
    await service.lifecycle.ban(user, "spam", banned_by=author)
    assert await service.lifecycle.hard_delete(author)
    found = await service.users.get(user)
    assert (found.ban_reason, found.banned_by) == ("spam", None)
    assert not await service.users.is_allowed(user)


async def test_lifecycle_calls_join_the_transaction_of_a_host(service: Service) -> None:
    user = await ada(service)
    issued = await service.sessions.issue(user)
    with pytest.raises(ZeroDivisionError):
        async with service.transaction() as tx:
            await tx.lifecycle.ban(user)
            await tx.lifecycle.soft_delete(user)
            await tx.lifecycle.hard_delete(user)
            raise ZeroDivisionError
    assert await service.users.is_allowed(user)
    assert await service.sessions.resolve(issued.refresh_token) == issued.session_id
    assert await events(service, "user_banned", "user_deleted", "session_revoked") == []


async def test_erasure_wipes_what_the_trail_says_of_a_user_and_keeps_what_happened(
    service: Service,
) -> None:
    user, other = await ada(service), await ada(service, "other")
    await service.sessions.issue(user, method="test", client=CLIENT)
    await service.sessions.issue(other, method="test", client=CLIENT)
    await service.users.update_email(user, "new@example.test", client=CLIENT)
    await service.lifecycle.ban(other, "private words", banned_by=user, client=CLIENT)
    for reason in ("a man of Elm Street", "user_disabled"):
        await service.events.record(
            SessionEventType.TWO_FACTOR_DISABLED, actor="operator", user_id=user, reason=reason
        )
    await service.lifecycle.hard_delete(user)
    assert await service.lifecycle.anonymise_events(user.upper(), actor="operator") >= 4
    trail = await service.pool.fetchval(
        "select string_agg(e::text, '') from profiles.session_events e where user_id = $1 or actor = $1", user
    )
    for trace in ("192.0.2.1", "new@example.test", "ada_l@example.test", "private words", "Elm"):
        assert trace not in trail
    for kept in ("user_deleted", "user_disabled"):
        assert kept in trail
    created = [event for event in await events(service, "session_created") if event["user_id"] == other]
    assert [event["ip"] for event in created] == ["192.0.2.1"]
    (told,) = await events(service, "user_anonymised")
    assert told["actor"] == "operator"


async def test_without_the_ephemeral_store_users_are_changed_and_ended_all_the_same(
    make_service, own_redis
) -> None:
    service = await make_service(redis_url=own_redis.url)
    user = await ada(service)
    issued = await service.sessions.issue(user)
    own_redis.stop()
    await service.users.update_email(user, "new@example.test")
    await service.users.update_username(user, "countess")
    await finish_background(service)
    assert service.rt.background.failures == 1
    assert not (await service.users.get(user)).email_verified
    await service.lifecycle.ban(user)
    with pytest.raises(errors.InvalidRefreshToken):
        await service.sessions.resolve(issued.refresh_token)
    await service.lifecycle.soft_delete(user)
    assert await service.lifecycle.hard_delete(user)
