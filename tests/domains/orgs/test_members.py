import uuid

import pytest

from authkit_issuer import OrgMembership, Service, errors
from fakes.gather import gather


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service()


@pytest.fixture
async def ada(service: Service) -> str:
    user = (await service.users.create("ada@example.com", "ada_l")).id
    await service.orgs.create("acme", owner_user_id=user)
    return user


@pytest.fixture
async def bob(service: Service) -> str:
    return (await service.users.create("bob@example.com", "bob_m")).id


async def test_the_founder_is_a_member_and_owner(service: Service, ada: str):
    assert await service.org_members.is_member("acme", ada)
    assert await service.org_members.list_roles("acme", ada) == ["owner"]


async def test_members_are_added_once_and_listed(service: Service, ada: str, bob: str):
    for _ in range(2):
        await service.org_members.add("ACME", bob)
    assert await service.org_members.list("acme") == sorted([ada, bob])
    assert await service.org_members.list_roles("acme", bob) == []
    assert await service.org_members.list_orgs(bob) == ["acme"]
    events = await service.pool.fetchval(
        "select count(*) from profiles.session_events where event = 'org_member_added' and user_id = $1", bob
    )
    assert events == 1


async def test_memberships_come_with_their_roles_in_one_query(service: Service, ada: str):
    await service.orgs.create("zeta", owner_user_id=ada)
    await service.org_members.assign_role("zeta", ada, "member")
    acme, zeta = await service.orgs.resolve("acme"), await service.orgs.resolve("zeta")
    assert await service.org_members.list_memberships(ada) == [
        OrgMembership(org="acme", org_id=acme.id, roles=["owner"]),
        OrgMembership(org="zeta", org_id=zeta.id, roles=["member", "owner"]),
    ]


async def test_attackers_belong_to_nothing(service: Service, ada: str):
    for unknown in (str(uuid.uuid4()), "no id"):
        assert await service.org_members.is_member("acme", unknown) is False
        assert await service.org_members.list_orgs(unknown) == []
        assert await service.org_members.list_roles("acme", unknown) == []
        assert await service.org_members.remove("acme", unknown) is False
        with pytest.raises(errors.UserNotFound):
            await service.org_members.add("acme", unknown)
        with pytest.raises(errors.NotOrgMember):
            await service.org_members.assign_role("acme", unknown, "member")
    for call in (service.org_members.list("nothing"), service.org_members.is_member("nothing", ada)):
        with pytest.raises(errors.OrgNotFound):
            await call


async def test_a_role_goes_to_members_and_must_be_defined(service: Service, ada: str, bob: str):
    with pytest.raises(errors.NotOrgMember):
        await service.org_members.assign_role("acme", bob, "member")
    await service.org_members.add("acme", bob)
    with pytest.raises(errors.OrgRoleNotFound):
        await service.org_members.assign_role("acme", bob, "editor")
    for _ in range(2):
        await service.org_members.assign_role("acme", bob, "member")
    assert await service.org_members.list_roles("acme", bob) == ["member"]


async def test_who_comes_back_starts_without_the_former_roles(service: Service, ada: str, bob: str):
    await service.org_members.add("acme", bob)
    await service.org_members.assign_role("acme", bob, "owner")
    assert await service.org_members.remove("acme", bob) is True
    assert await service.org_members.remove("acme", bob) is False
    await service.org_members.add("acme", bob)
    assert await service.org_members.list_roles("acme", bob) == []


async def test_the_last_owner_stays(service: Service, ada: str, bob: str):
    with pytest.raises(errors.CannotRemoveLastOwner):
        await service.org_members.remove("acme", ada)
    with pytest.raises(errors.CannotRemoveLastOwner):
        await service.org_members.unassign_role("acme", ada, "OWNER")
    await service.org_members.add("acme", bob)
    # Bob is not an owner: removing a role that he does not hold endangers no organization.
    assert await service.org_members.unassign_role("acme", bob, "owner") is False
    await service.org_members.assign_role("acme", bob, "owner")
    assert await service.org_members.unassign_role("acme", ada, "owner") is True
    assert await service.org_members.unassign_role("acme", ada, "owner") is False


async def test_owners_who_may_not_act_do_not_count(service: Service, ada: str, bob: str):
    await service.org_members.add("acme", bob)
    await service.org_members.assign_role("acme", bob, "owner")
    await service.lifecycle.ban(bob)
    with pytest.raises(errors.CannotRemoveLastOwner):
        await service.org_members.remove("acme", ada)


async def test_two_owners_who_remove_each_other_leave_one(service: Service, ada: str, bob: str, rounds):
    for _ in range(rounds(1000)):
        for user in (ada, bob):
            await service.org_members.add("acme", user)
            await service.org_members.assign_role("acme", user, "owner")
        outcomes = await gather(
            lambda: service.org_members.remove("acme", ada), lambda: service.org_members.remove("acme", bob)
        )
        assert outcomes.count(True) == 1
        assert sum(isinstance(outcome, errors.CannotRemoveLastOwner) for outcome in outcomes) == 1


async def test_a_user_joins_at_most_two_hundred_organizations(service: Service, bob: str):
    await service.pool.execute(
        """
        with made as (
            insert into profiles.orgs (slug) select 'org-' || n from generate_series(1, 199) n returning id
        )
        insert into profiles.org_members (org_id, user_id) select id, $1::uuid from made
        """,
        bob,
    )
    await service.orgs.create("last-one")
    await service.orgs.create("one-more")
    outcomes = await gather(
        lambda: service.org_members.add("last-one", bob), lambda: service.org_members.add("one-more", bob)
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, errors.OrgMembershipLimitExceeded) for outcome in outcomes) == 1
    with pytest.raises(errors.OrgMembershipLimitExceeded):
        await service.orgs.create("own-org", owner_user_id=bob)
    with pytest.raises(errors.OrgNotFound):
        await service.orgs.resolve("own-org")
    assert len(await service.org_members.list_orgs(bob)) == 200


async def test_a_member_holds_at_most_fifty_roles(service: Service, ada: str):
    for number in range(50):
        await service.orgs.define_role("acme", f"role{number}")
    for number in range(49):
        await service.org_members.assign_role("acme", ada, f"role{number}")
    with pytest.raises(errors.OrgRoleLimitExceeded):
        await service.org_members.assign_role("acme", ada, "role49")
    assert len(await service.org_members.list_roles("acme", ada)) == 50


async def test_a_deleted_user_leaves_the_organization_to_the_others(service: Service, ada: str, bob: str):
    await service.org_members.add("acme", bob)
    await service.lifecycle.hard_delete(bob)
    assert await service.org_members.list("acme") == [ada]
