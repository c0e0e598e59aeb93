"""External logins over HTTP: what browsers, popups and programs are answered."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from authkit_issuer.config import Config
from authkit_issuer.config.limits import BUCKETS
from authkit_issuer.errors import EphemeralStoreUnavailable
from authkit_issuer.http import create_app
from fakes.factors import with_email_factor
from fakes.provider import Reply

BASE = "https://id.example.test"
APP = "https://app.example.test"
LOGIN, CALLBACK = "/auth/oidc/loop/login", "/auth/oidc/loop/callback"
RESULT = "/auth/oidc/result"


@pytest.fixture
def config(config: Config) -> Config:
    """Rates that no test here reaches."""
    return dataclasses.replace(config, rate_limits=dict.fromkeys(BUCKETS, "1000000/1m"))


class Api(httpx.AsyncClient):
    """A browser without scripts: it keeps cookies and follows nothing."""

    def __init__(self, service: Any, base_url: str = BASE, root_path: str = "") -> None:
        transport = httpx.ASGITransport(
            app=create_app(service), client=("127.0.0.1", 4711), root_path=root_path
        )
        super().__init__(transport=transport, base_url=base_url)


@pytest.fixture
async def make_api(make_service, providers):
    opened = []

    async def make(at: str = BASE, **changes: Any) -> tuple[Any, Api]:
        settings = {"providers": providers, "base_url": BASE, "link_base_url": APP} | changes
        service = await make_service(**settings)
        opened.append(Api(service, at))
        return service, opened[-1]

    yield make
    for api in opened:
        await api.aclose()


@pytest.fixture
async def api(make_api) -> Api:
    return (await make_api())[1]


async def go(api: Api, idp, start: str = LOGIN, back: str = CALLBACK, **more: Any) -> httpx.Response:
    """Begin, agree, come back."""
    began = await api.get(start)
    assert began.status_code == 302, began.text
    return await api.get(back, params=idp.approve(began.headers["location"]), **more)


def fragment(answer: httpx.Response) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(answer.headers["location"]).fragment))


async def tokens(api: Api, idp) -> dict[str, Any]:
    traded = await api.post(RESULT, json={"code": fragment(await go(api, idp))["result_code"]})
    return traded.json()


async def test_a_browser_is_sent_out_with_a_cookie_and_back_to_the_app_with_a_code(api, idp):
    began = await api.get(LOGIN, params={"return_to": "/orders?page=2"})
    cookie = began.headers["set-cookie"]
    assert re.fullmatch(
        r"__Host-authkit_flow_[0-9a-f]{24}=[\w-]{43}; Max-Age=660; Path=/; HttpOnly; SameSite=Lax; Secure",
        cookie,
    )
    landed = await api.get(CALLBACK, params=idp.approve(began.headers["location"]))
    assert landed.status_code == 302
    for answer in (began, landed):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.content == b""
    assert landed.headers["location"].startswith(f"{APP}/login/callback#")
    found = fragment(landed)
    assert set(found) == {"flow", "provider", "return_to", "result_code"}
    assert (found["flow"], found["provider"]) == ("login", "loop")
    assert found["return_to"] == "/orders?page=2"
    traded = await api.post(RESULT, json={"code": found["result_code"]})
    assert traded.status_code == 200, traded.text
    assert "Max-Age=0" in traded.headers["set-cookie"]
    assert "authkit_device=akd_" in traded.headers["set-cookie"]
    body = traded.json()
    assert body["created"] is True
    assert (body["token_type"], body["return_to"]) == ("Bearer", "/orders?page=2")
    me = await api.get("/auth/user/me", headers={"authorization": f"Bearer {body['access_token']}"})
    assert me.json()["email"] == "ada@example.test"
    assert (await api.post(RESULT, json={"code": found["result_code"]})).status_code == 400


async def test_a_code_is_worth_nothing_in_another_browser(make_api, idp):
    service, api = await make_api()
    code = fragment(await go(api, idp))["result_code"]
    async with Api(service) as thief:
        stolen = await thief.post(RESULT, json={"code": code})
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_or_expired_code")


async def test_a_callback_in_a_browser_that_began_nothing_opens_nothing(make_api, idp):
    service, api = await make_api()
    began = await api.get(LOGIN)
    async with Api(service) as victim:
        landed = await victim.get(CALLBACK, params=idp.approve(began.headers["location"]))
    assert fragment(landed) == {"flow": "login", "provider": "loop", "error": "invalid_state"}
    assert "set-cookie" not in landed.headers
    assert await service.users.newest() == []


async def test_a_cookie_within_another_cookies_value_is_not_one(make_api, idp):
    service, api = await make_api()
    began = await api.get(LOGIN)
    pair = began.headers["set-cookie"].partition(";")[0]
    async with Api(service) as victim:
        landed = await victim.get(
            CALLBACK,
            params=idp.approve(began.headers["location"]),
            headers={"cookie": f"planted=x,{pair}, {pair}"},
        )
    assert fragment(landed)["error"] == "invalid_state"


def page_of(answer: httpx.Response) -> dict[str, Any]:
    """Return what a popup's page tells, after judging the page itself."""
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    script = re.search(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    data = re.search(r'<script type="application/json" id="told">(.*?)</script>', answer.text, re.DOTALL)
    assert not set("<>&\u2028\u2029") & set(data[1])
    for name, value in (("cache-control", "no-store"), ("referrer-policy", "no-referrer")):
        assert answer.headers[name] == value
    return json.loads(data[1])


async def test_a_popup_posts_its_message_to_the_origin_of_the_app_alone(api, idp):
    landed = await go(api, idp, f"{LOGIN}?ui=popup&popup_nonce=abc-DEF_1&return_to=/a%3Fb=1%26c")
    page = page_of(landed)
    assert page["origin"] == APP
    message = page["message"]
    assert (message["type"], message["nonce"]) == ("AUTHKIT_OIDC_RESULT", "abc-DEF_1")
    assert message["return_to"] == "/a?b=1&c"
    assert "access_token" not in message
    assert page["instead"].startswith(f"{APP}/login/callback#")
    assert (await api.post(RESULT, json={"code": message["result_code"]})).status_code == 200


async def test_a_popup_hears_of_a_failure_in_a_type_of_its_own(api, idp):
    began = await api.get(LOGIN, params={"ui": "popup", "popup_nonce": "n"})
    back = idp.approve(began.headers["location"])
    landed = await api.get(CALLBACK, params={"state": back["state"], "error": "access_denied"})
    message = page_of(landed)["message"]
    assert message == {
        "type": "AUTHKIT_OIDC_ERROR", "nonce": "n", "flow": "login", "provider": "loop",
        "error": "access_denied",
    }  # fmt: skip
    assert "Max-Age=0" in landed.headers["set-cookie"]


@pytest.mark.parametrize("how", [{"headers": {"accept": "application/json"}}, {"format": "json"}])
async def test_a_program_gets_the_tokens_themselves(api, idp, how):
    back = idp.approve((await api.get(LOGIN)).headers["location"])
    params = back | {name: value for name, value in how.items() if name == "format"}
    answer = await api.get(CALLBACK, params=params, headers=how.get("headers"))
    assert answer.status_code == 200
    assert {"access_token", "refresh_token", "expires_in"} <= set(answer.json())
    assert "Max-Age=0" in answer.headers["set-cookie"]
    again = await api.get(CALLBACK, params=params, headers=how.get("headers"))
    assert (again.status_code, again.json()["error"]) == (400, "invalid_state")


async def test_what_a_provider_says_is_reflected_nowhere(api, idp):
    back = idp.approve((await api.get(LOGIN)).headers["location"])
    hostile = {"state": back["state"], "error": "<img src=x>", "error_description": "<img src=y>"}
    landed = await api.get(CALLBACK, params=hostile)
    assert fragment(landed)["error"] == "provider_error"
    assert "img" not in landed.headers["location"]


async def test_a_provider_that_is_down_sends_the_browser_back_to_the_app(api, idp):
    idp.replies["/.well-known/openid-configuration"] = Reply(status=500)
    landed = await api.get(LOGIN)
    assert fragment(landed) == {"flow": "login", "provider": "loop", "error": "provider_unavailable"}
    popup = await api.get(LOGIN, params={"ui": "popup", "popup_nonce": "n"})
    assert page_of(popup)["message"]["error"] == "provider_unavailable"
    asked = await api.get(LOGIN, headers={"accept": "application/json"})
    assert (asked.status_code, asked.json()["error"]) == (503, "provider_unavailable")


async def test_a_store_that_is_down_sends_the_browser_back_to_the_app_as_well(make_api, idp, monkeypatch):
    service, api = await make_api()
    began = await api.get(LOGIN)

    async def down(*_: object, **__: object) -> None:
        raise EphemeralStoreUnavailable

    for method in ("get", "set", "take", "take_if", "admit", "incr"):
        monkeypatch.setattr(service.rt.ephemeral, method, down)
    for landed in (
        await api.get(LOGIN),
        await api.get(CALLBACK, params=idp.approve(began.headers["location"])),
    ):
        assert landed.status_code == 302
        assert fragment(landed)["error"] == "ephemeral_store_unavailable"
    asked = await api.get(LOGIN, headers={"accept": "application/json"})
    assert asked.status_code == 503


async def test_a_look_at_the_way_back_uses_nothing_up(api, idp):
    back = idp.approve((await api.get(LOGIN)).headers["location"])
    looked = await api.head(CALLBACK, params=back)
    assert (looked.status_code, looked.headers["allow"]) == (405, "GET, OPTIONS, POST")
    assert (await api.head(LOGIN)).status_code == 405
    assert "result_code" in fragment(await api.get(CALLBACK, params=back))


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"ui": "window"}, "ui"),
        ({"popup_nonce": "x" * 129}, "popup_nonce"),
        ({"popup_nonce": "<b>"}, "popup_nonce"),
        ({"return_to": "https://evil.example"}, "return_to"),
        ({"return_to": "//evil.example"}, "return_to"),
        ({"return_to": "/\\evil.example"}, "return_to"),
        ({"return_to": "/a//b"}, "return_to"),
        ({"return_to": "/a\tb"}, "return_to"),
        ({"return_to": "/a\r\nset-cookie: a=b"}, "return_to"),
        ({"return_to": "a"}, "return_to"),
        ({"return_to": "javascript:alert(1)"}, "return_to"),
        ({"return_to": " /a"}, "return_to"),
        ({"return_to": "/" + "a" * 1024}, "return_to"),
    ],
)
async def test_a_wish_that_could_lead_astray_is_refused(api, params, param):
    answer = await api.get(LOGIN, params=params)
    body = answer.json()
    assert (answer.status_code, body["error"], body["param"]) == (400, "invalid_request", param)


async def test_an_unknown_provider_is_not_found(api):
    for path in ("/auth/oidc/unknown/login", "/auth/oidc/unknown/callback"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["error"]) == (404, "unknown_provider")
    assert (await api.get("/auth/oauth/discord/login")).json()["error"] == "not_found"


async def test_nothing_is_served_without_providers(make_api):
    _, api = await make_api(providers={})
    for path in (LOGIN, CALLBACK):
        assert (await api.get(path)).json()["error"] == "not_found"
    assert (await api.post(RESULT, json={"code": "a"})).json()["error"] == "not_found"


async def test_the_addresses_are_the_configurations_whatever_a_request_claims(api):
    claimed = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http"}
    began = await api.get(LOGIN, headers=claimed)
    sent = dict(parse_qsl(urlsplit(began.headers["location"]).query))
    assert sent["redirect_uri"] == f"{BASE}{CALLBACK}"
    landed = await api.get(CALLBACK, headers=claimed)
    assert landed.headers["location"].startswith(APP)


async def test_in_development_the_host_of_the_request_replaces_base_url(make_api, idp):
    _, api = await make_api("http://127.0.0.1:8000", base_url=None, link_base_url=None)
    began = await api.get(LOGIN)
    sent = dict(parse_qsl(urlsplit(began.headers["location"]).query))
    assert sent["redirect_uri"] == f"http://127.0.0.1:8000{CALLBACK}"
    odd = await api.get(LOGIN, headers={"host": "a/b@evil.example"})
    assert (odd.status_code, odd.json()["error"]) == (501, "not_configured")
    dev, dev_api = await make_api("http://127.0.0.1:8000", base_url=None, link_base_url=None, dev=True)
    assert dev.config.dev
    landed = await go(dev_api, idp)
    assert landed.headers["location"].startswith("http://127.0.0.1:8000/login/callback#")
    assert fragment(landed)["result_code"]


async def test_a_form_answer_is_taken_with_a_cookie_that_crosses_sites_and_redirected_with_303(make_api, idp):
    service, api = await make_api()
    service.rt.identity["loop"].form_post = True
    began = await api.get(LOGIN)
    assert began.headers["set-cookie"].endswith("; HttpOnly; SameSite=None; Secure")
    form = idp.approve(began.headers["location"]) | {"user": "{}", "unknown": "ignored"}
    landed = await api.post(CALLBACK, data=form)
    assert landed.status_code == 303
    traded = await api.post(RESULT, json={"code": fragment(landed)["result_code"]})
    assert traded.status_code == 200
    refused = await api.post(CALLBACK, content=b"state=a", headers={"content-type": "text/plain"})
    assert refused.status_code == 415


async def test_tokens_in_the_fragment_are_for_apps_that_ask_for_them(make_api, idp, mailbox):
    service, api = await make_api(oidc_fragment_tokens=True)
    found = fragment(await go(api, idp))
    assert {"access_token", "refresh_token", "expires_in", "token_type"} <= set(found)
    assert "result_code" not in found
    user_id = (await service.tokens.verify(found["access_token"])).user_id
    await service.two_factor.send_email_setup_code(user_id)
    await service.two_factor.enable(user_id, "email", code=mailbox.last("ada@example.test").code)
    asked = fragment(await go(api, idp))
    assert asked["error"] == "two_factor_required"
    assert asked["user_id"] == user_id
    assert asked["destination"] != "ada@example.test"
    pair = await service.logins.complete_two_factor(
        user_id, asked["challenge"], mailbox.last("ada@example.test").code
    )
    assert pair.user_id == user_id


async def test_with_the_refresh_cookie_no_script_sees_a_refresh_token(make_api, idp):
    _, api = await make_api(oidc_fragment_tokens=True, refresh_cookie=True)
    landed = await go(api, idp)
    assert "access_token" in fragment(landed)
    assert "refresh_token" not in fragment(landed)
    assert any("authkit_refresh=" in text for text in landed.headers.get_list("set-cookie"))
    _, api = await make_api(refresh_cookie=True)
    traded = await api.post(RESULT, json={"code": fragment(await go(api, idp))["result_code"]})
    assert "refresh_token" not in traded.json()
    assert any("authkit_refresh=" in text for text in traded.headers.get_list("set-cookie"))


async def test_the_trade_requires_the_second_factor(make_api, idp, mailbox):
    service, api = await make_api()
    user_id, _ = await with_email_factor(service, mailbox)
    await service.providers.link_by_issuer(user_id, idp.issuer, "loop", "person-1")
    code = fragment(await go(api, idp))["result_code"]
    asked = await api.post(RESULT, json={"code": code})
    assert asked.json()["error"] == "two_factor_required"
    assert asked.json()["metadata"]["challenge"]


async def test_a_result_is_traded_for_the_token_of_an_organization_or_stays_good(make_api, idp):
    service, api = await make_api(org_mode="multi")
    user_id = (await service.tokens.verify((await tokens(api, idp))["access_token"])).user_id
    await service.sessions.revoke_all(user_id)
    await service.orgs.create("acme", owner_user_id=user_id)
    await service.orgs.create("others")
    code = fragment(await go(api, idp))["result_code"]
    for org, refused in (
        ("others", (403, "not_org_member")),
        ("nothing", (404, "org_not_found")),
        ("a b", (400, "invalid_org_slug")),
    ):
        answer = await api.post(RESULT, json={"code": code, "org": org})
        assert (answer.status_code, answer.json()["error"]) == refused
    assert await service.sessions.list_for_user(user_id) == []
    traded = await api.post(RESULT, json={"code": code, "org": "acme"})
    claims = await service.tokens.verify(traded.json()["access_token"])
    assert (claims.org, claims.org_roles, claims.roles) == ("acme", ("owner",), ())
    again = await api.post(RESULT, json={"code": code, "org": "acme"})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_or_expired_code")


async def test_without_organizations_a_result_is_for_none_and_stays_good(api, idp):
    code = fragment(await go(api, idp))["result_code"]
    refused = await api.post(RESULT, json={"code": code, "org": "acme"})
    assert (refused.status_code, refused.json()["error"]) == (400, "org_mode_not_multi")
    assert (await api.post(RESULT, json={"code": code})).status_code == 200


async def test_an_organization_is_kept_through_the_second_factor(make_api, idp, mailbox):
    service, api = await make_api(org_mode="multi")
    user_id, _ = await with_email_factor(service, mailbox)
    await service.orgs.create("acme", owner_user_id=user_id)
    await service.providers.link_by_issuer(user_id, idp.issuer, "loop", "person-1")
    code = fragment(await go(api, idp))["result_code"]
    refused = await api.post(RESULT, json={"code": code, "org": "others"})
    assert (refused.status_code, refused.json()["error"]) == (404, "org_not_found")
    asked = await api.post(RESULT, json={"code": code, "org": "acme"})
    assert asked.json()["error"] == "two_factor_required"
    pair = await service.logins.complete_two_factor(
        user_id, asked.json()["metadata"]["challenge"], mailbox.last("ada@example.test").code
    )
    assert (await service.tokens.verify(pair.access_token)).org == "acme"


async def test_a_link_is_begun_with_a_fresh_proof_and_keeps_the_session(make_api, idp, age):
    service, api = await make_api()
    mine = await tokens(api, idp)
    bearer = {"authorization": f"Bearer {mine['access_token']}"}
    start = "/auth/oidc/loop/link/start"
    assert (await api.post(start, json={})).status_code == 401
    idp.person = {"sub": "person-2"}
    began = await api.post(start, json={"return_to": "/settings"}, headers=bearer)
    assert began.status_code == 200, began.text
    assert set(began.json()) == {"auth_url", "state"}
    landed = await api.get(CALLBACK, params=idp.approve(began.json()["auth_url"]))
    assert fragment(landed)["flow"] == "link"
    linked = await api.post(RESULT, json={"code": fragment(landed)["result_code"]})
    assert linked.json() == {"flow": "link", "provider": "loop", "return_to": "/settings", "linked": True}
    session = (await service.tokens.verify(mine["access_token"])).session_id
    await age("refresh_sessions", session, auth_time=1000)
    late = await api.post(start, json={}, headers=bearer)
    assert (late.status_code, late.json()["error"]) == (403, "step_up_required")
    stepping = await api.post("/auth/step-up/oidc/loop/start", json={}, headers=bearer)
    assert stepping.status_code == 200, stepping.text
    landed = await api.get(CALLBACK, params=idp.approve(stepping.json()["auth_url"]))
    stepped = await api.post(RESULT, json={"code": fragment(landed)["result_code"]})
    assert "refresh_token" not in stepped.json()
    fresh = {"authorization": f"Bearer {stepped.json()['access_token']}"}
    assert (await api.post(start, json={}, headers=fresh)).status_code == 200


async def test_a_step_up_that_fails_goes_back_to_where_it_was_asked_for(make_api, idp):
    _, api = await make_api()
    bearer = {"authorization": f"Bearer {(await tokens(api, idp))['access_token']}"}
    began = await api.post(
        "/auth/step-up/oidc/loop/start", json={"return_to": "/settings?tab=2#x"}, headers=bearer
    )
    back = idp.approve(began.json()["auth_url"])
    landed = await api.get(CALLBACK, params={"state": back["state"], "error": "login_required"})
    assert landed.headers["location"].startswith(f"{APP}/settings?tab=2&step_up=failed#")
    assert (fragment(landed)["error"], fragment(landed)["flow"]) == ("login_required", "step_up")


async def test_pages_of_the_app_may_send_the_cookie_from_their_own_origin(make_api):
    _, api = await make_api(cors_origins=(APP,))
    asked = {"origin": APP, "access-control-request-method": "POST"}
    answer = await api.options(RESULT, headers=asked)
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-origin"] == APP
    foreign = await api.options(RESULT, headers=asked | {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
