"""A right that was taken after a request was let in opens nothing: it is looked at again where it is used."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer import errors
from authkit_issuer.http import guards, recent_auth
from fakes.until import until

from .test_actors import ADMIN_CALLS, ORG_CALLS

AT_COMMIT = [
    ("POST", "/auth/admin/roles/grant"),
    ("POST", "/auth/admin/roles/revoke"),
    ("POST", "/auth/admin/users/ban"),
    ("POST", "/auth/admin/users/unban"),
    ("POST", "/auth/admin/users/{user_id}/restore"),
    ("POST", "/auth/admin/users/toggle-active"),
    ("DELETE", "/auth/admin/users/{user_id}"),
]
"""What makes an administrator, ends one, or takes that back. It waits for the lock that ends its caller."""


def _body(given, **names: str):
    if given is None:
        return {}
    return {"json": {name: names.get(str(value).strip("{}"), value) for name, value in given.items()}}


async def _events_of(service, actor: str) -> int:
    return sum(event.actor == actor for event in await service.events.list_session_events(""))


async def test_an_owner_who_lost_the_role_meanwhile_changes_nothing(
    make_service, serve, sign_up, monkeypatch
):
    service = await make_service(org_mode="multi")
    members, admit = service.org_members, guards.admit_to_org
    ada, user, guest = [
        (await service.users.create(f"{name}@example.test", name)).id
        for name in ("ada_l", "user_u", "guest_g")
    ]
    org = await service.orgs.create("acme", owner_user_id=ada)
    async with serve(service) as api:
        bearer = {"authorization": f"Bearer {(await sign_up(api, 'mallory'))['access_token']}"}
        mallory = (await service.users.get_by_username("mallory")).id
        for person in (mallory, user):
            await members.add("acme", person)
        await service.orgs.define_role("acme", "editor")
        await members.assign_role("acme", user, "editor")
        invite = await service.org_invites.create("acme", guest, ada)

        async def admitted_and_then_demoted(*arguments):
            found = await admit(*arguments)
            await members.unassign_role("acme", mallory, "owner", actor=ada)
            return found

        monkeypatch.setattr(guards, "admit_to_org", admitted_and_then_demoted)
        other = (await service.users.create(None, "other_o")).id
        for (method, path), body in ORG_CALLS.items():
            await members.assign_role("acme", mallory, "owner", actor=ada)
            called = path.format(org="acme", user_id=user, role="editor", invite_id=invite.id)
            sent = _body(body, user=user, guest=other)
            answer = await api.request(method, called, headers=bearer, **sent)
            assert (answer.status_code, answer.json()["error"]) == (403, "not_org_member"), (method, path)
    assert await _events_of(service, mallory) == 0
    await members.assign_role("acme", mallory, "owner", actor=ada)
    await service.lifecycle.ban(mallory)
    with pytest.raises(errors.NotOrgMember):
        await service.orgs.delete(org.id, actor=mallory, as_owner=True)


async def test_an_administrator_who_lost_the_role_meanwhile_makes_and_ends_none(
    api, service, sign_up, monkeypatch
):
    bearer = {"authorization": f"Bearer {(await sign_up(api, 'mallory'))['access_token']}"}
    mallory = (await service.users.get_by_username("mallory")).id
    ada, user = [(await service.users.create(f"{n}@example.test", n)).id for n in ("ada_l", "user_u")]
    for person in (ada, user):
        await service.roles.assign(person, "admin")
    require = recent_auth.require_recent_auth

    async def admitted_and_then_demoted(*arguments):
        await require(*arguments)
        await service.roles.remove(mallory, "admin", actor=ada)

    monkeypatch.setattr(recent_auth, "require_recent_auth", admitted_and_then_demoted)
    for method, path in AT_COMMIT:
        await service.roles.assign(mallory, "admin")
        sent = _body(ADMIN_CALLS[method, path], user=user)
        answer = await api.request(method, path.format(user_id=user), headers=bearer, **sent)
        assert (answer.status_code, answer.json()["error"]) == (403, "forbidden"), (method, path)
    assert await _events_of(service, mallory) == 0
    await service.roles.assign(mallory, "admin")
    await service.lifecycle.ban(mallory)
    with pytest.raises(errors.Denied):
        await service.roles.assign(user, "admin", actor=mallory, as_admin=True)


@pytest.mark.parametrize("end", ["ban", "deletion"])
async def test_an_administrator_who_is_being_ended_does_not_take_that_back(api, service, sign_up, end):
    bearer = {"authorization": f"Bearer {(await sign_up(api, 'mallory'))['access_token']}"}
    mallory = (await service.users.get_by_username("mallory")).id
    ada = (await service.users.create("ada_l@example.test", "ada_l")).id
    for person in (ada, mallory):
        await service.roles.assign(person, "admin")
    undo, sent = f"/auth/admin/users/{mallory}/restore", {}
    if end == "ban":
        undo, sent = "/auth/admin/users/unban", {"json": {"user_id": mallory}}
    async with service.transaction() as tx:
        if end == "ban":
            await tx.admin.ban(mallory, actor=ada)
        else:
            await tx.admin.delete(mallory, soft=True, actor=ada)
        asking = asyncio.create_task(api.post(undo, headers=bearer, **sent))
        await until(lambda: _waits_for_a_lock(service))
    answer = await asking
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert not await service.users.is_allowed(mallory)


async def _waits_for_a_lock(service) -> bool:
    return await service.pool.fetchval(
        "select exists (select from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock')"
    )
