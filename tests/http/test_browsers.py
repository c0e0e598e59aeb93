"""What browsers ask of a service: other origins, a cookie for the refresh token, and a language."""

from __future__ import annotations

import dataclasses
import re
from http.cookies import SimpleCookie

import pytest

from authkit_issuer.config import Config
from authkit_issuer.errors import ConfigError
from authkit_issuer.http.languages import preferred
from authkit_issuer.ports import language
from authkit_issuer.store.query import Statement

PASSWORD = "correct horse battery"
APP = "https://app.example"
PREFLIGHT = {"origin": APP, "access-control-request-method": "POST"}
_BAN = Statement("update profiles.users set banned_at = now() where id = $1::uuid")
REFRESH = {"grant_type": "refresh_token"}


def _cors(answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.fixture
async def open_to_app(make_service, serve):
    async with serve(await make_service(cors_origins=(APP,))) as api:
        yield api


async def test_a_named_origin_may_ask_first_and_then_read(open_to_app):
    first = await open_to_app.options("/auth/password/login", headers=PREFLIGHT)
    assert first.status_code == 204
    assert first.headers["access-control-allow-origin"] == APP
    assert first.headers["access-control-allow-methods"] == "POST"
    assert "authorization" in first.headers["access-control-allow-headers"]
    assert first.headers["access-control-allow-credentials"] == "true"
    for path in ("/auth/password/login", "/nowhere"):
        answer = await open_to_app.post(path, json={}, headers={"origin": APP})
        assert answer.headers["access-control-allow-origin"] == APP
        assert "retry-after" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"]
)
async def test_no_other_origin_may(open_to_app, origin):
    first = await open_to_app.options("/auth/password/login", headers=PREFLIGHT | {"origin": origin})
    answer = await open_to_app.post("/auth/password/login", json={}, headers={"origin": origin})
    assert not _cors(first)
    assert not _cors(answer)
    assert answer.headers["vary"] == "Origin"


async def test_only_a_preflight_is_answered_as_one(open_to_app):
    answer = await open_to_app.options("/auth/password/login", headers={"origin": APP})
    assert "access-control-allow-methods" not in answer.headers
    bare = await open_to_app.options("/.well-known/jwks.json")
    assert not _cors(bare)


async def test_nothing_is_open_unless_it_is_named(api):
    answer = await api.post("/auth/password/login", json={}, headers={"origin": APP})
    assert not _cors(answer)
    assert "vary" not in answer.headers
    assert not _cors(await api.options("/auth/password/login", headers=PREFLIGHT))


@pytest.mark.parametrize(
    "path", ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/auth/capabilities"]
)
async def test_public_documents_are_open_to_every_page(api, path):
    answer = await api.get(path, headers={"origin": "https://anybody.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    asked = PREFLIGHT | {"access-control-request-headers": "mcp-protocol-version"}
    assert (await api.options(path, headers=asked)).headers["access-control-allow-headers"] == "*"


async def test_the_inbox_is_open_to_no_page_at_all(make_service, serve):
    service = await make_service(
        dev=True, email_sender=None, sms_sender=None, cors_origins=("http://localhost:3000",)
    )
    headers = {"origin": "http://localhost:3000"}
    async with serve(service) as api:
        answer = await api.get("/dev/inbox", headers=headers)
        first = await api.options("/dev/inbox", headers=headers | {"access-control-request-method": "GET"})
    assert answer.status_code == 200
    assert not _cors(answer)
    assert not _cors(first)


@pytest.mark.parametrize(
    "origin", ["*", "https://app.example/", "app.example", "https://App.example", "null"]
)
def test_what_no_browser_sends_is_no_origin(origin):
    with pytest.raises(ConfigError, match="cors_origins"):
        Config(issuer="https://i.test", issued_audiences=("app",), cors_origins=(origin,))


# --- the refresh cookie -----------------------------------------------------------------------------------


@pytest.fixture
async def cookie_service(make_service):
    return await make_service(refresh_cookie=True, cors_origins=(APP,), base_url="https://id.example/api")


@pytest.fixture
async def cookies(cookie_service, serve):
    async with serve(cookie_service, base_url="https://id.example") as api:
        yield api


def _cookie(answer):
    written = [SimpleCookie(line) for line in answer.headers.get_list("set-cookie")]
    (morsel,) = [morsel for jar in written for morsel in jar.values() if morsel.key.endswith("_refresh")]
    return morsel


async def _sign_in(api, mailbox) -> str:
    body = {"identifier": "ada@example.test", "username": "ada_l", "password": PASSWORD}
    started = (await api.post("/auth/register", json=body)).json()
    await api.delivered()
    proof = {"email": "ada@example.test", "code": mailbox.last("ada@example.test").code}
    answer = await api.post(
        "/auth/email/verify/confirm", json=proof | {"registration_id": started["registration_id"]}
    )
    assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
    api.cookies.clear()
    return _cookie(answer)


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_paths(cookies, mailbox):
    morsel = await _sign_in(cookies, mailbox)
    assert morsel.key == "__Secure-authkit_refresh"
    assert morsel.value.startswith("akr_")
    assert (morsel["httponly"], morsel["secure"], morsel["samesite"]) == (True, True, "Lax")
    assert (morsel["path"], morsel["domain"]) == ("/api/auth", "")
    assert morsel["max-age"] == str(30 * 86_400)


async def test_in_development_the_cookie_travels_without_tls(make_service, serve):
    service = await make_service(dev=True, refresh_cookie=True, email_sender=None, sms_sender=None)
    async with serve(service) as api:
        body = {"identifier": "ada@example.test", "username": "ada_l", "password": PASSWORD}
        started = (await api.post("/auth/register", json=body)).json()
        await api.delivered()
        code = (await api.get("/dev/inbox")).json()["messages"][0]["code"]
        proof = {"email": "ada@example.test", "code": code}
        answer = await api.post(
            "/auth/email/verify/confirm", json=proof | {"registration_id": started["registration_id"]}
        )
    morsel = _cookie(answer)
    assert (morsel.key, morsel["secure"], morsel["httponly"]) == ("authkit_refresh", "", True)
    assert morsel["path"] == "/"


async def test_the_cookie_is_rotated_and_the_body_stays_empty_of_it(cookies, mailbox):
    morsel = await _sign_in(cookies, mailbox)
    headers = {"cookie": f"{morsel.key}={morsel.value}", "origin": "https://id.example"}
    answer = await cookies.post("/auth/token", json=REFRESH, headers=headers)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
    assert _cookie(answer).value not in {"", morsel.value}
    assert answer.headers["cache-control"] == "no-store"


async def test_a_token_in_the_body_wins(cookies, mailbox):
    morsel = await _sign_in(cookies, mailbox)
    body = REFRESH | {"refresh_token": morsel.value}
    answer = await cookies.post("/auth/token", json=body, headers={"cookie": f"{morsel.key}=akr_rubbish"})
    assert answer.status_code == 200, answer.text


async def test_a_page_of_a_foreign_origin_cannot_use_the_cookie(cookies, mailbox):
    morsel = await _sign_in(cookies, mailbox)
    cookie = {"cookie": f"{morsel.key}={morsel.value}"}
    for origin in ("https://evil.example", "null", "https://id.example.evil.example"):
        answer = await cookies.post("/auth/token", json=REFRESH, headers=cookie | {"origin": origin})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert "set-cookie" not in answer.headers
    answer = await cookies.post("/auth/token", json=REFRESH, headers=cookie | {"origin": APP})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-credentials"] == "true"


async def test_a_foreign_page_cannot_plant_a_session_of_its_own(cookies, mailbox):
    """A form needs no permission, and an answer to it may write cookies whatever SameSite says."""
    morsel = await _sign_in(cookies, mailbox)
    form = REFRESH | {"refresh_token": morsel.value}
    for origin in ("https://evil.example", "null"):
        answer = await cookies.post("/auth/token", data=form, headers={"origin": origin})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert "set-cookie" not in answer.headers
    answer = await cookies.post("/auth/token", data=form, headers={"origin": APP})
    assert answer.status_code == 200
    assert (await cookies.post("/auth/token", data=form)).status_code == 200


async def test_a_port_that_goes_without_saying_is_no_part_of_an_origin(make_service, serve, mailbox):
    service = await make_service(refresh_cookie=True, base_url="https://id.example:443")
    async with serve(service, base_url="https://id.example") as api:
        morsel = await _sign_in(api, mailbox)
        headers = {"cookie": f"{morsel.key}={morsel.value}", "origin": "https://id.example"}
        assert (await api.post("/auth/token", json=REFRESH, headers=headers)).status_code == 200


def test_a_cookie_that_browsers_drop_is_refused_at_start(config):
    with pytest.raises(ConfigError, match="https"):
        dataclasses.replace(config, dev=True, refresh_cookie_same_site="none")


async def test_a_long_wish_for_a_language_is_not_kept(api):
    preferred.cache_clear()
    for number in range(5):
        wish = "de," + "x" * 100_000 + str(number)
        assert (await api.get("/healthz", headers={"accept-language": wish})).status_code == 200
    assert preferred.cache_info().currsize == 1


async def test_two_cookies_of_the_name_are_refused(cookies, mailbox):
    morsel = await _sign_in(cookies, mailbox)
    planted = f"{morsel.key}=akr_planted; other=1; {morsel.key}={morsel.value}"
    answer = await cookies.post("/auth/token", json=REFRESH, headers={"cookie": planted})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_without_any_token_the_member_is_named(cookies):
    for headers in ({}, {"cookie": "other=1"}):
        answer = await cookies.post("/auth/token", json=REFRESH, headers=headers)
        assert (answer.status_code, answer.json()["param"]) == (400, "refresh_token")


async def test_signing_out_takes_the_cookie_back_and_so_does_the_refusal_of_a_dead_one(cookies, mailbox):
    morsel = await _sign_in(cookies, mailbox)
    cookie = {"cookie": f"{morsel.key}={morsel.value}"}
    access = (await cookies.post("/auth/token", json=REFRESH, headers=cookie)).json()["access_token"]
    gone = await cookies.delete("/auth/logout", headers={"authorization": f"Bearer {access}"})
    assert (_cookie(gone).value, _cookie(gone)["max-age"]) == ("", "0")
    answer = await cookies.post("/auth/token", json=REFRESH, headers=cookie)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (_cookie(answer).value, _cookie(answer)["max-age"]) == ("", "0")
    named = await cookies.post("/auth/token", json=REFRESH | {"refresh_token": morsel.value}, headers=cookie)
    assert named.json()["error"] == "invalid_grant"
    assert "set-cookie" not in named.headers  # it was not the cookie that was refused


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_the_cookie_alone_signs_out_also_after_the_access_token(
    cookies, cookie_service, mailbox, method
):
    morsel = await _sign_in(cookies, mailbox)
    headers = {"cookie": f"{morsel.key}={morsel.value}", "authorization": "Bearer ended"}
    foreign = await cookies.request(
        method, "/auth/logout", headers=headers | {"origin": "https://evil.example"}
    )
    assert (foreign.status_code, foreign.json()["error"]) == (400, "invalid_request")
    account = await cookie_service.users.get_by_email("ada@example.test")
    assert len(await cookie_service.sessions.list_for_user(account.id)) == 1
    gone = await cookies.request(method, "/auth/logout", headers=headers | {"origin": "https://id.example"})
    assert gone.status_code == 200, gone.text
    assert (_cookie(gone).value, _cookie(gone)["max-age"]) == ("", "0")
    assert not await cookie_service.sessions.list_for_user(account.id)
    again = await cookies.request(method, "/auth/logout", headers=headers)
    assert (again.status_code, _cookie(again)["max-age"]) == (200, "0")


async def test_a_refresh_token_in_the_body_signs_out_and_nothing_at_all_does_not(api, service, sign_up):
    tokens = await sign_up(api)
    account = await service.users.get_by_email("ada_l@example.test")
    nothing = await api.post("/auth/logout")
    assert (nothing.status_code, nothing.json()["error"]) == (401, "missing_token")
    wrong = await api.post("/auth/logout", headers={"authorization": "Bearer wrong"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_token")
    assert len(await service.sessions.list_for_user(account.id)) == 1
    gone = await api.post("/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    assert gone.status_code == 200, gone.text
    assert not await service.sessions.list_for_user(account.id)


async def test_where_all_paths_are_ours_no_other_host_can_write_the_cookie(make_service, serve, mailbox):
    service = await make_service(refresh_cookie=True, base_url="https://id.example")
    async with serve(service, base_url="https://id.example") as api:
        morsel = await _sign_in(api, mailbox)
        assert (morsel.key, morsel["path"], morsel["domain"]) == ("__Host-authkit_refresh", "/", "")
        planted = {"cookie": f"__Secure-authkit_refresh={morsel.value}; authkit_refresh={morsel.value}"}
        answer = await api.post("/auth/token", json=REFRESH, headers=planted)
        assert (answer.status_code, answer.json()["param"]) == (400, "refresh_token")


@pytest.mark.parametrize("blank", [b"\xa0", b"\x85", b"\t", b"\x1c"])
async def test_no_other_host_writes_the_cookie_behind_a_blank_that_browsers_keep(
    make_service, serve, mailbox, blank
):
    service = await make_service(refresh_cookie=True, base_url="https://id.example")
    async with serve(service, base_url="https://id.example") as api:
        morsel = await _sign_in(api, mailbox)
        planted = blank + f"{morsel.key}={morsel.value}".encode()
        answer = await api.post("/auth/token", json=REFRESH, headers=[(b"cookie", planted)])
        assert (answer.status_code, answer.json()["param"]) == (400, "refresh_token")
        # Nor does it make the browser's own cookie one of two.
        both = [(b"cookie", f"{morsel.key}={morsel.value}; ".encode() + planted)]
        assert (await api.post("/auth/token", json=REFRESH, headers=both)).status_code == 200


@pytest.mark.parametrize("name", ["__Secure-authkit_refresh", "__Secure-authkit_device"])
async def test_of_two_cookies_of_a_name_every_one_is_cleared(cookies, mailbox, name):
    await _sign_in(cookies, mailbox)
    cookies.base_url = "https://id.shop.example"
    planted = {"cookie": f"{name}=planted; {name}=own"}
    answer = await cookies.post("/auth/token", json=REFRESH, headers=planted)
    lines = [line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{name}=;")]
    assert all("Max-Age=0" in line and "Secure" in line for line in lines)
    scopes = {tuple(re.findall(r"(?:Path|Domain)=([^;]*)", line)) for line in lines}
    assert {("/",), ("/auth",), ("/auth/",), ("/auth/token",), ("/api/auth",)} <= scopes
    assert {("/auth/token", "shop.example"), ("/", "id.shop.example")} <= scopes


@pytest.mark.parametrize("host", ["a;b", "a b.example", "[::1]:80", "127.0.0.1", "", "\xff.example"])
async def test_an_odd_host_name_does_not_get_into_a_cookie(cookies, host):
    name = "__Secure-authkit_refresh"
    headers = [(b"cookie", f"{name}=a; {name}=b".encode()), (b"host", host.encode("latin-1"))]
    answer = await cookies.post("/auth/token", json=REFRESH, headers=headers)
    assert answer.status_code == 400
    assert not [line for line in answer.headers.get_list("set-cookie") if "Domain" in line]


@pytest.mark.parametrize(
    ("path", "taken"), [("", True), ("?keep_current=true", False), ("/{own}", True), ("/{other}", False)]
)
async def test_ending_ones_own_session_takes_the_cookie_back(cookies, cookie_service, mailbox, path, taken):
    morsel = await _sign_in(cookies, mailbox)
    cookie = {"cookie": f"{morsel.key}={morsel.value}"}
    access = (await cookies.post("/auth/token", json=REFRESH, headers=cookie)).json()["access_token"]
    own = (await cookie_service.tokens.verify(access)).session_id
    account = await cookie_service.users.get_by_email("ada@example.test")
    other = (await cookie_service.sessions.issue(account.id)).session_id
    ended = await cookies.delete(
        "/auth/user/sessions" + path.format(own=own, other=other),
        headers={"authorization": f"Bearer {access}"},
    )
    assert ended.status_code == 200
    assert ("Max-Age=0" in ended.headers.get("set-cookie", "")) is taken


async def test_a_ban_takes_the_cookie_back(cookies, cookie_service, mailbox):
    morsel = await _sign_in(cookies, mailbox)
    user = await cookie_service.users.get_by_username("ada_l")
    await cookie_service.rt.execute(_BAN, user.id)
    headers = {"cookie": f"{morsel.key}={morsel.value}"}
    answer = await cookies.post("/auth/token", json=REFRESH, headers=headers)
    assert answer.json()["metadata"]["reason"] == "user_banned"
    assert _cookie(answer)["max-age"] == "0"


async def test_the_document_says_where_the_token_is(cookies):
    schemas = (await cookies.get("/openapi.json")).json()["components"]["schemas"]
    assert "refresh_token" not in schemas["TokenResponse"]["properties"]
    assert "refresh_token" not in schemas["TokenResponse"]["required"]


async def test_without_the_option_no_cookie_is_written_or_read(api, sign_up):
    tokens = await sign_up(api)
    assert tokens["refresh_token"]
    headers = {"cookie": f"__Host-authkit_refresh={tokens['refresh_token']}"}
    answer = await api.post("/auth/token", json=REFRESH, headers=headers)
    assert (answer.status_code, answer.json()["param"]) == (400, "refresh_token")
    assert "__Host-authkit_refresh" not in api.cookies


# --- the language of mails --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "supported", "tag"),
    [
        ("de", (), "de"),
        ("de-AT, en;q=0.5", (), "de-at"),
        ("en;q=0.5, de;q=0.9, fr;q=0.9", (), "de"),
        ("de-AT, en;q=0.5", ("en", "de"), "de"),
        ("pt-BR, en;q=0.5", ("en", "pt-br"), "pt-br"),
        ("fr, it;q=0.3", ("en", "de"), ""),
        ("de;q=0, en", ("en", "de"), "en"),
        ("*", (), ""),
        ("", (), ""),
        ("de;q=2, ../../etc;q=1, en\r\nx: y", (), ""),
        ("x" * 5000, (), ""),
    ],
)
def test_the_language_is_the_one_preferred_of_those_there_are(header, supported, tag):
    assert preferred(header, supported) == tag


async def test_senders_learn_the_language_of_who_asks(make_service, serve, mailbox):
    spoken = []

    class Multilingual(type(mailbox)):
        async def send_email_verification_code(self, email, username, code):
            spoken.append(language.get())

        send_email_verification = None
        send_email_verification_link = None

    sender = Multilingual()
    service = await make_service(email_sender=sender, languages=("de", "en"))
    body = {"identifier": "ada@example.test", "username": "ada_l", "password": PASSWORD}
    async with serve(service) as api:
        await api.post("/auth/register", json=body, headers={"accept-language": "fr, de-CH;q=0.8"})
        await api.delivered()
    assert spoken == ["de"]
    assert language.get() == ""
