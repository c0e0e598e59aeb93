"""The whole story over the real service: register, confirm, sign in, use, refresh, sign out."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from authkit_issuer.http import create_app

PASSWORD = "correct horse battery"


def _bearer(tokens: dict[str, object]) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens['access_token']}"}


async def _login(api: httpx.AsyncClient, **body: str) -> httpx.Response:
    return await api.post("/auth/password/login", json={"password": PASSWORD} | body)


def _assert_tokens(answer: httpx.Response) -> None:
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert body["token_type"] == "Bearer"
    assert 800 <= body["expires_in"] <= 900
    assert body["refresh_token"].startswith("akr_")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


async def test_a_registration_is_confirmed_by_code_and_id_together(api, mailbox):
    body = {"identifier": " Ada@Example.test ", "username": "ada_l", "password": PASSWORD}
    accepted = await api.post("/auth/register", json=body)
    assert accepted.status_code == 202
    assert set(accepted.json()) == {"ok", "message", "registration_id", "email"}
    assert accepted.json()["email"] == "ada@example.test"
    assert accepted.headers["cache-control"] == "no-store"

    await api.delivered()
    code = mailbox.last("ada@example.test").code
    confirm = {"email": "ada@example.test", "code": code}
    without_id = await api.post("/auth/email/verify/confirm", json=confirm)
    assert _code(without_id) == (400, "invalid_request")
    assert without_id.json()["param"] == "registration_id"
    confirm["registration_id"] = accepted.json()["registration_id"]
    answer = await api.post("/auth/email/verify/confirm", json=confirm)
    _assert_tokens(answer)
    again = await api.post("/auth/email/verify/confirm", json=confirm)
    assert _code(again) == (409, "already_confirmed")


@pytest.mark.parametrize(
    ("name", "contact"), [("email", "ada@example.test"), ("phone_number", "+4915112345678")]
)
async def test_a_contact_may_be_named_for_what_it_is(api, mailbox, name, contact):
    answer = await api.post("/auth/register", json={name: contact, "password": PASSWORD})
    assert answer.status_code == 202
    assert contact in answer.json().values()
    two = {name: contact, "identifier": "eve@example.test", "password": PASSWORD}
    assert _code(await api.post("/auth/register", json=two)) == (400, "invalid_request")


async def test_a_registration_for_a_taken_address_is_answered_alike(api, sign_up):
    await sign_up(api)
    body = {"identifier": "ada_l@example.test", "username": "other_name", "password": PASSWORD}
    answer = await api.post("/auth/register", json=body)
    assert answer.status_code == 202
    assert set(answer.json()) == {"ok", "message", "registration_id", "email"}


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"identifier": "no address"}, "invalid_identifier", "identifier"),
        ({"identifier": "a@b"}, "invalid_email", "email"),
        ({"identifier": "+0"}, "invalid_phone_number", "phone_number"),
        ({"username": "ab"}, "username_too_short", "username"),
        ({"username": "admin"}, "username_reserved", "username"),
        ({"password": "short"}, "password_too_short", "password"),
        ({"password": "x" * 1025}, "password_too_long", "password"),
    ],
)
async def test_a_registration_that_breaks_a_rule_says_which(api, change, code, param):
    body = {"identifier": "ada@example.test", "username": "ada_l", "password": PASSWORD} | change
    answer = await api.post("/auth/register", json=body)
    assert (_code(answer), answer.json()["param"]) == ((400, code), param)


async def test_a_phone_number_registers_as_well(api):
    body = {"identifier": "+4915112345678", "username": "ada_l", "password": PASSWORD}
    answer = await api.post("/auth/register", json=body)
    assert answer.status_code == 202
    assert answer.json()["phone"] == "+4915112345678"
    assert "email" not in answer.json()


@pytest.mark.parametrize("name", ["identifier", "email", "login"])
async def test_the_identifier_of_a_login_has_three_names(api, sign_up, name):
    await sign_up(api)
    _assert_tokens(await _login(api, **{name: "ADA_L@example.test"}))
    _assert_tokens(await _login(api, **{name: "ada_l"}))


async def test_two_identifiers_at_once_are_refused(api):
    answer = await _login(api, identifier="ada_l", email="ada_l@example.test")
    assert (_code(answer), answer.json()["param"]) == ((400, "invalid_request"), "email")


async def test_a_password_is_never_trimmed(api, sign_up):
    await sign_up(api)
    answer = await _login(api, identifier="ada_l", password=f" {PASSWORD}")
    assert _code(answer) == (401, "invalid_credentials")
    assert answer.headers["www-authenticate"] == 'Bearer realm="authkit"'


async def test_an_unknown_account_and_a_wrong_password_are_answered_alike(api, sign_up):
    await sign_up(api)
    unknown = (await _login(api, identifier="nobody_x")).json()
    wrong = (await _login(api, identifier="ada_l", password="not the password")).json()
    del unknown["request_id"], wrong["request_id"]
    assert unknown == wrong


async def test_a_login_before_confirmation_names_the_registration(api):
    body = {"identifier": "ada@example.test", "username": "ada_l", "password": PASSWORD}
    accepted = await api.post("/auth/register", json=body)
    answer = await _login(api, identifier="ada@example.test")
    assert _code(answer) == (401, "email_not_verified")
    assert answer.json()["metadata"] == {"registration_id": accepted.json()["registration_id"]}


async def test_an_unavailable_organization_opens_no_session(api, sign_up):
    tokens = await sign_up(api)
    answer = await _login(api, identifier="ada_l", org="acme")
    assert _code(answer) == (400, "org_mode_not_multi")
    sessions = await api.get("/auth/user/sessions", headers=_bearer(tokens))
    assert len(sessions.json()["data"]) == 1


async def test_the_account_route_tells_who_is_asking(api, sign_up):
    tokens = await sign_up(api)
    me = await api.get("/auth/user/me", headers=_bearer(tokens))
    body = me.json()
    assert me.status_code == 200
    assert (body["email"], body["username"], body["email_verified"]) == ("ada_l@example.test", "ada_l", True)
    assert (body["has_password"], body["roles"], body["entitlements"]) == (True, [], [])
    assert body["phone_number"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.+(Z|\+00:00)", body["created_at"])
    assert not {"password_hash", "allowed", "live", "auth_epoch"} & set(body)


@pytest.mark.parametrize("form", [False, True])
async def test_a_refresh_token_is_exchanged_as_json_or_form(api, sign_up, form):
    tokens = await sign_up(api)
    body = {"grant_type": "Refresh_Token", "refresh_token": tokens["refresh_token"], "client_id": "any"}
    answer = await (api.post("/auth/token", data=body) if form else api.post("/auth/token", json=body))
    _assert_tokens(answer)
    assert answer.json()["refresh_token"] != tokens["refresh_token"]
    assert (await api.get("/auth/user/me", headers=_bearer(answer.json()))).status_code == 200


async def test_a_sign_in_beyond_the_limit_says_what_it_ended_and_so_does_the_ended_session(
    make_service, serve, sign_up
):
    service = await make_service(session_max_per_user=1)
    async with serve(service) as api:
        first = await sign_up(api)
        assert "ended_sessions" not in first
        session_id = (await api.get("/auth/user/me", headers=_bearer(first))).json()["session_id"]
        login = {"identifier": "ada_l@example.test", "password": PASSWORD}
        second = await api.post("/auth/password/login", json=login)
        assert second.json()["ended_sessions"] == [session_id]
        refused = await api.post(
            "/auth/token", json={"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        )
        assert _code(refused) == (400, "invalid_grant")
        assert refused.json()["metadata"]["reason"] == "evicted"
        told = await api.get("/auth/user/me", headers=_bearer(first))
        assert _code(told) == (401, "session_ended")
        assert told.json()["metadata"] == {"reason": "evicted"}


async def test_a_replayed_refresh_token_ends_the_session(api, sign_up, age):
    tokens = await sign_up(api)
    body = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    fresh = (await api.post("/auth/token", json=body)).json()
    session_id = (await api.get("/auth/user/me", headers=_bearer(fresh))).json()["session_id"]
    await api.post("/auth/token", json={**body, "refresh_token": fresh["refresh_token"]})
    await age("refresh_sessions", session_id, rotated_at=31)
    replay = await api.post("/auth/token", json=body)
    assert _code(replay) == (400, "invalid_grant")
    assert replay.json()["metadata"]["reason"] == "refresh_token_reuse_detected"
    assert "www-authenticate" not in replay.headers
    assert _code(await api.get("/auth/user/me", headers=_bearer(fresh))) == (401, "session_ended")


@pytest.mark.parametrize(
    ("body", "code", "more"),
    [
        ({}, "invalid_request", {"param": "grant_type"}),
        ({"grant_type": "refresh_token"}, "invalid_request", {"param": "refresh_token"}),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request", {"param": "refresh_token"}),
        (
            {"grant_type": "refresh_token", "refresh_token": "x", "scope": "admin"},
            "invalid_scope",
            {"param": "scope"},
        ),
        ({"grant_type": "password", "refresh_token": "x"}, "unsupported_grant_type", {"param": "grant_type"}),
        (
            {"grant_type": "refresh_token", "refresh_token": "akr_forged"},
            "invalid_grant",
            {"metadata": {"reason": "invalid_refresh_token"}},
        ),
    ],
)
@pytest.mark.parametrize("form", [False, True])
async def test_the_token_endpoint_refuses_in_the_words_of_its_standard(api, body, code, more, form):
    answer = await (
        api.post("/auth/token", data=body or {"x": "y"}) if form else api.post("/auth/token", json=body)
    )
    assert _code(answer) == (400, code)
    assert {name: answer.json().get(name) for name in more} == more
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


async def test_an_unavailable_organization_leaves_the_refresh_token_good(api, sign_up):
    tokens = await sign_up(api)
    body = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert _code(await api.post("/auth/token", json=body | {"org": "acme"})) == (400, "invalid_target")
    _assert_tokens(await api.post("/auth/token", json=body))


async def test_sessions_are_listed_with_the_current_one_marked(api, sign_up):
    first = await sign_up(api)
    second = (await _login(api, identifier="ada_l")).json()
    answer = await api.get("/auth/user/sessions", headers=_bearer(second))
    rows = answer.json()["data"]
    assert [row["current"] for row in rows] == [True, False]
    assert set(rows[0]) == {
        "session_id", "family_id", "created_at", "last_used_at", "expires_at", "ip", "ua", "current"
    }  # fmt: skip
    assert rows[0]["ip"] == "127.0.0.1"
    assert rows[0]["ua"].startswith("python-httpx/")
    other = await api.get("/auth/user/sessions", headers=_bearer(first))
    assert [row["session_id"] for row in other.json()["data"] if row["current"]] == [rows[1]["session_id"]]


async def test_one_session_is_ended_by_its_id(api, sign_up):
    first = await sign_up(api)
    second = (await _login(api, identifier="ada_l")).json()
    first_id = (await api.get("/auth/user/me", headers=_bearer(first))).json()["session_id"]
    path = f"/auth/user/sessions/{first_id}"
    ended = await api.delete(path, headers=_bearer(second))
    assert (ended.status_code, ended.json()) == (200, {"ok": True})
    assert _code(await api.get("/auth/user/me", headers=_bearer(first))) == (401, "session_ended")
    assert _code(await api.delete(path, headers=_bearer(second))) == (404, "session_not_found")


async def test_no_user_ends_the_session_of_another(api, sign_up):
    ada, bob = await sign_up(api), await sign_up(api, "bob_1")
    ada_session = (await api.get("/auth/user/me", headers=_bearer(ada))).json()["session_id"]
    answer = await api.delete(f"/auth/user/sessions/{ada_session}", headers=_bearer(bob))
    assert _code(answer) == (404, "session_not_found")
    assert (await api.get("/auth/user/me", headers=_bearer(ada))).status_code == 200


@pytest.mark.parametrize(
    ("query", "status"), [("", 401), ("?keep_current=false", 401), ("?keep_current=true", 200)]
)
async def test_all_sessions_end_at_once_and_the_current_one_stays_on_request(api, sign_up, query, status):
    first = await sign_up(api)
    second = (await _login(api, identifier="ada_l")).json()
    answer = await api.delete(f"/auth/user/sessions{query}", headers=_bearer(second))
    assert answer.json() == {"ok": True}
    assert (await api.get("/auth/user/me", headers=_bearer(first))).status_code == 401
    assert (await api.get("/auth/user/me", headers=_bearer(second))).status_code == status


async def test_an_odd_keep_current_is_refused_and_ends_nothing(api, sign_up):
    tokens = await sign_up(api)
    answer = await api.delete("/auth/user/sessions?keep_current=maybe", headers=_bearer(tokens))
    assert (_code(answer), answer.json()["param"]) == ((400, "invalid_request"), "keep_current")
    assert (await api.get("/auth/user/me", headers=_bearer(tokens))).status_code == 200


async def test_signing_out_ends_the_session_and_its_refresh_token(api, sign_up):
    tokens = await sign_up(api)
    answer = await api.delete("/auth/logout", headers=_bearer(tokens))
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    again = await api.delete("/auth/logout", headers=_bearer(tokens))
    assert _code(again) == (401, "session_ended")
    assert 'error="invalid_token"' in again.headers["www-authenticate"]
    body = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert _code(await api.post("/auth/token", json=body)) == (400, "invalid_grant")


async def test_the_application_works_under_any_prefix(service, serve, sign_up):
    host = Starlette(routes=[Mount("/id", create_app(service))])
    async with serve(service, host, "http://host.test/id") as api:
        tokens = await sign_up(api)
        assert (await api.get("/auth/user/me", headers=_bearer(tokens))).status_code == 200
        assert _code(await api.get("/auth/nothing")) == (404, "not_found")
