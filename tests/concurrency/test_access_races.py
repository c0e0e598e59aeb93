"""Sessions, roles, organizations and invites: what must hold whatever happens at the same moment."""

from __future__ import annotations

from functools import partial

import pytest

from authkit_issuer import Service, errors
from fakes.gather import gather

PASSWORD = "correct horse battery"


@pytest.fixture
async def owner(service: Service) -> str:
    user = (await service.users.create(None, "owner_o")).id
    await service.orgs.create("acme", owner_user_id=user)
    return user


async def test_five_parallel_exchanges_have_one_successor_and_leave_one_session(
    service: Service, rounds
) -> None:
    for _ in range(rounds(1000)):
        user = (await service.users.create(None, None)).id
        issued = await service.sessions.issue(user)
        pairs = await gather(*[partial(service.sessions.exchange, issued.refresh_token)] * 5)
        (successor,) = {pair.refresh_token for pair in pairs}
        assert [session.id for session in await service.sessions.list_for_user(user)] == [issued.session_id]
        assert (await service.sessions.exchange(successor)).session_id == issued.session_id


async def test_a_login_with_a_password_does_not_survive_a_ban(service: Service, rounds) -> None:
    hashed = await service.passwords.hash(PASSWORD)
    for number in range(rounds(1000)):
        email = f"u{number}@example.test"
        user = await service.users.add(email=email, username=f"user_{number}", verified=True)
        await service.passwords.store_hash(user.id, hashed)
        outcome, banned = await gather(
            partial(service.logins.with_password, email, PASSWORD), partial(service.lifecycle.ban, user.id)
        )
        assert banned is None
        await service.lifecycle.unban(user.id)
        assert await service.sessions.list_for_user(user.id) == []
        if isinstance(outcome, errors.AuthError):
            assert isinstance(outcome, errors.UserBanned | errors.InvalidCredentials)
        else:
            with pytest.raises(errors.InvalidRefreshToken):
                await service.sessions.exchange(outcome.refresh_token)


async def test_a_role_that_is_deleted_while_it_is_assigned_has_no_holder(
    service: Service, owner: str, rounds
) -> None:
    for _ in range(rounds(1000)):
        await service.orgs.define_role("acme", "editor")
        assigned, deleted = await gather(
            partial(service.org_members.assign_role, "acme", owner, "editor"),
            partial(service.orgs.delete_role, "acme", "editor"),
        )
        assert assigned is None or isinstance(assigned, errors.OrgRoleNotFound)
        assert deleted is True
        assert await service.org_members.list_roles("acme", owner) == ["owner"]


async def test_an_invite_of_or_by_somebody_who_is_being_deleted_is_made_or_refused(
    service: Service, owner: str, rounds
) -> None:
    for number in range(rounds(500)):
        guest = (await service.users.create(None, None)).id
        helper = (await service.users.create(None, None)).id
        leaving = guest if number % 2 else helper
        made, gone = await gather(
            partial(service.org_invites.create, "acme", guest, helper),
            partial(service.lifecycle.hard_delete, leaving),
        )
        assert gone is True
        assert not isinstance(made, Exception) or isinstance(made, errors.UserNotFound)
        listed = await service.org_invites.list_for_org("acme", "pending")
        assert [invite.invited_by for invite in listed if invite.user_id == guest] == (
            [] if isinstance(made, Exception) or leaving == guest else [None]
        )


async def test_a_role_for_somebody_who_is_being_deleted_is_given_or_refused(service: Service, rounds) -> None:
    await service.roles.assign((await service.users.create(None, None)).id, "admin")
    for _ in range(rounds(500)):
        user = (await service.users.create(None, None)).id
        given, gone = await gather(
            partial(service.roles.assign, user, "admin"), partial(service.lifecycle.hard_delete, user)
        )
        assert gone is True
        assert given is None or isinstance(given, errors.UserNotFound)
        assert await service.roles.list_for_user(user) == []


async def test_joining_an_organization_that_is_being_closed_is_refused_or_keeps_it_open(
    service: Service, rounds
) -> None:
    for number in range(rounds(500)):
        founder = (await service.users.create(None, None)).id
        guest = (await service.users.create(None, None)).id
        await service.orgs.create(f"org-{number}", owner_user_id=founder)
        joined, gone = await gather(
            partial(service.org_members.add, f"org-{number}", guest),
            partial(service.lifecycle.hard_delete, founder),
        )
        if joined is None:
            assert isinstance(gone, errors.CannotRemoveLastOwner)
            assert await service.org_members.list_orgs(guest) == [f"org-{number}"]
        else:
            assert (type(joined), gone) == (errors.OrgNotFound, True)
            assert await service.org_members.list_orgs(guest) == []


async def test_an_unknown_inviter_is_said_to_be_unknown(service: Service, owner: str) -> None:
    guest = (await service.users.create(None, None)).id
    for unknown in ("00000000-0000-4000-8000-000000000000", "no id"):
        for call in (
            partial(service.org_invites.create, "acme", guest, unknown),
            partial(service.org_invites.create_for_email, "acme", "new@example.test", unknown),
        ):
            with pytest.raises(errors.UserNotFound):
                await call()
    assert await service.org_invites.list_for_org("acme") == []
