"""Refresh sessions: rotation, eviction and revocation; ``test_grace`` has reused tokens."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.security import refresh_token
from authkit_issuer.service import Service

HOME = Client(ip="192.0.2.1", user_agent="browser")


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


async def test_a_session_is_opened_with_everything_known_about_it(service: Service, user: str) -> None:
    issued = await service.sessions.issue(user, method="test_login", client=HOME)
    (listed,) = await service.sessions.list_for_user(user)
    assert (listed.id, listed.ip, listed.user_agent) == (issued.session_id, "192.0.2.1", "browser")
    assert listed.expires_at is not None
    assert listed.expires_at - listed.created_at == timedelta(seconds=service.config.refresh_token_duration)
    assert listed.revoked_at is None
    assert await events(service) == [("session_created", None)]
    found = await service.users.get(user)
    assert found is not None
    assert found.last_login is not None
    assert issued.refresh_token not in repr(issued)


async def test_an_exchange_gives_the_successor_and_a_token_of_the_same_session(
    service: Service, user: str
) -> None:
    issued = await service.sessions.issue(user, amr=("pwd",))
    pair = await service.sessions.exchange(issued.refresh_token, client=HOME)
    assert generation(service, pair.refresh_token) == 1
    claims = await service.tokens.verify(pair.access_token)
    assert (claims.user_id, claims.session_id, claims.amr) == (user, issued.session_id, ("pwd",))
    assert await service.sessions.resolve(pair.refresh_token) == issued.session_id
    assert pair.refresh_token not in repr(pair)
    assert pair.access_token not in repr(pair)


async def test_an_exchange_without_client_facts_does_not_erase_them(service: Service, user: str) -> None:
    issued = await service.sessions.issue(user, client=HOME)
    await service.sessions.exchange(issued.refresh_token)
    (listed,) = await service.sessions.list_for_user(user)
    assert (listed.ip, listed.user_agent) == ("192.0.2.1", "browser")


async def test_a_forged_or_foreign_token_takes_no_query(make_service) -> None:
    service = await make_service(pool=None)
    await service.pool.close()  # any query would fail loudly now
    for token in ("", "akr_", "akr_" + "A" * 94, "x" * 98, "akr_" + "ä" * 94):
        with pytest.raises(errors.InvalidRefreshToken):
            await service.sessions.exchange(token)
        with pytest.raises(errors.InvalidRefreshToken):
            await service.sessions.resolve(token)


async def test_rotation_does_not_extend_the_life_of_a_session(service: Service, user: str, age) -> None:
    issued = await service.sessions.issue(user)
    await age("refresh_sessions", issued.session_id, expires_at=service.config.refresh_token_duration - 60)
    pair = await service.sessions.exchange(issued.refresh_token)
    (listed,) = await service.sessions.list_for_user(user)
    assert listed.expires_at is not None
    assert pair.expires_at <= listed.expires_at
    await age("refresh_sessions", issued.session_id, expires_at=61)
    with pytest.raises(errors.InvalidRefreshToken):
        await service.sessions.exchange(pair.refresh_token)


async def test_an_idle_session_is_over(make_service, age) -> None:
    service = await make_service(refresh_idle_duration=600.0)
    user = (await service.users.create("ada@example.test", "ada_l")).id
    issued = await service.sessions.issue(user)
    await age("refresh_sessions", issued.session_id, last_used_at=599)
    pair = await service.sessions.exchange(issued.refresh_token)
    await age("refresh_sessions", issued.session_id, last_used_at=601)
    for attempt in (service.sessions.exchange, service.sessions.resolve):
        with pytest.raises(errors.InvalidRefreshToken):
            await attempt(pair.refresh_token)


async def test_a_row_behind_its_token_is_brought_forward(service: Service, user: str) -> None:
    """A fail-over may lose the last commits; the genuine owner must not lose the session with them."""
    issued = await service.sessions.issue(user)
    token = issued.refresh_token
    for _ in range(3):
        token = (await service.sessions.exchange(token)).refresh_token
    await service.pool.execute("update profiles.refresh_sessions set generation = 1")
    pair = await service.sessions.exchange(token)
    assert generation(service, pair.refresh_token) == 4


async def test_a_valid_mac_with_a_wrong_nonce_ends_nothing_and_raises_an_alarm(
    service: Service, user: str
) -> None:
    issued = await service.sessions.issue(user)
    forged = refresh_token.encode(
        service.rt.keys.current(),
        service.config.issuer,
        session_id=issued.session_id,
        generation=1_000_000,
        nonce=b"0" * 16,
    )
    with pytest.raises(errors.InvalidRefreshToken):
        await service.sessions.exchange(forged)
    assert await events(service) == [("refresh_token_forged", None)]
    assert await service.sessions.resolve(issued.refresh_token) == issued.session_id


async def test_the_last_generation_is_refused_and_breaks_nothing(service: Service, user: str) -> None:
    issued = await service.sessions.issue(user)
    found = refresh_token.decode(service.rt.keys.current(), service.config.issuer, issued.refresh_token)
    assert found is not None
    last = refresh_token.encode(
        service.rt.keys.current(),
        service.config.issuer,
        session_id=issued.session_id,
        generation=refresh_token.MAX_GENERATION,
        nonce=found.nonce,
    )
    with pytest.raises(errors.InvalidRefreshToken):
        await service.sessions.exchange(last)


async def test_the_database_holds_nothing_that_could_be_replayed(service: Service, user: str) -> None:
    issued = await service.sessions.issue(user)
    row = await service.pool.fetchrow("select * from profiles.refresh_sessions")
    text = repr(dict(row))
    raw = base64.urlsafe_b64decode(issued.refresh_token[4:] + "==")
    nonce, mac = raw[22:38], raw[38:]
    assert issued.refresh_token not in text
    for secret in (nonce, mac):
        assert secret.hex() not in bytes(row["token_key"]).hex()


class TestGates:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ("banned_at = now()", "banned"),
            ("banned_at = now(), banned_until = now() + interval '1 day'", "banned"),
            ("deleted_at = now()", "soft_deleted"),
        ],
    )
    async def test_a_user_who_may_not_act_gets_nothing_and_loses_every_session(
        self, service: Service, user: str, change: str, reason: str
    ) -> None:
        issued = await service.sessions.issue(user)
        await service.sessions.issue(user)
        await service.pool.execute(f"update profiles.users set {change}")
        with pytest.raises(errors.UserBanned):
            await service.sessions.exchange(issued.refresh_token)
        assert await events(service) == [("session_revoked", reason)] * 2
        with pytest.raises(errors.UserBanned):
            await service.sessions.issue(user)
        with pytest.raises(errors.UserDisabled):
            await service.sessions.authenticate(user, issued.session_id)
        assert not await service.users.is_allowed(user)

    async def test_a_lapsed_ban_does_not_refuse(self, service: Service, user: str) -> None:
        await service.pool.execute(
            "update profiles.users set banned_at = now() - interval '2 days', banned_until = now()"
        )
        issued = await service.sessions.issue(user)
        assert await service.sessions.exchange(issued.refresh_token)

    async def test_a_proof_older_than_the_epoch_opens_no_session(self, service: Service, user: str) -> None:
        await service.sessions.issue(user, auth_epoch=0)
        await service.sessions.revoke_all(user)
        with pytest.raises(errors.InvalidCredentials):
            await service.sessions.issue(user, auth_epoch=0)
        assert await service.sessions.list_for_user(user) == []

    async def test_an_unknown_user_is_said_to_be_unknown(self, service: Service) -> None:
        for user_id in ("00000000-0000-4000-8000-000000000000", "no id", ""):
            with pytest.raises(errors.UserNotFound):
                await service.sessions.issue(user_id)
            assert await service.sessions.list_for_user(user_id) == []
            assert await service.sessions.revoke_all(user_id) == 0

    async def test_a_wrong_organization_leaves_the_token_good(self, service: Service, user: str) -> None:
        issued = await service.sessions.issue(user)
        with pytest.raises(errors.OrgModeNotMulti):
            await service.sessions.exchange(issued.refresh_token, org="acme")
        pair = await service.sessions.exchange(issued.refresh_token)
        assert generation(service, pair.refresh_token) == 1

    async def test_exchanging_inside_a_host_transaction_is_refused(self, service: Service, user: str) -> None:
        issued = await service.sessions.issue(user)
        async with service.transaction() as tx:
            with pytest.raises(errors.NotJoinable):
                await tx.sessions.exchange(issued.refresh_token)


class TestLimit:
    async def test_the_least_recently_used_session_makes_room(self, service: Service, user: str, age) -> None:
        opened = [await service.sessions.issue(user) for _ in range(3)]
        await age("refresh_sessions", opened[1].session_id, last_used_at=100)
        newest = await service.sessions.issue(user)
        live = {session.id for session in await service.sessions.list_for_user(user)}
        assert live == {opened[0].session_id, opened[2].session_id, newest.session_id}
        assert await events(service) == [("session_revoked", "evicted")]

    async def test_a_sign_in_names_the_sessions_it_ended_and_their_clients_learn_why(
        self, make_service
    ) -> None:
        service = await make_service(session_max_per_user=1)
        user = (await service.users.create("ada@example.test", "ada_l")).id
        login = {"method": "test_login", "auth_epoch": 0, "amr": ("pwd",)}
        first = await service.sessions.sign_in(user, **login)
        assert first.ended_sessions == ()
        second = await service.sessions.sign_in(user, **login, client=HOME)
        assert second.ended_sessions == (first.session_id,)
        third = await service.sessions.issue(user)
        assert third.ended_sessions == (second.session_id,)
        refreshed = await service.sessions.exchange(third.refresh_token)
        assert refreshed.ended_sessions == ()
        with pytest.raises(errors.InvalidRefreshToken) as refused:
            await service.sessions.exchange(first.refresh_token)
        assert refused.value.code == "evicted"
        with pytest.raises(errors.SessionEnded) as ended:
            await service.sessions.authenticate(user, first.session_id)
        assert ended.value.metadata == {"reason": "evicted"}
        evicted = await service.events.list_session_events(user, "session_revoked")
        assert (evicted[1].ip_addr, evicted[1].user_agent) == (HOME.ip, HOME.user_agent)

    async def test_a_session_that_its_user_ended_has_no_such_reason(
        self, service: Service, user: str
    ) -> None:
        issued = await service.sessions.issue(user)
        await service.sessions.revoke_all(user)
        with pytest.raises(errors.InvalidRefreshToken) as refused:
            await service.sessions.exchange(issued.refresh_token)
        assert refused.value.code == "invalid_refresh_token"
        with pytest.raises(errors.SessionEnded) as ended:
            await service.sessions.authenticate(user, issued.session_id)
        assert ended.value.metadata == {}

    async def test_parallel_logins_end_on_the_limit(self, service: Service, user: str) -> None:
        await asyncio.gather(*(service.sessions.issue(user) for _ in range(10)))
        assert len(await service.sessions.list_for_user(user)) == 3

    async def test_without_a_limit_all_stay(self, make_service) -> None:
        service = await make_service(session_max_per_user=None)
        user = (await service.users.create("ada@example.test", "ada_l")).id
        for _ in range(5):
            await service.sessions.issue(user)
        assert len(await service.sessions.list_for_user(user)) == 5

    async def test_the_hundred_used_last_are_listed_in_that_order(self, make_service) -> None:
        service = await make_service(session_max_per_user=None)
        user = (await service.users.create("ada@example.test", "ada_l")).id
        opened = [(await service.sessions.issue(user)).session_id for _ in range(103)]
        # Used in another order than they were opened, two at each moment.
        minutes = {session: number * 7 % 103 // 2 for number, session in enumerate(opened)}
        await service.pool.executemany(
            "update profiles.refresh_sessions set last_used_at = timestamptz '2030-01-01'"
            " - $2::int * interval '1 minute' where id = $1::text::uuid",
            list(minutes.items()),
        )
        used = sorted(opened, key=lambda session: (minutes[session], session))
        assert [session.id for session in await service.sessions.list_for_user(user)] == used[:100]
        assert [session.id for session in await service.admin.list_sessions(user)] == used[:100]

    async def test_expired_sessions_neither_count_nor_show(self, service: Service, user: str, age) -> None:
        opened = [await service.sessions.issue(user) for _ in range(3)]
        await age("refresh_sessions", opened[0].session_id, expires_at=31 * 86400)
        await service.sessions.issue(user)
        assert len(await service.sessions.list_for_user(user)) == 3
        assert await events(service) == []


class TestEnding:
    async def test_only_the_owner_ends_a_session(self, service: Service, user: str) -> None:
        other = (await service.users.create("eve@example.test", "eve_1")).id
        issued = await service.sessions.issue(user)
        assert not await service.sessions.revoke_for_user(other, issued.session_id)
        assert not await service.sessions.revoke_for_user(user, "no id")
        assert await service.sessions.revoke_for_user(user, issued.session_id)
        assert not await service.sessions.revoke_for_user(user, issued.session_id)
        assert await events(service) == [("session_revoked", "user_revoke")]

    async def test_an_administrator_ends_any_session(self, service: Service, user: str) -> None:
        issued = await service.sessions.issue(user)
        assert await service.sessions.revoke(issued.session_id)
        assert not await service.sessions.revoke(issued.session_id)
        assert not await service.sessions.revoke("no id")
        assert await events(service) == [("session_revoked", "admin_revoke")]

    async def test_revoke_all_spares_the_one_to_keep(self, service: Service, user: str) -> None:
        kept, *_ = [await service.sessions.issue(user) for _ in range(3)]
        assert await service.sessions.revoke_all(user, kept.session_id) == 2
        assert [session.id for session in await service.sessions.list_for_user(user)] == [kept.session_id]
        assert await events(service) == [("session_revoked", "user_revoke_all")] * 2

    async def test_a_rolled_back_ending_leaves_session_and_trail_alone(
        self, service: Service, user: str
    ) -> None:
        issued = await service.sessions.issue(user)

        class Stop(Exception):
            pass

        with pytest.raises(Stop):
            async with service.transaction() as tx:
                assert await tx.sessions.revoke(issued.session_id)
                raise Stop
        assert await service.sessions.resolve(issued.refresh_token) == issued.session_id
        assert await events(service) == []

    async def test_ended_sessions_are_deleted_after_their_retention(
        self, service: Service, user: str, age
    ) -> None:
        old, fresh, live = [await service.sessions.issue(user) for _ in range(3)]
        for session in (old, fresh):
            await service.sessions.revoke(session.session_id)
        await age("refresh_sessions", old.session_id, revoked_at=service.config.session_retention + 1)
        assert await service.sessions.purge() == 1
        rows = await service.pool.fetch("select id::text from profiles.refresh_sessions")
        assert {row["id"] for row in rows} == {fresh.session_id, live.session_id}


class TestAuthenticate:
    async def test_a_live_session_answers_with_its_account(self, service: Service, user: str) -> None:
        issued = await service.sessions.issue(user, amr=("pwd",))
        account = await service.sessions.authenticate(user, issued.session_id)
        assert (account.id, account.email, account.username) == (user, "ada@example.test", "ada_l")
        assert (account.has_password, account.roles, account.amr) == (False, [], ["pwd"])

    async def test_an_ended_foreign_or_malformed_session_is_over(self, service: Service, user: str) -> None:
        other = (await service.users.create("eve@example.test", "eve_1")).id
        issued = await service.sessions.issue(user)
        await service.sessions.revoke(issued.session_id)
        live = await service.sessions.issue(user)
        for pair in (
            (user, issued.session_id),
            (other, live.session_id),
            (user, "x"),
            ("x", live.session_id),
        ):
            with pytest.raises(errors.SessionEnded):
                await service.sessions.authenticate(*pair)
