"""Deleting an organization: at once for its members, for good after the retention."""

from __future__ import annotations

import uuid
from functools import partial

import pytest

from authkit_issuer import Service, errors
from fakes.gather import gather
from fakes.users import finish_background

MONTH = 30 * 86_400


@pytest.fixture
async def service(make_service) -> Service:
    return await make_service(org_mode="multi")


@pytest.fixture
async def ada(service: Service) -> str:
    user = (await service.users.add(email="ada@example.test", username="ada_l", verified=True)).id
    await service.orgs.create("acme", owner_user_id=user)
    return user


@pytest.fixture
async def bob(service: Service, ada: str) -> str:
    user = (await service.users.add(email="bob@example.test", username="bob_b", verified=True)).id
    await service.org_members.add("acme", user)
    return user


async def org_id(service: Service, slug: str = "acme") -> str:
    return (await service.orgs.resolve(slug)).id


async def test_a_deleted_organization_is_found_no_more_and_gives_no_token(
    service: Service, ada: str, bob: str
) -> None:
    org, session = await org_id(service), await service.sessions.issue(bob)
    await service.orgs.delete(org, actor=ada)
    with pytest.raises(errors.OrgNotFound):
        await service.orgs.resolve("acme")
    with pytest.raises(errors.OrgNotFound):
        await service.tokens.issue_org_access(bob, "", "acme")
    with pytest.raises(errors.OrgNotFound):
        await service.sessions.exchange(session.refresh_token, org="acme")
    assert await service.org_members.list_orgs(bob) == ["bob-b"]
    assert await service.sessions.exchange(session.refresh_token)
    for again in (org, str(uuid.uuid4()), "no id"):
        with pytest.raises(errors.OrgNotFound):
            await service.orgs.delete(again)


async def test_its_open_invites_end_and_the_trail_says_who_deleted_it(service: Service, ada: str) -> None:
    org = await org_id(service)
    guest = (await service.users.create(None, "guest_g")).id
    invite = await service.org_invites.create("acme", guest, ada)
    await service.orgs.delete(org, actor=ada)
    with pytest.raises(errors.OrgInviteNotFound):
        await service.org_invites.accept(invite.id, guest)
    stored = await service.pool.fetchval("select status from profiles.org_invites")
    assert stored == "revoked"
    (event,) = await service.events.list_session_events("", "org_deleted")
    assert (event.actor, event.target, event.data) == (ada, f"org:{org}", {"slug": "acme", "invites": 1})


async def test_a_personal_organization_is_deleted_with_its_user_alone(service: Service, ada: str) -> None:
    with pytest.raises(errors.PersonalOrgLocked):
        await service.orgs.delete(await org_id(service, "ada-l"))
    assert await service.orgs.get_personal(ada)


async def test_its_only_owner_may_go_afterwards(service: Service, ada: str, bob: str) -> None:
    with pytest.raises(errors.CannotRemoveLastOwner):
        await service.lifecycle.soft_delete(ada)
    await service.orgs.delete(await org_id(service))
    await service.lifecycle.soft_delete(ada)


async def test_its_names_stay_taken_until_the_purge(service: Service, ada: str, age) -> None:
    org = await org_id(service)
    await service.orgs.rename(org, "newer")
    await service.orgs.delete(org)
    for name in ("acme", "newer"):
        with pytest.raises(errors.OwnerSlugTaken):
            await service.orgs.create(name)
    await age("orgs", org, deleted_at=MONTH - 60)
    assert await service.orgs.purge_deleted() == 0
    await age("orgs", org, deleted_at=120)
    await service.maintain()
    events = await service.events.list_session_events("", "org_deleted")
    assert [(event.reason, event.target) for event in events] == [
        ("purged", f"org:{org}"),
        (None, f"org:{org}"),
    ]
    for name in ("acme", "newer"):
        assert (await service.orgs.create(name)).id != org


async def test_a_token_from_before_the_purge_is_not_of_the_next_organization_of_the_name(
    service: Service, ada: str
) -> None:
    token = (await service.tokens.issue_org_access(ada, "", "acme")).token
    assert await service.sessions.claims_of(token)
    await service.orgs.delete(await org_id(service), actor=ada)
    await service.orgs.purge_deleted(retention=-1)
    await service.orgs.create("acme", owner_user_id=ada)
    assert await service.sessions.claims_of(token) is None


async def test_names_of_deleted_organizations_count_for_their_owner_until_the_purge(
    service: Service, ada: str, bob: str
) -> None:
    await service.pool.execute(
        """
        with made as (
            insert into profiles.orgs (slug, deleted_at)
            select 'gone-' || n, now() from generate_series(1, 198) n returning id
        ), roles as (
            insert into profiles.org_roles (org_id, role) select id, 'owner' from made
        ), members as (
            insert into profiles.org_members (org_id, user_id)
            select id, user_id from made, unnest(array[$1::uuid, $2::uuid]) user_id
        )
        insert into profiles.org_member_roles (org_id, user_id, role) select id, $1::uuid, 'owner' from made
        """,
        ada,
        bob,
    )
    with pytest.raises(errors.OrgMembershipLimitExceeded):
        await service.orgs.create("one-more", owner_user_id=ada)
    # A member without that role holds no name by it.
    await service.orgs.create("of-bob", owner_user_id=bob)
    await service.orgs.purge_deleted(retention=-1)
    await service.orgs.create("one-more", owner_user_id=ada)


async def test_the_purge_goes_on_past_a_full_batch(service: Service) -> None:
    for number in range(5):
        await service.orgs.delete((await service.orgs.create(f"org-{number}")).id)
    await service.orgs.create("living")
    assert await service.orgs.purge_deleted(retention=-1, batch=2) == 5
    assert await service.orgs.resolve("living")
    with pytest.raises(errors.NotJoinable):
        async with service.transaction() as tx:
            await tx.orgs.purge_deleted()


async def test_whatever_happens_to_it_at_the_same_moment_is_refused_or_ends_with_it(
    service: Service, ada: str, rounds
) -> None:
    guest = (await service.users.create(None, "guest_g")).id
    for number in range(rounds(200)):
        org = (await service.orgs.create(f"org-{number}", owner_user_id=ada)).id
        slug = f"org-{number}"
        invite = await service.org_invites.create(slug, guest, ada)
        outcomes = await gather(
            partial(service.orgs.delete, org),
            partial(service.orgs.rename, org, f"other-{number}"),
            partial(service.org_members.assign_role, slug, ada, "member"),
            partial(service.orgs.define_role, slug, "editor"),
            partial(service.org_invites.accept, invite.id, guest),
            partial(service.orgs.delete, org),
        )
        deletions = {type(outcome) for outcome in (outcomes[0], outcomes[-1])}
        assert deletions == {type(None), errors.OrgNotFound}
        assert all(
            outcome is None
            or isinstance(outcome, errors.OrgNotFound | errors.OrgInviteNotFound | errors.OrgInviteNotPending)
            for outcome in outcomes
        )
        assert slug not in await service.org_members.list_orgs(guest)
        await service.orgs.purge_deleted(retention=-1)


# --- notices -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (lambda at, org, bob, eve: at.orgs.rename(org, "newer"), "org_renamed", "ada bob"),
        (lambda at, org, bob, eve: at.orgs.delete(org), "org_deleted", "ada bob"),
        (
            lambda at, org, bob, eve: at.org_members.assign_role("acme", eve, "owner"),
            "org_owner_added",
            "ada bob eve",
        ),
        (lambda at, org, bob, eve: at.org_members.remove("acme", bob), "org_owner_removed", "ada bob"),
        (
            lambda at, org, bob, eve: at.org_members.unassign_role("acme", bob, "owner"),
            "org_owner_removed",
            "ada bob",
        ),
        (lambda at, org, bob, eve: at.org_members.remove("acme", eve), None, ""),
        (lambda at, org, bob, eve: at.org_members.assign_role("acme", eve, "member"), None, ""),
    ],
)
async def test_every_owner_learns_of_a_change_of_authority(
    service: Service, mailbox, ada: str, bob: str, change, kind: str | None, told: str
) -> None:
    eve = (await service.users.add(email="eve@example.test", username="eve_e", verified=True)).id
    await service.org_members.add("acme", eve)
    await service.org_members.assign_role("acme", bob, "owner")
    await finish_background(service)
    mailbox.messages.clear()
    await change(service, await org_id(service), bob, eve)
    await finish_background(service)
    assert {message.kind for message in mailbox.messages} == ({kind} if kind else set())
    assert sorted(message.to.partition("@")[0] for message in mailbox.messages) == told.split()


async def test_a_founder_gets_no_notice_of_the_own_act(service: Service, mailbox, ada: str) -> None:
    await finish_background(service)
    assert "org_owner_added" not in {message.kind for message in mailbox.messages}


async def test_an_invite_of_an_owner_is_announced_before_its_answer(
    service: Service, mailbox, ada: str, bob: str
) -> None:
    await service.org_members.assign_role("acme", bob, "owner")
    await finish_background(service)
    mailbox.messages.clear()
    await service.org_invites.create_for_email("acme", "eve@example.test", ada)
    await service.org_invites.create_for_email("acme", "mallory@example.test", ada, role="owner")
    await finish_background(service)
    told = [message.to for message in mailbox.messages if message.kind == "org_owner_invited"]
    assert sorted(told) == ["ada@example.test", "bob@example.test"]


async def test_an_owner_by_invite_is_announced(service: Service, mailbox, ada: str) -> None:
    eve = (await service.users.add(email="eve@example.test", username="eve_e", verified=True)).id
    invite = await service.org_invites.create("acme", eve, ada, role="owner")
    await service.org_invites.accept(invite.id, eve)
    await finish_background(service)
    told = [message.to for message in mailbox.messages if message.kind == "org_owner_added"]
    assert sorted(told) == ["ada@example.test", "eve@example.test"]
