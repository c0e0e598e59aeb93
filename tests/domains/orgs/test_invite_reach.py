"""How far an invite reaches: not past the end of a membership, nor past the right of who invited."""

from __future__ import annotations

import pytest

from authkit_issuer import Service, errors


@pytest.fixture
async def owner(service: Service) -> str:
    user = (await service.users.create(None, "owner_o")).id
    await service.orgs.create("acme", owner_user_id=user)
    return user


@pytest.fixture
async def guest(service: Service) -> str:
    return (await service.users.add(email="guest@example.test", username="guest_g", verified=True)).id


async def second_owner(service: Service) -> str:
    user = (await service.users.create(None, "second_s")).id
    await service.org_members.add("acme", user)
    await service.org_members.assign_role("acme", user, "owner")
    return user


async def statuses(service: Service) -> list[str]:
    return [invite.status for invite in await service.org_invites.list_for_org("acme")]


async def test_who_was_removed_does_not_come_back_by_an_invite_from_before(
    service: Service, owner: str, guest: str
) -> None:
    invite = await service.org_invites.create("acme", guest, owner)
    await service.org_members.add("acme", guest)
    await service.org_members.remove("acme", guest, actor=owner)
    with pytest.raises(errors.OrgInviteNotPending):
        await service.org_invites.accept(invite.id, guest)
    assert await statuses(service) == ["revoked"]
    event, *_ = await service.events.list_session_events(guest, "org_invite_answered")
    assert (event.reason, event.actor, event.data) == ("revoked", owner, {"invite": invite.id})


async def test_nor_by_an_invite_of_the_address(service: Service, owner: str) -> None:
    invite = await service.org_invites.create_for_email("acme", "new@example.test", owner)
    user = (await service.users.add(email="new@example.test", username="new_n", verified=True)).id
    await service.org_members.add("acme", user)
    await service.org_members.remove("acme", user)
    with pytest.raises(errors.OrgInviteNotPending):
        await service.org_invites.accept(invite.id, user)


async def test_removing_ends_no_invite_of_anybody_else(service: Service, owner: str, guest: str) -> None:
    await service.org_invites.create_for_email("acme", "new@example.test", owner)
    await service.org_members.add("acme", guest)
    await service.org_members.remove("acme", guest)
    assert await statuses(service) == ["pending"]


async def test_removing_a_user_that_is_not_a_member_ends_no_invite(
    service: Service, owner: str, guest: str
) -> None:
    await service.org_invites.create("acme", guest, owner)
    assert not await service.org_members.remove("acme", guest)
    assert await statuses(service) == ["pending"]


@pytest.mark.parametrize("end", ["ban", "soft_delete"])
async def test_an_owner_who_may_not_act_lets_no_user_in(
    service: Service, owner: str, guest: str, end: str
) -> None:
    invite = await service.org_invites.create("acme", guest, owner)
    await getattr(service.lifecycle, end)(owner)
    with pytest.raises(errors.OrgInviteNotPending):
        await service.org_invites.accept(invite.id, guest)
    assert not await service.org_members.is_member("acme", guest)


async def test_what_a_former_owner_left_open_keeps_no_user_from_inviting(
    service: Service, owner: str, guest: str
) -> None:
    second = await second_owner(service)
    await service.org_invites.create("acme", guest, owner)
    await service.org_members.remove("acme", owner)
    again = await service.org_invites.create("acme", guest, second)
    assert await statuses(service) == ["pending", "revoked"]
    await service.org_invites.accept(again.id, guest)
    assert await service.org_members.list_roles("acme", guest) == ["member"]


@pytest.mark.parametrize("first", ["id", "address"])
async def test_an_inviter_does_not_learn_whose_address_it_is(
    service: Service, owner: str, guest: str, first: str
) -> None:
    ways = {
        "id": lambda: service.org_invites.create("acme", guest, owner),
        "address": lambda: service.org_invites.create_for_email("acme", "guest@example.test", owner),
    }
    made = await ways[first]()
    other = await ways["address" if first == "id" else "id"]()
    assert {made.user_id, other.user_id} == {guest, None}
    for way in ways.values():
        with pytest.raises(errors.OrgInviteAlreadyPending):
            await way()
    await service.org_invites.accept(made.id, guest)
    assert sorted(await statuses(service)) == ["accepted", "pending"]
    await service.org_invites.accept(other.id, guest)
    assert await service.org_members.list_roles("acme", guest) == ["member"]


async def test_the_address_of_a_member_is_invited_like_any_other(
    service: Service, owner: str, guest: str
) -> None:
    await service.org_members.add("acme", guest)
    invite = await service.org_invites.create_for_email("acme", "guest@example.test", owner)
    assert (invite.user_id, invite.status) == (None, "pending")


async def test_who_belongs_to_too_many_organizations_may_accept_later(
    service: Service, owner: str, guest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite = await service.org_invites.create("acme", guest, owner)
    monkeypatch.setattr("authkit_issuer.domains.orgs.members.MAX_MEMBERSHIPS", 0)
    with pytest.raises(errors.OrgMembershipLimitExceeded):
        await service.org_invites.accept(invite.id, guest)
    monkeypatch.undo()
    await service.org_invites.accept(invite.id, guest)
    assert await service.org_members.list_roles("acme", guest) == ["member"]


async def test_an_invite_of_an_address_does_not_follow_its_former_holder(
    service: Service, owner: str, guest: str
) -> None:
    await service.users.update_email(guest, "other@example.test")
    await service.users.set_email_verified(guest, True)
    invite = await service.org_invites.create_for_email("acme", "guest@example.test", owner)
    with pytest.raises(errors.OrgInviteNotForUser):
        await service.org_invites.accept(invite.id, guest)


@pytest.mark.parametrize("how", ["removed", "demoted"])
async def test_an_invite_of_a_former_owner_stays_ended_when_the_inviter_is_an_owner_again(make_service, how):
    service = await make_service(org_mode="multi")
    first, second, guest = [
        await service.users.add(email=f"{name}@example.test", username=name, verified=True)
        for name in ("first_o", "second_o", "guest_g")
    ]
    await service.orgs.create("acme", owner_user_id=first.id)
    await service.org_members.add("acme", second.id)
    await service.org_members.assign_role("acme", second.id, "owner")
    invite = await service.org_invites.create("acme", guest.id, second.id, role="owner")
    if how == "removed":
        await service.org_members.remove("acme", second.id, actor=first.id)
        await service.org_members.add("acme", second.id)
    else:
        await service.org_members.unassign_role("acme", second.id, "owner", actor=first.id)
    await service.org_members.assign_role("acme", second.id, "owner")
    with pytest.raises(errors.OrgInviteNotPending):
        await service.org_invites.accept(invite.id, guest.id)
    assert [ended.status for ended in await service.org_invites.list_for_org("acme")] == ["revoked"]
    assert not await service.org_members.is_member("acme", guest.id)
