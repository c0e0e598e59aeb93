"""Administration over HTTP: who is let in, what is done, and what must never be done."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from authkit_issuer import errors
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import Auth
from authkit_issuer.store.query import Statement

PASSWORD = "correct horse battery"
ADMIN = [operation for operation in OPERATIONS if operation.auth is Auth.ADMIN]
TOO_LONG_AGO = Statement("update profiles.refresh_sessions set auth_time = now() - interval '901 seconds'")


class Person:
    """Somebody who is signed in."""

    def __init__(self, api, tokens, user_id: str) -> None:
        self._api, self.id = api, user_id
        self._headers = {"authorization": f"Bearer {tokens['access_token']}"}

    async def ask(self, method: str, path: str, body=None):
        content = {} if body is None else {"json": body}
        return await self._api.request(method, path, headers=self._headers, **content)

    async def do(self, method: str, path: str, body=None):
        answer = await self.ask(method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def config(config):
    """With passkeys, whose operations are served only where they are configured."""
    return dataclasses.replace(config, webauthn_rp_id="example.test")


@pytest.fixture
async def root(api, sign_up, service):
    tokens = await sign_up(api, "root_r")
    user = await service.users.get_by_username("root_r")
    await service.roles.assign(user.id, "admin")
    return Person(api, tokens, user.id)


@pytest.fixture
async def ada(api, sign_up, service):
    tokens = await sign_up(api, "ada_l")
    return Person(api, tokens, (await service.users.get_by_username("ada_l")).id)


def _told(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def _path(operation, user_id: str) -> str:
    return operation.path.replace("{user_id}", user_id)


# --- who is let in ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ADMIN, ids=lambda o: f"{o.method} {o.path}")
async def test_only_an_administrator_is_let_in_and_only_while_being_one(operation, root, ada, api, service):
    path = _path(operation, ada.id)
    assert _told(await ada.ask(operation.method, path)) == (403, "forbidden")
    assert (await api.request(operation.method, path)).json()["error"] == "missing_token"
    await service.roles.assign(ada.id, "admin")
    await service.roles.remove(root.id, "admin")
    # The token was minted while the role was held; storage is what counts.
    assert _told(await root.ask(operation.method, path)) == (403, "forbidden")


@pytest.mark.parametrize(
    "operation", [o for o in ADMIN if o.method != "GET"], ids=lambda o: f"{o.method} {o.path}"
)
async def test_whatever_changes_something_asks_for_a_recent_proof(operation, root, ada, service):
    await service.rt.execute(TOO_LONG_AGO)
    assert _told(await root.ask(operation.method, _path(operation, ada.id))) == (403, "step_up_required")


# --- reading ----------------------------------------------------------------------------------------------


async def test_users_are_listed_found_and_shown(root, ada):
    page = await root.do("GET", "/auth/admin/users?sort=username&order=asc&page_size=1")
    assert (page["object"], page["total"], page["limit"], page["offset"]) == ("list", 2, 1, 0)
    assert page["has_more"] is True
    assert [user["username"] for user in page["data"]] == ["ada_l"]
    last = await root.do("GET", "/auth/admin/users?sort=username&order=asc&page_size=1&page=2")
    assert ([user["username"] for user in last["data"]], last["has_more"]) == (["root_r"], False)
    found = await root.do("GET", "/auth/admin/users?search=ada&role=&status=any")
    assert found["total"] == 0  # no user holds a role without a name
    admins = await root.do("GET", "/auth/admin/users?role=admin")
    assert [user["id"] for user in admins["data"]] == [root.id]
    shown = await root.do("GET", f"/auth/admin/users/{ada.id}")
    assert (shown["email"], shown["email_verified"], shown["roles"]) == ("ada_l@example.test", True, [])
    assert _told(await root.ask("GET", "/auth/admin/users/missing")) == (404, "user_not_found")


@pytest.mark.parametrize(
    "query", ["status=x", "sort=password", "order=up", "match=regex", "filter=x", "page=x"]
)
async def test_an_unknown_order_or_filter_is_refused(root, query):
    assert _told(await root.ask("GET", f"/auth/admin/users?{query}")) == (400, "invalid_request")


async def test_sessions_and_sign_ins_are_listed_and_sessions_ended(root, ada):
    sessions = await root.do("GET", f"/auth/admin/users/{ada.id}/sessions")
    assert len(sessions["data"]) == 1
    sign_ins = await root.do("GET", f"/auth/admin/users/{ada.id}/signins")
    assert [event["event"] for event in sign_ins["data"]] == ["session_created"]
    ended = await root.do("DELETE", f"/auth/admin/users/{ada.id}/sessions")
    assert ended == {"ok": True, "ended": 1}
    assert (await ada.ask("GET", "/auth/user/me")).status_code == 401
    explained = await root.do("GET", f"/auth/admin/users/{ada.id}/explain")
    assert explained["can_sign_in"] is True
    assert [finding["code"] for finding in explained["endings"]] == ["admin_revoke_all"]


# --- acting -----------------------------------------------------------------------------------------------


async def test_a_user_is_banned_for_a_time_and_let_in_again(root, ada, api):
    login = {"identifier": "ada_l", "password": PASSWORD}
    body = {"user_id": ada.id, "reason": "spam", "until": "2099-01-01T00:00:00Z"}
    await root.do("POST", "/auth/admin/users/ban", body)
    assert _told(await api.post("/auth/password/login", json=login)) == (401, "user_banned")
    shown = await root.do("GET", f"/auth/admin/users/{ada.id}")
    assert (shown["ban_reason"], shown["banned_by"], shown["banned_until"]) == (
        "spam",
        root.id,
        "2099-01-01T00:00:00Z",
    )
    await root.do("POST", "/auth/admin/users/unban", {"user_id": ada.id})
    assert (await api.post("/auth/password/login", json=login)).status_code == 200
    past = await root.ask("POST", "/auth/admin/users/ban", body | {"until": "2001-01-01T00:00:00Z"})
    assert _told(past) == (400, "invalid_until")


async def test_toggling_bans_and_lifts(root, ada):
    for banned in (True, False):
        body = {"user_id": ada.id, "banned": banned}
        assert await root.do("POST", "/auth/admin/users/toggle-active", body) == {"ok": True} | body


async def test_a_user_is_deleted_restored_and_deleted_for_good(root, ada):
    await root.do("DELETE", f"/auth/admin/users/{ada.id}")
    assert [user["id"] for user in (await root.do("GET", "/auth/admin/users/deleted"))["data"]] == [ada.id]
    await root.do("POST", f"/auth/admin/users/{ada.id}/restore")
    assert (await root.do("GET", "/auth/admin/users/deleted"))["data"] == []
    await root.do("DELETE", f"/auth/admin/users/{ada.id}?hard=true")
    assert _told(await root.ask("GET", f"/auth/admin/users/{ada.id}")) == (404, "user_not_found")
    assert _told(await root.ask("DELETE", f"/auth/admin/users/{ada.id}?hard=true")) == (404, "user_not_found")


async def test_name_address_and_password_are_set_by_the_same_rules_as_anybodys(root, ada, api):
    users = "/auth/admin/users"
    await root.do("POST", f"{users}/set-username", {"user_id": ada.id, "username": "ada_m"})
    odd = await root.ask("POST", f"{users}/set-username", {"user_id": ada.id, "username": "admin"})
    assert _told(odd) == (400, "username_reserved")
    await root.do("POST", f"{users}/set-email", {"user_id": ada.id, "email": "new@example.test"})
    taken = await root.ask("POST", f"{users}/set-email", {"user_id": ada.id, "email": "root_r@example.test"})
    assert _told(taken) == (400, "email_in_use")
    short = await root.ask("POST", f"{users}/set-password", {"user_id": ada.id, "password": "short"})
    assert _told(short) == (400, "password_too_short")
    new = {"user_id": ada.id, "password": "a password from above"}
    await root.do("POST", f"{users}/set-password", new)
    login = {"identifier": "ada_m", "password": new["password"]}
    assert _told(await api.post("/auth/password/login", json=login)) == (401, "password_reset_required")
    await root.do("POST", f"{users}/set-password", new | {"must_change": False})
    assert (await api.post("/auth/password/login", json=login)).status_code != 500


async def test_roles_are_defined_granted_and_revoked(root, ada, service):
    unknown = await root.ask("POST", "/auth/admin/roles/grant", {"user_id": ada.id, "role": "editor"})
    assert _told(unknown) == (404, "role_not_found")
    defined = await root.do("POST", "/auth/admin/roles", {"role": "Editor", "name": "Editors"})
    assert (defined["slug"], defined["name"]) == ("editor", "Editors")
    slugs = [role["slug"] for role in (await root.do("GET", "/auth/admin/roles"))["data"]]
    assert slugs == ["admin", "editor"]
    await root.do("POST", "/auth/admin/roles/grant", {"user_id": ada.id, "role": "editor"})
    assert await service.roles.list_for_user(ada.id) == ["editor"]
    await root.do("POST", "/auth/admin/roles/revoke", {"user_id": ada.id, "role": "editor"})
    again = await root.ask("POST", "/auth/admin/roles/revoke", {"user_id": ada.id, "role": "editor"})
    assert _told(again) == (404, "role_not_found")
    owner = await root.ask("POST", "/auth/admin/roles/grant", {"user_id": ada.id, "role": "owner"})
    assert _told(owner) == (400, "reserved_role_slug")


async def test_what_an_administrator_does_stands_in_the_events(root, ada, service):
    await root.do("POST", "/auth/admin/roles", {"role": "editor"})
    await root.do("POST", "/auth/admin/roles/grant", {"user_id": ada.id, "role": "editor"})
    await root.do("POST", "/auth/admin/users/set-username", {"user_id": ada.id, "username": "ada_m"})
    await root.do("POST", "/auth/admin/users/ban", {"user_id": ada.id, "reason": "spam"})
    found = await service.events.list_session_events(ada.id, "role_assigned", "user_renamed", "user_banned")
    assert [event.event for event in found] == ["user_banned", "user_renamed", "role_assigned"]
    assert {event.actor for event in found} == {root.id}
    assert found[1].data == {"before": "ada_l", "after": "ada_m"}


# --- what must never be done ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/auth/admin/users/ban", {"user_id": "{id}"}, "own_account"),
        (
            "POST",
            "/auth/admin/users/toggle-active",
            {"user_id": "{id}", "banned": True},
            "own_account",
        ),
        ("DELETE", "/auth/admin/users/{id}", None, "own_account"),
        ("DELETE", "/auth/admin/users/{id}?hard=true&force=true", None, "own_account"),
        ("DELETE", "/auth/user", None, "cannot_remove_last_admin_role"),
        (
            "POST",
            "/auth/admin/roles/revoke",
            {"user_id": "{id}", "role": "admin"},
            "cannot_remove_last_admin_role",
        ),
    ],
)
async def test_the_last_administrator_cannot_be_taken_away(root, method, path, body, code):
    own = (
        None
        if body is None
        else {name: root.id if value == "{id}" else value for name, value in body.items()}
    )
    refused = await root.ask(method, path.replace("{id}", root.id), own)
    assert _told(refused) == (409, code)
    assert (await root.do("GET", f"/auth/admin/users/{root.id}"))["banned_at"] is None


async def test_two_administrators_who_ban_each_other_leave_one(root, ada, service, rounds):
    await service.roles.assign(ada.id, "admin")
    for _ in range(rounds(100)):
        outcomes = await asyncio.gather(
            service.admin.ban(root.id, actor=ada.id),
            service.admin.delete(ada.id, soft=True, actor=root.id),
            return_exceptions=True,
        )
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert [type(outcome) for outcome in refused] == [errors.CannotRemoveLastAdminRole]
        await service.lifecycle.unban(root.id)
        await service.lifecycle.restore(ada.id)
