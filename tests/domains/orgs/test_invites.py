import uuid
from datetime import UTC, datetime, timedelta

import pytest

from authkit_issuer import OrgInvite, Service, errors
from fakes.gather import gather


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service()


@pytest.fixture
async def owner(service: Service) -> str:
    user = (await service.users.create("owner@example.com", "owner_o")).id
    await service.orgs.create("acme", owner_user_id=user)
    return user


@pytest.fixture
async def guest(service: Service) -> str:
    return (await service.users.create("guest@example.com", "guest_g")).id


@pytest.fixture
async def invite(service: Service, owner: str, guest: str) -> OrgInvite:
    return await service.org_invites.create("acme", guest, owner)


async def test_an_invite_says_who_invites_whom_into_what(
    service: Service, invite: OrgInvite, owner: str, guest: str
):
    assert (invite.org, invite.user_id, invite.invited_by) == ("acme", guest, owner)
    assert (invite.status, invite.expires_at, invite.acted_at) == ("pending", None, None)
    assert await service.org_invites.list_for_org("acme") == [invite]
    assert await service.org_invites.list_for_user(guest, "pending") == [invite]
    assert await service.org_invites.list_for_user(owner) == []


async def test_accepting_makes_a_member_with_that_role_and_no_other(
    service: Service, invite: OrgInvite, guest: str
):
    await service.org_invites.accept(invite.id, guest)
    assert await service.org_members.list_roles("acme", guest) == ["member"]
    (after,) = await service.org_invites.list_for_user(guest)
    assert after.status == "accepted"
    assert after.acted_at is not None
    for call in (service.org_invites.accept, service.org_invites.decline):
        with pytest.raises(errors.OrgInviteNotPending):
            await call(invite.id, guest)


async def test_a_removed_owner_who_is_invited_again_is_a_plain_member(
    service: Service, owner: str, guest: str
):
    await service.org_members.add("acme", guest)
    await service.org_members.assign_role("acme", guest, "owner")
    await service.org_members.remove("acme", guest)
    invite = await service.org_invites.create("acme", guest, owner)
    await service.org_invites.accept(invite.id, guest)
    assert await service.org_members.list_roles("acme", guest) == ["member"]


async def test_declining_ends_the_invite_and_makes_room(
    service: Service, invite: OrgInvite, owner: str, guest: str
):
    await service.org_invites.decline(invite.id, guest)
    assert not await service.org_members.is_member("acme", guest)
    again = await service.org_invites.create("acme", guest, owner)
    assert [entry.status for entry in await service.org_invites.list_for_org("acme")] == [
        "pending",
        "declined",
    ]
    assert again.id != invite.id


async def test_an_invite_is_for_its_person_alone(service: Service, invite: OrgInvite, owner: str):
    for other in (owner, str(uuid.uuid4()), "no id"):
        for call in (service.org_invites.accept, service.org_invites.decline):
            with pytest.raises(errors.OrgInviteNotForUser):
                await call(invite.id, other)


async def test_what_does_not_exist_is_not_found(service: Service, owner: str, guest: str):
    for nothing in (str(uuid.uuid4()), "no id", ""):
        with pytest.raises(errors.OrgInviteNotFound):
            await service.org_invites.accept(nothing, guest)
        with pytest.raises(errors.OrgInviteNotFound):
            await service.org_invites.revoke("acme", nothing)
        with pytest.raises(errors.UserNotFound):
            await service.org_invites.create("acme", nothing, owner)
    with pytest.raises(errors.OrgNotFound):
        await service.org_invites.create("nothing", guest, owner)
    with pytest.raises(errors.Invalid):
        await service.org_invites.list_for_org("acme", "unheard-of")


async def test_revoking_ends_an_open_invite_of_this_organization_only(
    service: Service, invite: OrgInvite, owner: str, guest: str
):
    await service.orgs.create("other", owner_user_id=owner)
    with pytest.raises(errors.OrgInviteNotFound):
        await service.org_invites.revoke("other", invite.id)
    await service.org_invites.revoke("acme", invite.id, actor=owner)
    with pytest.raises(errors.OrgInviteNotPending):
        await service.org_invites.revoke("acme", invite.id)
    with pytest.raises(errors.OrgInviteNotPending):
        await service.org_invites.accept(invite.id, guest)


async def test_one_open_invite_and_no_member_is_invited(
    service: Service, invite: OrgInvite, owner: str, guest: str
):
    with pytest.raises(errors.OrgInviteAlreadyPending):
        await service.org_invites.create("acme", guest, owner)
    with pytest.raises(errors.AlreadyOrgMember):
        await service.org_invites.create("acme", owner, owner)


async def test_who_may_not_act_is_not_invited(service: Service, owner: str, guest: str):
    await service.lifecycle.ban(guest)
    with pytest.raises(errors.UserNotFound):
        await service.org_invites.create("acme", guest, owner)


async def test_an_expiry_must_lie_ahead_and_have_a_zone(service: Service, owner: str, guest: str):
    now = datetime.now(UTC)
    for wrong in (now - timedelta(seconds=1), (now + timedelta(days=1)).replace(tzinfo=None)):
        with pytest.raises(errors.InvalidExpiry):
            await service.org_invites.create("acme", guest, owner, wrong)


async def test_an_expiry_is_judged_by_the_clock_that_will_end_it(
    service: Service, owner: str, guest: str, clock
):
    clock.advance(10 * 365 * 86400)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    assert (await service.org_invites.create("acme", guest, owner, ahead)).expires_at == ahead


async def test_a_lapsed_invite_is_expired_for_good_and_makes_room(
    service: Service, owner: str, guest: str, age
):
    ahead = datetime.now(UTC) + timedelta(hours=1)
    lapsed = await service.org_invites.create("acme", guest, owner, ahead)
    await age("org_invites", lapsed.id, expires_at=7200)
    assert [entry.status for entry in await service.org_invites.list_for_user(guest)] == ["expired"]
    assert await service.org_invites.list_for_user(guest, "pending") == []
    with pytest.raises(errors.OrgInviteExpired):
        await service.org_invites.accept(lapsed.id, guest)
    stored = await service.pool.fetchval("select status from profiles.org_invites")
    assert stored == "expired"
    await service.org_invites.create("acme", guest, owner, ahead)


async def test_a_lapsed_invite_that_was_not_touched_makes_room_too(
    service: Service, owner: str, guest: str, age
):
    lapsed = await service.org_invites.create("acme", guest, owner, datetime.now(UTC) + timedelta(hours=1))
    await age("org_invites", lapsed.id, expires_at=7200)
    await service.org_invites.create("acme", guest, owner)
    assert [entry.status for entry in await service.org_invites.list_for_org("acme")] == [
        "pending",
        "expired",
    ]


async def test_an_owner_who_lost_the_role_lets_no_user_in(
    service: Service, invite: OrgInvite, owner: str, guest: str
):
    other = (await service.users.create("other@example.com", "other_o")).id
    await service.org_members.add("acme", other)
    await service.org_members.assign_role("acme", other, "owner")
    await service.org_members.remove("acme", owner)
    with pytest.raises(errors.OrgInviteNotPending):
        await service.org_invites.accept(invite.id, guest)
    assert not await service.org_members.is_member("acme", guest)


async def test_deleting_the_inviter_leaves_the_invite_without_a_name(
    service: Service, owner: str, guest: str
):
    helper = (await service.users.create("helper@example.com", "helper_h")).id
    invite = await service.org_invites.create("acme", guest, helper)
    await service.lifecycle.hard_delete(helper)
    await service.org_invites.accept(invite.id, guest)
    assert (await service.org_invites.list_for_user(guest))[0].invited_by is None


async def test_a_host_cannot_answer_inside_its_transaction(service: Service, invite: OrgInvite, guest: str):
    async with service.transaction() as tx:
        for call in (tx.org_invites.accept, tx.org_invites.decline):
            with pytest.raises(errors.NotJoinable):
                await call(invite.id, guest)


class TestAddresses:
    async def test_an_address_without_account_is_invited_and_the_user_that_verifies_it_accepts(
        self, service: Service, owner: str
    ):
        invite = await service.org_invites.create_for_email("acme", " New@Example.com ", owner)
        assert (invite.user_id, invite.email, invite.status) == (None, "new@example.com", "pending")
        claimed = (await service.users.create("new@example.com", "new_user")).id
        assert await service.org_invites.list_for_user(claimed) == []
        with pytest.raises(errors.OrgInviteNotForUser):
            await service.org_invites.accept(invite.id, claimed)
        await service.users.set_email_verified(claimed, True)
        assert [entry.id for entry in await service.org_invites.list_for_user(claimed)] == [invite.id]
        await service.org_invites.accept(invite.id, claimed)
        assert await service.org_members.list_roles("acme", claimed) == ["member"]
        assert (await service.org_invites.list_for_org("acme"))[0].user_id == claimed

    async def test_an_address_that_was_proved_is_its_account(self, service: Service, owner: str, guest: str):
        await service.users.set_email_verified(guest, True)
        invite = await service.org_invites.create_for_email("acme", "guest@example.com", owner)
        assert await service.org_invites.list_for_user(guest) == [invite]
        assert await service.org_invites.get(invite.id, guest) == invite
        await service.org_invites.accept(invite.id, guest)
        assert (await service.org_invites.get(invite.id, guest)).user_id == guest

    async def test_one_open_invite_per_address(self, service: Service, owner: str):
        await service.org_invites.create_for_email("acme", "new@example.com", owner)
        with pytest.raises(errors.OrgInviteAlreadyPending):
            await service.org_invites.create_for_email("acme", "NEW@example.com", owner)


async def test_accepting_against_revoking_has_one_outcome(service: Service, owner: str, guest: str, rounds):
    for _ in range(rounds(1000)):
        invite = await service.org_invites.create("acme", guest, owner)
        accepted, revoked = await gather(
            lambda invite=invite: service.org_invites.accept(invite.id, guest),
            lambda invite=invite: service.org_invites.revoke("acme", invite.id),
        )
        assert [accepted, revoked].count(None) == 1
        assert await service.org_members.is_member("acme", guest) is (accepted is None)
        status = await service.pool.fetchval(
            "select status from profiles.org_invites where id = $1::text::uuid", invite.id
        )
        assert status == ("accepted" if accepted is None else "revoked")
        await service.org_members.remove("acme", guest)


async def test_fifty_who_accept_one_invite_make_one_member(service: Service, owner: str, guest: str, rounds):
    for _ in range(rounds(200)):
        invite = await service.org_invites.create("acme", guest, owner)
        outcomes = await gather(
            *[lambda invite=invite: service.org_invites.accept(invite.id, guest) for _ in range(50)]
        )
        assert outcomes.count(None) == 1
        assert all(
            outcome is None or isinstance(outcome, errors.OrgInviteNotPending | errors.Unavailable)
            for outcome in outcomes
        )
        await service.org_members.remove("acme", guest)


async def _statuses(service: Service) -> list[str]:
    return [entry.status for entry in await service.org_invites.list_for_org("acme")]
