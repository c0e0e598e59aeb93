"""Deletion for good: organizations, invitations, and the purge that one account cannot stop."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from authkit_issuer import NotJoinable, errors
from authkit_issuer.domains.lifecycle import deletion
from authkit_issuer.service import Service
from authkit_issuer.store.postgres import PoolStore
from fakes.lock_waiters import WAITING
from fakes.until import until

MONTH = 30 * 86_400


async def ada(service: Service, name: str = "ada_l") -> str:
    return (await service.users.create(f"{name}@example.test", name)).id


async def deleted(service: Service, age, name: str, by: float = MONTH + 1) -> str:
    user = await ada(service, name)
    await service.lifecycle.soft_delete(user)
    await age("users", user, deleted_at=by)
    return user


async def org(
    service: Service, slug: str, *members: tuple[str, str | None], personal: str | None = None
) -> str:
    """Make an organization with these members, each with a role or none."""
    made = await service.pool.fetchval(
        "insert into profiles.orgs (slug, is_personal, owner_user_id)"
        " values ($1, $2, $3::text::uuid) returning id::text",
        slug,
        personal is not None,
        personal,
    )
    for role in ("owner", "member"):
        await service.pool.execute(
            "insert into profiles.org_roles (org_id, role) values ($1::text::uuid, $2)", made, role
        )
    for user, role in members:
        await service.pool.execute(
            "insert into profiles.org_members (org_id, user_id) values ($1::text::uuid, $2::text::uuid)",
            made,
            user,
        )
        if role:
            await service.pool.execute(
                "insert into profiles.org_member_roles (org_id, user_id, role)"
                " values ($1::text::uuid, $2::text::uuid, $3)",
                made,
                user,
                role,
            )
    return made


async def closed(service: Service, org_id: str) -> bool:
    return await service.pool.fetchval(
        "select deleted_at is not null from profiles.orgs where id = $1::text::uuid", org_id
    )


async def test_a_user_with_a_personal_organization_and_sent_invitations_can_be_deleted(
    service: Service,
) -> None:
    user, other = await ada(service), await ada(service, "other")
    await org(service, "ada-l", (user, "owner"), (other, "member"), personal=user)
    shared = await org(service, "shared", (user, "owner"), (other, "owner"))
    invite = await service.pool.fetchval(
        "insert into profiles.org_invites (org_id, email, invited_by)"
        " values ($1::text::uuid, 'guest@example.test', $2::text::uuid) returning id::text",
        shared,
        user,
    )
    assert await service.lifecycle.hard_delete(user)
    assert await service.pool.fetchval("select count(*) from profiles.orgs") == 1
    assert not await closed(service, shared)
    row = await service.pool.fetchrow(
        "select invited_by, status from profiles.org_invites where id = $1::text::uuid", invite
    )
    assert tuple(row) == (None, "pending")


async def test_the_only_owner_of_others_goes_only_by_force(service: Service) -> None:
    user, other = await ada(service), await ada(service, "other")
    team = await org(service, "team", (user, "owner"), (other, "member"))
    issued = await service.sessions.issue(user)
    with pytest.raises(errors.CannotRemoveLastOwner):
        await service.lifecycle.hard_delete(user)
    assert await service.sessions.resolve(issued.refresh_token) == issued.session_id
    assert await service.lifecycle.hard_delete(user, force=True)
    assert not await closed(service, team)


async def test_an_owner_who_may_not_act_does_not_replace_one_who_goes(service: Service, age) -> None:
    user, banned, member = [await ada(service, name) for name in ("user_1", "user_2", "user_3")]
    await org(service, "team", (user, "owner"), (banned, "owner"), (member, "member"))
    await service.lifecycle.ban(banned)
    with pytest.raises(errors.CannotRemoveLastOwner):
        await service.lifecycle.hard_delete(user)
    # Deleting a disabled administrator removes no active one.
    await service.lifecycle.soft_delete(user, force=True)
    await age("users", user, deleted_at=MONTH + 1)
    assert (await service.lifecycle.purge_deleted()).deleted == (user,)
    with pytest.raises(errors.CannotRemoveLastOwner):
        await service.lifecycle.hard_delete(banned)


async def test_an_organization_in_which_no_user_is_left_is_closed(service: Service) -> None:
    user, other = await ada(service), await ada(service, "other")
    alone = await org(service, "alone", (user, None))
    owned = await org(service, "owned", (user, "owner"))
    guest = await org(service, "guest", (user, "member"), (other, "owner"))
    assert await service.lifecycle.hard_delete(user)
    assert [await closed(service, team) for team in (alone, owned, guest)] == [True, True, False]
    deleted = await service.events.list_session_events("", "org_deleted")
    assert {event.target for event in deleted} == {f"org:{alone}", f"org:{owned}"}


async def test_of_two_owners_deleted_at_once_one_stays(service: Service, rounds) -> None:
    for number in range(rounds(100)):
        first, second, member = [await ada(service, f"user_{number}_{n}") for n in range(3)]
        await org(service, f"team-{number}", (first, "owner"), (second, "owner"), (member, "member"))
        outcomes = await asyncio.gather(
            service.lifecycle.hard_delete(first),
            service.lifecycle.hard_delete(second),
            return_exceptions=True,
        )
        assert sorted(map(str, outcomes)) == sorted(["True", str(errors.CannotRemoveLastOwner())])


async def test_the_oldest_deletions_come_first(service: Service, age) -> None:
    young = await deleted(service, age, "young", by=10)
    old = await deleted(service, age, "old_one", by=1000)
    middle = await deleted(service, age, "middle", by=100)
    await ada(service)
    now = datetime.now(UTC) + timedelta(seconds=5)
    assert await service.lifecycle.list_deleted_before(now) == [old, middle, young]
    assert await service.lifecycle.list_deleted_before(now, 2) == [old, middle]
    assert await service.lifecycle.list_deleted_before(now, 0) == [old, middle, young]
    assert await service.lifecycle.list_deleted_before(now - timedelta(seconds=500)) == [old]
    with pytest.raises(errors.Invalid):
        await service.lifecycle.list_deleted_before(datetime(2999, 1, 1))  # noqa: DTZ001


async def test_the_purge_takes_who_is_due_after_asking_the_host(service: Service, age) -> None:
    due = [await deleted(service, age, f"due_{n}", by=MONTH + 10 - n) for n in range(5)]
    recent = await deleted(service, age, "recent", by=MONTH - 60)
    living = await ada(service)
    asked: list[str] = []

    async def before(user: str) -> None:
        assert await service.users.get(user) is not None
        asked.append(user)

    report = await service.lifecycle.purge_deleted(batch=2, before=before)
    assert list(report.deleted) == asked == due
    assert report.failed == {}
    assert await service.users.get(recent)
    assert await service.users.get(living)
    assert (await service.lifecycle.purge_deleted(retention=MONTH - 120)).deleted == (recent,)


async def test_the_purge_goes_past_users_who_cannot_be_deleted_and_reports_them(
    service: Service, age, caplog
) -> None:
    failing, owner, fine = [await deleted(service, age, name) for name in ("failing", "owner", "fine")]
    # Its owner was deleted by force: keeping the data without end would not bring an owner back.
    await org(service, "team", (owner, "owner"), (await ada(service), "member"))

    async def before(user: str) -> None:
        if user == failing:
            raise RuntimeError("secret of the host")

    for _ in range(2):
        with caplog.at_level(logging.WARNING):
            report = await service.lifecycle.purge_deleted(batch=1, before=before)
        assert set(report.failed) == {failing}
        assert isinstance(report.failed[failing], RuntimeError)
    assert await service.users.get(fine) is None
    assert await service.users.get(owner) is None
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


async def test_no_user_is_restored_after_the_host_was_asked(service: Service, age) -> None:
    user = await deleted(service, age, "ada_l")
    restoring: list[asyncio.Task[None]] = []

    async def before(user_id: str) -> None:
        restoring.append(asyncio.create_task(service.lifecycle.restore(user_id)))
        await until(lambda: service.pool.fetchval(WAITING))

    assert (await service.lifecycle.purge_deleted(before=before)).deleted == (user,)
    with pytest.raises(errors.UserNotFound):
        await restoring[0]


async def test_who_was_restored_since_the_list_was_made_stays_and_the_host_is_not_asked(
    service: Service, age, monkeypatch
) -> None:
    user, other = await deleted(service, age, "ada_l"), await deleted(service, age, "other")
    asked: list[str] = []

    async def before(user_id: str) -> None:
        asked.append(user_id)
        await service.lifecycle.restore(other if user_id == user else user)

    await age("users", user, deleted_at=10)
    assert (await service.lifecycle.purge_deleted(before=before)).deleted == (user,)
    assert asked == [user]
    assert await service.users.is_allowed(other)


async def test_purges_that_run_at_once_ask_the_host_once_for_each_user(service: Service, age) -> None:
    due = {await deleted(service, age, f"due_{n}") for n in range(10)}
    asked: list[str] = []

    async def before(user: str) -> None:
        asked.append(user)
        await asyncio.sleep(0)

    reports = await asyncio.gather(*(service.lifecycle.purge_deleted(before=before) for _ in range(4)))
    assert sorted(asked) == sorted(due)
    assert sorted(user for report in reports for user in report.deleted) == sorted(due)
    assert all(report.failed == {} for report in reports)


async def test_the_host_may_write_about_the_user_while_it_cleans_up(service: Service, age) -> None:
    user, other = await deleted(service, age, "ada_l"), await ada(service, "other")

    async def before(user_id: str) -> None:
        await service.pool.execute(
            "update profiles.users set banned_at = now(), banned_by = $1::text::uuid"
            " where id = $2::text::uuid",
            user_id,
            other,
        )

    assert (await service.lifecycle.purge_deleted(before=before)).deleted == (user,)


async def test_a_database_that_is_gone_stops_the_purge_instead_of_failing_everybody(
    service: Service, age, monkeypatch
) -> None:
    for number in range(3):
        await deleted(service, age, f"due_{number}")
    tried: list[str] = []

    async def unavailable(rt: object, user_id: str, *_: object) -> bool:
        tried.append(user_id)
        raise errors.DatabaseUnavailable

    monkeypatch.setattr(deletion, "_purge_one", unavailable)
    report = await service.lifecycle.purge_deleted()
    assert len(tried) == len(report.failed) == 3
    tried.clear()
    fetch, pages = PoolStore.fetch, 0

    async def going(self, query, args):
        nonlocal pages
        pages += 1
        if pages > 1:
            raise errors.DatabaseUnavailable
        return await fetch(self, query, args)

    monkeypatch.setattr(PoolStore, "fetch", going)
    with pytest.raises(errors.DatabaseUnavailable):
        await service.lifecycle.purge_deleted()
    assert len(tried) == 1


async def test_a_purge_does_not_join_a_transaction(service: Service) -> None:
    with pytest.raises(NotJoinable):
        async with service.transaction() as tx:
            await tx.lifecycle.purge_deleted()


async def test_maintenance_purges_by_the_setting(make_service, age) -> None:
    service = await make_service(deleted_user_retention=100)
    user, recent = await deleted(service, age, "ada_l", by=101), await deleted(service, age, "recent", by=1)
    asked: list[str] = []

    async def before(user_id: str) -> None:
        asked.append(user_id)

    await service.maintain(before_purge=before)
    assert asked == [user]
    assert await service.users.get(user) is None
    assert await service.users.get(recent)
    never = await make_service(deleted_user_retention=None)
    kept = await deleted(service, age, "kept_one", by=10 * MONTH)
    await never.maintain()
    assert await never.users.get(kept)
