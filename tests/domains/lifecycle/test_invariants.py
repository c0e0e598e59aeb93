"""An administrator and an owner remain, whichever way an account ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import combinations_with_replacement

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.gather import gather

End = Callable[[Service, str], Awaitable[object]]

ENDS: dict[str, End] = {
    "ban": lambda service, user: service.lifecycle.ban(user),
    "soft deletion": lambda service, user: service.lifecycle.soft_delete(user),
    "hard deletion": lambda service, user: service.lifecycle.hard_delete(user),
}
LEAVING: dict[str, End] = ENDS | {
    "removal": lambda service, user: service.org_members.remove("acme", user),
    "demotion": lambda service, user: service.org_members.unassign_role("acme", user, "owner"),
}
UNENDING: dict[str, End] = ENDS | {
    "demotion": lambda service, user: service.roles.remove(user, "admin"),
}
endings = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)


def pairs(ways: dict[str, End]) -> list[object]:
    """Return every pair of two ways, each with a name."""
    return [
        pytest.param(ways[one], ways[other], id=f"{one} and {other}")
        for one, other in combinations_with_replacement(ways, 2)
    ]


async def person(service: Service, name: str | None = None) -> str:
    return (await service.users.create(None, name)).id


async def owned(service: Service, *owners: str, slug: str = "acme") -> str:
    """Found an organization with these owners and one plain member; return the member."""
    await service.orgs.create(slug, owner_user_id=owners[0])
    for owner in owners[1:]:
        await service.org_members.add(slug, owner)
        await service.org_members.assign_role(slug, owner, "owner")
    member = await person(service)
    await service.org_members.add(slug, member)
    return member


async def owners_who_may_act(service: Service, slug: str = "acme") -> list[str]:
    return [
        user
        for user in await service.org_members.list(slug)
        if "owner" in await service.org_members.list_roles(slug, user)
        and await service.users.is_allowed(user)
    ]


@endings
async def test_the_only_owner_of_others_stays_and_learns_of_which_organizations(
    service: Service, end: End
) -> None:
    owner = await person(service)
    await owned(service, owner, slug="zeta")
    await owned(service, owner)
    await service.orgs.create("alone", owner_user_id=owner)
    session = await service.sessions.issue(owner)
    with pytest.raises(errors.CannotRemoveLastOwner) as refused:
        await end(service, owner)
    assert refused.value.metadata == {"orgs": ["acme", "zeta"]}
    assert await service.users.is_allowed(owner)
    assert await service.sessions.resolve(session.refresh_token) == session.session_id


@endings
async def test_an_owner_with_a_second_one_goes(service: Service, end: End) -> None:
    owner, other = await person(service), await person(service)
    await owned(service, owner, other)
    await end(service, owner)
    assert await owners_who_may_act(service) == [other]


@endings
async def test_a_second_owner_who_may_not_act_is_none(service: Service, end: End) -> None:
    owner, banned, deleted = await person(service), await person(service), await person(service)
    await owned(service, owner, banned, deleted)
    await service.lifecycle.ban(banned)
    await service.lifecycle.soft_delete(deleted)
    with pytest.raises(errors.CannotRemoveLastOwner):
        await end(service, owner)


async def test_a_ban_in_place_of_another_takes_no_owner_away(service: Service) -> None:
    owner = await person(service)
    await owned(service, owner)
    await service.lifecycle.ban(owner, "spam", force=True)
    await service.lifecycle.ban(owner, "fraud")
    user = await service.users.get(owner)
    assert user is not None
    assert user.ban_reason == "fraud"


async def test_what_was_forced_can_be_finished_by_the_purge(service: Service, age) -> None:
    owner = await person(service)
    member = await owned(service, owner)
    await service.lifecycle.soft_delete(owner, force=True)
    await age("users", owner, deleted_at=31 * 86_400)
    report = await service.lifecycle.purge_deleted()
    assert (report.deleted, report.failed) == ((owner,), {})
    assert await service.org_members.list("acme") == [member]


@endings
async def test_the_last_administrator_stays_whichever_way_is_tried(service: Service, end: End) -> None:
    user, banned = await person(service), await person(service)
    for admin in (user, banned):
        await service.roles.assign(admin, "admin")
    await service.lifecycle.ban(banned)
    with pytest.raises(errors.CannotRemoveLastAdminRole):
        await end(service, user)
    assert await service.users.is_allowed(user)
    await service.lifecycle.unban(banned)
    await end(service, user)
    assert not await service.users.is_allowed(user)


async def test_no_user_bans_the_own_account(service: Service) -> None:
    user, other = await person(service), await person(service)
    for admin in (user, other):
        await service.roles.assign(admin, "admin")
    for attempt in (
        partial(service.lifecycle.ban, user, banned_by=user.upper()),
        partial(service.admin.ban, user, actor=user),
        partial(service.admin.delete, user, soft=True, actor=user),
        partial(service.admin.delete, user.upper(), soft=False, actor=user),
    ):
        with pytest.raises(errors.OwnAccount):
            await attempt()
    assert await service.users.is_allowed(user)


@pytest.mark.parametrize(("one", "other"), pairs(LEAVING))
async def test_of_two_owners_who_go_at_once_one_stays(service: Service, rounds, one: End, other: End) -> None:
    for number in range(rounds(60)):
        owners = await person(service, f"one_{number}"), await person(service, f"other_{number}")
        await owned(service, *owners)
        outcomes = await gather(partial(one, service, owners[0]), partial(other, service, owners[1]))
        refused = [type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
        assert refused == [errors.CannotRemoveLastOwner]
        assert len(await owners_who_may_act(service)) == 1
        await service.pool.execute("delete from profiles.orgs")


@pytest.mark.parametrize(("one", "other"), pairs(UNENDING))
async def test_of_two_administrators_who_go_at_once_one_stays(
    service: Service, rounds, one: End, other: End
) -> None:
    for _ in range(rounds(60)):
        admins = await person(service), await person(service)
        for admin in admins:
            await service.roles.assign(admin, "admin")
        outcomes = await gather(partial(one, service, admins[0]), partial(other, service, admins[1]))
        refused = [type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
        assert refused == [errors.CannotRemoveLastAdminRole]
        await service.pool.execute("delete from profiles.users")


async def test_owner_and_last_administrator_in_one_are_refused_without_a_deadlock(
    service: Service, rounds
) -> None:
    """The role, the user and the organization are locked in one order by whatever takes them."""
    for number in range(rounds(100)):
        owners = await person(service, f"one_{number}"), await person(service, f"other_{number}")
        await owned(service, *owners)
        for owner in owners:
            await service.roles.assign(owner, "admin")
        outcomes = await gather(
            partial(service.lifecycle.soft_delete, owners[0]),
            partial(service.org_members.remove, "acme", owners[1]),
            partial(service.roles.remove, owners[1], "admin"),
            partial(service.lifecycle.ban, owners[1], banned_by=owners[0]),
        )
        assert all(
            outcome in {None, True}
            or isinstance(outcome, errors.CannotRemoveLastOwner | errors.CannotRemoveLastAdminRole)
            for outcome in outcomes
        )
        assert await owners_who_may_act(service)
        await service.pool.execute("delete from profiles.orgs")
        await service.pool.execute("delete from profiles.users")
