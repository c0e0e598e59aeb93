"""Users and their ends: what must hold whatever happens at the same moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from authkit_issuer import errors
from authkit_issuer.domains.lifecycle.queries import LIFT_LAPSED
from authkit_issuer.service import Service
from fakes.patience import PATIENCE
from fakes.servers import on

PASSWORD = "correct horse battery"


async def new_user(service: Service, name: str) -> str:
    return (await service.users.create(f"{name}@example.test", name)).id


async def holders(service: Service, name: str) -> list[str]:
    rows = await service.pool.fetch(
        "select user_id::text from profiles.names where slug = $1"
        " union select id::text from profiles.users where lower(username) = $1",
        name,
    )
    return [row["user_id"] for row in rows]


async def test_of_many_who_want_one_name_one_gets_it(service: Service, rounds) -> None:
    for number in range(rounds(100)):
        wanted = f"wanted_{number}"
        users = [await new_user(service, f"user_{number}_{n}") for n in range(5)]
        outcomes = await asyncio.gather(
            *(service.users.update_username(user, wanted) for user in users),
            service.users.create(None, wanted.upper()),
            service.users.create(None, wanted),
            return_exceptions=True,
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert [type(refusal) for refusal in refused] == [errors.UsernameInUse] * 6
        assert len(await holders(service, wanted)) == 1


async def test_two_who_want_each_others_name_are_both_refused_at_once(service: Service, rounds) -> None:
    """A deadlock would be heard of as an outage, after a second."""
    for number in range(rounds(200)):
        ada, bob = await new_user(service, f"ada_{number}"), await new_user(service, f"bob_{number}")
        outcomes = await asyncio.gather(
            service.users.update_username(ada, f"bob_{number}"),
            service.users.update_username(bob, f"ada_{number}"),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [errors.UsernameInUse] * 2


async def test_a_name_that_is_being_given_up_is_refused_without_waiting(service: Service) -> None:
    """Two calls that wait for each other's commit would wait without end."""
    ada, bob = await new_user(service, "ada_l"), await new_user(service, "bob_s")
    async with service.transaction() as tx:
        await tx.users.update_username(bob, "robert")
        refused = await asyncio.gather(
            asyncio.wait_for(service.users.update_username(ada, "bob_s"), PATIENCE), return_exceptions=True
        )
        assert isinstance(refused[0], errors.UsernameInUse)
    assert await holders(service, "bob_s") == [bob]


async def test_a_name_that_is_being_given_up_is_never_had_by_two(service: Service, rounds) -> None:
    for number in range(rounds(200)):
        ada, bob = await new_user(service, f"ada_{number}"), await new_user(service, f"bob_{number}")
        await asyncio.gather(
            service.users.update_username(ada, f"countess_{number}"),
            service.users.update_username(bob, f"ada_{number}"),
            service.users.create(None, f"ada_{number}"),
            return_exceptions=True,
        )
        assert await holders(service, f"ada_{number}") == [ada]
        assert (await service.usernames.resolve(f"ada_{number}"))[0] == ada


async def test_a_renaming_in_two_places_at_once_leaves_one_current_name(service: Service, rounds) -> None:
    for number in range(rounds(100)):
        user = await new_user(service, f"ada_{number}")
        names = [f"one_{number}", f"two_{number}", f"three_{number}"]
        await asyncio.gather(*(service.users.update_username(user, name) for name in names))
        current = await service.pool.fetch(
            "select slug from profiles.names where user_id = $1::text::uuid and is_current", user
        )
        assert [row["slug"] for row in current] == [(await service.users.get(user)).username]
        assert len(await service.usernames.list_aliases(user)) == 3


async def test_no_login_in_flight_outlives_a_ban(service: Service, rounds) -> None:
    for number in range(rounds(1000)):
        user = await new_user(service, f"ada_{number}")
        await asyncio.gather(
            service.sessions.issue(user, auth_epoch=0),
            service.lifecycle.ban(user),
            return_exceptions=True,
        )
        assert await service.sessions.list_for_user(user) == []
        await service.lifecycle.unban(user)
        assert await service.sessions.list_for_user(user) == []


async def test_no_password_login_in_flight_outlives_a_ban_or_a_deletion(service: Service, rounds) -> None:
    hashed = await service.passwords.hash(PASSWORD)
    for number in range(rounds(200)):
        user = await new_user(service, f"ada_{number}")
        await service.passwords.store_hash(user, hashed)
        await service.users.set_email_verified(user, True)
        ending = service.lifecycle.ban if number % 2 else service.lifecycle.soft_delete
        outcome, ended = await asyncio.gather(
            service.logins.with_password(f"ada_{number}", PASSWORD), ending(user), return_exceptions=True
        )
        assert ended is None
        assert await service.sessions.list_for_user(user) == []
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, errors.UserBanned | errors.InvalidCredentials)
        else:
            refused = await asyncio.gather(
                service.sessions.exchange(outcome.refresh_token), return_exceptions=True
            )
            assert isinstance(refused[0], errors.UserBanned)


async def test_no_login_in_flight_outlives_a_deletion_or_finds_its_user_half_gone(
    service: Service, rounds
) -> None:
    for number in range(rounds(1000)):
        user = await new_user(service, f"ada_{number}")
        outcome, gone = await asyncio.gather(
            service.sessions.issue(user, auth_epoch=0),
            service.lifecycle.hard_delete(user),
            return_exceptions=True,
        )
        assert gone is True
        assert not isinstance(outcome, BaseException) or isinstance(outcome, errors.UserNotFound)
        assert await service.users.get(user) is None
        left = "select count(*) from profiles.refresh_sessions where user_id = $1::text::uuid"
        assert await service.pool.fetchval(left, user) == 0


async def test_a_refresh_in_flight_does_not_outlive_a_ban(service: Service, rounds) -> None:
    for number in range(rounds(1000)):
        user = await new_user(service, f"ada_{number}")
        issued = await service.sessions.issue(user)
        outcome, _ = await asyncio.gather(
            service.sessions.exchange(issued.refresh_token),
            service.lifecycle.ban(user),
            return_exceptions=True,
        )
        tokens = [issued.refresh_token]
        if not isinstance(outcome, BaseException):
            tokens.append(outcome.refresh_token)
        await service.lifecycle.unban(user)
        for token in tokens:
            refused = await asyncio.gather(service.sessions.exchange(token), return_exceptions=True)
            assert type(refused[0]) is errors.InvalidRefreshToken


async def test_a_newer_ban_is_not_lifted_with_the_one_that_lapsed(service: Service, age, rounds) -> None:
    for number in range(rounds(200)):
        user = await new_user(service, f"ada_{number}")
        await service.lifecycle.ban(user, "old", until=datetime.now(UTC) + timedelta(hours=1))
        await age("users", user, banned_until=3601)
        await asyncio.gather(service.lifecycle.lift_lapsed_bans(), service.lifecycle.ban(user, "new"))
        assert (await service.users.get(user)).ban_reason == "new"
        assert not await service.users.is_allowed(user)


async def test_lifting_waits_for_no_lock_and_looks_again_before_it_writes(
    service: Service, age, database_url
) -> None:
    """The renewal of a ban commits between the moment lifting saw it lapsed and the moment it writes."""
    user = await new_user(service, "ada_l")
    await service.lifecycle.ban(user, "old", until=datetime.now(UTC) + timedelta(hours=1))
    await age("users", user, banned_until=3601)

    async def lift(connection) -> int:
        async with connection.transaction(isolation="read_committed"):
            async with service.transaction() as tx:
                await tx.lifecycle.ban(user, "new")
                assert await connection.fetch(LIFT_LAPSED.sql, 10) == []
            return len(await connection.fetch(LIFT_LAPSED.sql, 10))

    assert await on(database_url, lift) == 0
    assert (await service.users.get(user)).ban_reason == "new"


async def test_two_who_ban_each_other_do_not_deadlock(service: Service, rounds) -> None:
    for number in range(rounds(200)):
        ada, bob = await new_user(service, f"ada_{number}"), await new_user(service, f"bob_{number}")
        await asyncio.gather(
            service.lifecycle.ban(ada, banned_by=bob),
            service.lifecycle.ban(bob, banned_by=ada),
        )
        assert (await service.users.get(ada)).banned_by == bob
        assert (await service.users.get(bob)).banned_by == ada


async def test_a_ban_by_somebody_who_is_being_deleted_is_written_or_refused(service: Service, rounds) -> None:
    for number in range(rounds(200)):
        ada, bob = await new_user(service, f"ada_{number}"), await new_user(service, f"bob_{number}")
        outcome, gone = await asyncio.gather(
            service.lifecycle.ban(ada, "spam", banned_by=bob),
            service.lifecycle.hard_delete(bob),
            return_exceptions=True,
        )
        assert gone is True
        found = await service.users.get(ada)
        if outcome is None:
            assert (found.ban_reason, found.banned_by) == ("spam", None)
        else:
            assert isinstance(outcome, errors.UserNotFound)
            assert found.banned_at is None


async def test_an_address_is_not_vouched_for_after_it_moved(service: Service, rounds) -> None:
    for number in range(rounds(200)):
        user = await new_user(service, f"ada_{number}")
        await asyncio.gather(
            service.users.set_email_verified(user, True, email=f"ada_{number}@example.test"),
            service.users.update_email(user, f"new_{number}@example.test"),
            return_exceptions=True,
        )
        found = await service.users.get(user)
        assert (found.email, found.email_verified) == (f"new_{number}@example.test", False)


async def test_a_purge_and_a_restoration_at_once_end_in_one_of_the_two(service: Service, age, rounds) -> None:
    for number in range(rounds(200)):
        user = await new_user(service, f"ada_{number}")
        await service.lifecycle.soft_delete(user)
        await age("users", user, deleted_at=100)
        report, restored = await asyncio.gather(
            service.lifecycle.purge_deleted(retention=50),
            service.lifecycle.restore(user),
            return_exceptions=True,
        )
        if restored is None:
            assert report.deleted == ()
            assert await service.users.is_allowed(user)
            await service.lifecycle.hard_delete(user)
        else:
            assert isinstance(restored, errors.UserNotFound)
            assert report.deleted == (user,)
