"""A client that holds its body back has no right any more that was taken from it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.http import create_app
from authkit_issuer.http.dispatch import SLOW_BODY
from fakes.late_bodies import held_back


async def late(
    app: Any,
    scope: dict[str, Any],
    tokens: dict[str, str],
    body: dict[str, str],
    meanwhile: Callable[[], Awaitable[Any]],
) -> int:
    """Send a request whose body arrives after ``meanwhile`` and return the status."""

    async def until_late() -> None:
        await meanwhile()
        await asyncio.sleep(SLOW_BODY * 1.2)

    status, _ = await held_back(app, scope, tokens["access_token"], body, until_late)
    return status


async def ids(service: Any, *names: str) -> list[str]:
    return [(await service.users.get_by_username(name)).id for name in names]


@pytest.fixture
async def mallory(service, api, sign_up) -> dict[str, str]:
    """The tokens of the second of two administrators."""
    await sign_up(api, "ada_l")
    tokens = await sign_up(api, "mallory")
    for user in await ids(service, "ada_l", "mallory"):
        await service.roles.assign(user, "admin")
    return tokens


@pytest.mark.parametrize("also", ["role", "session"])
async def test_an_administrator_who_lost_the_role_meanwhile_grants_none(service, mallory, scope, also):
    (user,) = await ids(service, "mallory")

    async def meanwhile() -> None:
        await service.roles.remove(user, "admin")
        if also == "session":
            await service.sessions.revoke_all(user)

    body = {"user_id": user, "role": "admin"}
    status = await late(
        create_app(service), scope("POST", "/auth/admin/roles/grant", []), mallory, body, meanwhile
    )
    assert status == (401 if also == "session" else 403)
    assert await service.roles.list_for_user(user) == []


async def test_a_late_body_of_a_caller_who_keeps_the_right_is_taken(service, mallory, scope):
    (user,) = await ids(service, "ada_l")
    await service.roles.define("editor")
    path, body = scope("POST", "/auth/admin/roles/grant", []), {"user_id": user, "role": "editor"}
    assert await late(create_app(service), path, mallory, body, lambda: asyncio.sleep(0)) == 200


async def test_an_owner_who_was_removed_meanwhile_neither_invites_nor_appoints(
    make_service, serve, sign_up, scope
):
    service = await make_service(org_mode="multi")
    async with serve(service) as api:
        await sign_up(api, "ada_l")
        tokens = await sign_up(api, "mallory")
        await sign_up(api, "friend")
    ada, mallory, friend = await ids(service, "ada_l", "mallory", "friend")
    await service.orgs.create("acme", owner_user_id=ada)
    for member in (mallory, friend):
        await service.org_members.add("acme", member)
    await service.org_members.assign_role("acme", mallory, "owner")
    app, members = create_app(service), service.org_members

    async def demote() -> None:
        await members.unassign_role("acme", mallory, "owner", actor=ada)

    path = scope("POST", f"/auth/orgs/acme/members/{mallory}/roles", [])
    assert await late(app, path, tokens, {"role": "owner"}, demote) == 403
    assert await members.list_roles("acme", mallory) == []
    path = scope("POST", "/auth/orgs/acme/invites", [])
    body = {"email": "friend@example.test", "role": "owner"}
    await members.assign_role("acme", mallory, "owner")
    assert await late(app, path, tokens, body, demote) == 403
    assert await service.org_invites.list_for_org("acme") == []


async def test_the_invite_of_an_owner_needs_the_role_at_the_moment_it_is_made(make_service):
    service = await make_service(org_mode="multi")
    ada, bob = [(await service.users.create(f"{n}@example.test", n)).id for n in ("ada_l", "bob_b")]
    await service.orgs.create("acme", owner_user_id=ada)
    with pytest.raises(errors.NotOrgMember):
        await service.org_invites.create("acme", bob, bob, as_owner=True)
    with pytest.raises(errors.NotOrgMember):
        await service.org_invites.create_for_email("acme", "c@example.test", bob, as_owner=True)
    assert (await service.org_invites.create("acme", bob, ada, as_owner=True)).status == "pending"
