"""Every event of an operator's call names the operator, and its subject sees neither name nor address."""

from __future__ import annotations

import json

import pytest

from authkit_issuer.event_types import SessionEventType
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import Auth
from authkit_issuer.http.response_models import AccountEvent
from authkit_issuer.ports import Client

OPERATOR = {"user-agent": "OperatorConsole/7"}
# No digits: an id or a time may hold any.
CASE = "case of the lost telephone"
BAN = {"reason": f"{CASE}, for operators"}

# What each operation is called with, about {user}; the state it needs is made first, in ``PREPARE``.
ADMIN_CALLS: dict[tuple[str, str], dict[str, object] | None] = {
    ("POST", "/auth/admin/users/ban"): {"user_id": "{user}", **BAN},
    ("POST", "/auth/admin/users/unban"): {"user_id": "{user}"},
    ("POST", "/auth/admin/users/toggle-active"): {"user_id": "{user}", "banned": True},
    ("POST", "/auth/admin/users/set-email"): {"user_id": "{user}", "email": "new@example.test"},
    ("POST", "/auth/admin/users/set-username"): {"user_id": "{user}", "username": "ada_two"},
    ("POST", "/auth/admin/users/set-password"): {"user_id": "{user}", "password": "another horse battery"},
    ("DELETE", "/auth/admin/users/{user_id}"): None,
    ("POST", "/auth/admin/users/{user_id}/restore"): None,
    ("POST", "/auth/admin/users/{user_id}/recover"): {
        "email": "found@example.test",
        "reason": f"{CASE}, for operators",
    },
    ("DELETE", "/auth/admin/users/{user_id}/sessions"): None,
    ("POST", "/auth/admin/roles/grant"): {"user_id": "{user}", "role": "admin"},
    ("POST", "/auth/admin/roles/revoke"): {"user_id": "{user}", "role": "admin"},
}
PREPARE = {
    "/auth/admin/users/{user_id}/recover": lambda service, user: service.lifecycle.unban(user),
    "/auth/admin/users/unban": lambda service, user: service.lifecycle.ban(user),
    "/auth/admin/users/{user_id}/restore": lambda service, user: service.lifecycle.soft_delete(user),
    "/auth/admin/roles/revoke": lambda service, user: service.roles.assign(user, "admin"),
}
WITHOUT_EVENT = {
    ("POST", "/auth/admin/roles"),
    ("DELETE", "/auth/admin/users/{user_id}/passkeys/{passkey_id}"),
}
"""A role that no user holds changes no account; ``test_passkeys`` reads the event of a removal."""
OF_WEBHOOKS = {
    ("POST", "/auth/admin/webhooks"),
    ("DELETE", "/auth/admin/webhooks/{webhook_id}"),
    *(
        ("POST", f"/auth/admin/webhooks/{{webhook_id}}/{action}")
        for action in ("disable", "enable", "replay", "rotate", "test")
    ),
}
"""``test_webhook_administration`` reads who did what."""

# Of an owner; {user} is a member with a role of its own, "editor", and {invite} an open invite.
ORG_CALLS: dict[tuple[str, str], dict[str, object] | None] = {
    ("POST", "/auth/orgs/{org}/rename"): {"new_slug": "acme-two"},
    ("DELETE", "/auth/orgs/{org}"): None,
    ("PUT", "/auth/orgs/{org}/policy"): {"two_factor_required": True},
    ("POST", "/auth/orgs/{org}/roles"): {"role": "writer"},
    ("DELETE", "/auth/orgs/{org}/roles"): {"role": "editor"},
    ("DELETE", "/auth/orgs/{org}/roles/{role}"): None,
    ("POST", "/auth/orgs/{org}/members"): {"user_id": "{guest}"},
    ("DELETE", "/auth/orgs/{org}/members"): {"user_id": "{user}"},
    ("DELETE", "/auth/orgs/{org}/members/{user_id}"): None,
    ("POST", "/auth/orgs/{org}/members/{user_id}/roles"): {"role": "owner"},
    ("DELETE", "/auth/orgs/{org}/members/{user_id}/roles"): {"role": "editor"},
    ("DELETE", "/auth/orgs/{org}/members/{user_id}/roles/{role}"): None,
    ("POST", "/auth/orgs/{org}/invites"): {"user_id": "{guest}"},
    ("POST", "/auth/orgs/{org}/invites/{invite_id}/revoke"): None,
}


@pytest.fixture
async def root(api, sign_up, service):
    """Sign an operator in; every request of ``api`` is this operator's."""
    tokens = await sign_up(api, "root_r")
    user = await service.users.get_by_username("root_r")
    await service.roles.assign(user.id, "admin")
    api.headers.update({"authorization": f"Bearer {tokens['access_token']}", **OPERATOR})
    return user.id


@pytest.fixture
async def ada(api, root, sign_up, service):
    api.headers["user-agent"] = "ada's browser"
    tokens = await sign_up(api, "ada_l")
    api.headers.update(OPERATOR)
    user = await service.users.get_by_username("ada_l")
    return user.id, {"authorization": f"Bearer {tokens['access_token']}", "user-agent": "ada's browser"}


def _filled(value: dict[str, object] | None, names: dict[str, str]) -> dict[str, object]:
    """Return the keyword of a request that sends the body with its placeholders replaced."""
    if value is None:
        return {}
    return {"json": {name: names.get(str(entry), entry) for name, entry in value.items()}}


async def _newest(service) -> int:
    return max((event.id for event in await service.events.list_session_events("")), default=0)


async def _events_since(service, before: int):
    return [event for event in await service.events.list_session_events("") if event.id > before]


def test_every_operation_of_an_operator_or_owner_that_changes_something_is_called_here() -> None:
    changing = [operation for operation in OPERATIONS if operation.method != "GET"]
    served = {(o.method, o.path) for o in changing if o.auth is Auth.ADMIN}
    assert served == ADMIN_CALLS.keys() | WITHOUT_EVENT | OF_WEBHOOKS
    assert {(o.method, o.path) for o in changing if o.org} == ORG_CALLS.keys()


@pytest.mark.parametrize(("method", "path"), ADMIN_CALLS, ids=lambda text: text)
async def test_every_event_of_an_operators_call_names_the_operator(method, path, api, service, root, ada):
    user, _ = ada
    if path in PREPARE:
        await PREPARE[path](service, user)
    before = await _newest(service)
    sent = _filled(ADMIN_CALLS[method, path], {"{user}": user})
    answer = await api.request(method, path.replace("{user_id}", user), **sent)
    assert answer.status_code in {200, 202}, answer.text
    events = await _events_since(service, before)
    assert events
    assert [event for event in events if event.actor != root] == []


async def test_a_renaming_that_founds_an_organization_names_the_operator_throughout(
    make_service, serve, sign_up
):
    service = await make_service(org_mode="multi")
    operator = await service.users.create("root@example.test", "root_r")
    nameless = await service.users.create("ada@example.test", None)
    before = await _newest(service)
    await service.users.update_username(nameless.id, "ada_l", actor=operator.id)
    events = await _events_since(service, before)
    assert {event.event for event in events} == {"org_created", "org_member_added", "user_renamed"}
    assert {event.actor for event in events} == {operator.id}


@pytest.mark.parametrize(("method", "path"), ORG_CALLS, ids=lambda text: text)
async def test_every_event_of_an_owners_call_names_the_owner(method, path, make_service, serve, sign_up):
    service = await make_service(org_mode="multi")
    async with serve(service) as api:
        tokens = await sign_up(api, "root_r")
        owner = (await service.users.get_by_username("root_r")).id
        user = (await service.users.create("ada@example.test", "ada_l")).id
        guest = (await service.users.create("bob@example.test", "bob_m")).id
        await service.orgs.create("acme", owner_user_id=owner)
        await service.orgs.define_role("acme", "editor")
        await service.org_members.add("acme", user)
        await service.org_members.assign_role("acme", user, "editor")
        invited = (await service.users.create("eve@example.test", "eve_n")).id
        invite = await service.org_invites.create("acme", invited, owner)
        before = await _newest(service)
        names = {"{org}": "acme", "{user_id}": user, "{role}": "editor", "{invite_id}": invite.id}
        called = path
        for name, value in names.items():
            called = called.replace(name, value)
        sent = _filled(ORG_CALLS[method, path], {"{user}": user, "{guest}": guest})
        bearer = {"authorization": f"Bearer {tokens['access_token']}"}
        answer = await api.request(method, called, headers=bearer, **sent)
        assert answer.status_code in {200, 201}, answer.text
        events = await _events_since(service, before)
    assert events
    assert [event for event in events if event.actor != owner] == []


# --- what the subject sees --------------------------------------------------------------------------------


async def test_the_subject_sees_neither_operator_nor_the_reason_written_for_operators(
    api, service, root, ada, sign_up
):
    user, _ = ada
    for (method, path), body in ADMIN_CALLS.items():
        if path in PREPARE:
            await PREPARE[path](service, user)
        sent = _filled(body, {"{user}": user})
        answer = await api.request(method, path.replace("{user_id}", user), **sent)
        assert answer.status_code in {200, 202}, answer.text
    await service.lifecycle.ban(user, BAN["reason"], None, root)
    await service.events.record(
        SessionEventType.TWO_FACTOR_DISABLED, actor=root, user_id=user, reason=f"see the {CASE}"
    )
    stored = repr(await service.events.list_session_events(user))
    exported = json.dumps(await service.users.export(user))
    listed = repr([AccountEvent.of(event) for event in await service.events.list_session_events(user)])
    for secret in ("OperatorConsole", CASE, root):
        assert secret in stored
        assert secret not in exported
        assert secret not in listed


async def test_a_ban_without_an_operator_is_the_hosts_and_its_reason_stays_there(service, ada):
    user, _ = ada
    await service.lifecycle.ban(
        user, BAN["reason"], client=Client(ip="192.0.2.9", user_agent="OperatorConsole")
    )
    banned, *_ = await service.events.list_session_events(user, SessionEventType.USER_BANNED)
    assert banned.actor == "host"
    exported = json.dumps(await service.users.export(user))
    assert [secret for secret in (CASE, "192.0.2.9", "OperatorConsole") if secret in exported] == []


async def test_the_subject_sees_the_own_acts_whole_and_what_was_changed_by_others(api, service, root, ada):
    user, headers = ada
    await service.users.update_biography(user, "new", client=Client(ip="192.0.2.1", user_agent="mine"))
    await service.users.update_username(user, "ada_two", ignore_cooldown=True, actor=root)
    listed = {event["event"]: event for event in (await _list(api, headers))}
    assert (listed["user_updated"]["ip"], listed["user_updated"]["ua"]) == ("192.0.2.1", "mine")
    exported = {event["event"]: event for event in (await service.users.export(user))["events"]}
    assert exported["user_updated"]["ip_addr"] == "192.0.2.1"
    assert exported["user_renamed"]["actor"] == "another"
    assert exported["user_renamed"]["data"] == {"before": "ada_l", "after": "ada_two"}


async def _list(api, headers):
    answer = await api.get("/auth/user/events", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


# --- an operator's own account ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/auth/admin/users/ban", {"user_id": "{user}"}),
        ("POST", "/auth/admin/users/toggle-active", {"user_id": "{user}", "banned": True}),
        ("DELETE", "/auth/admin/users/{user_id}", None),
        ("DELETE", "/auth/admin/users/{user_id}?hard=true", None),
        ("POST", "/auth/admin/users/{user_id}/recover", {"email": "found@example.test", "reason": "lost"}),
    ],
)
async def test_an_operator_cannot_close_the_own_account(
    method, path, body, api, service, root, assert_refusal
) -> None:
    other = await service.users.create("second@example.test", "second_s")
    await service.roles.assign(other.id, "admin")
    before = await _newest(service)
    for spelled in (root, root.upper()):
        answer = await api.request(
            method, path.replace("{user_id}", spelled), **_filled(body, {"{user}": spelled})
        )
        assert_refusal(answer, 409, "own_account", "user_id")
    assert await service.users.is_allowed(root)
    assert await _events_since(service, before) == []
