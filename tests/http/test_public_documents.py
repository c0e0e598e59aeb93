"""Keys, health, documentation and the development inbox."""

from __future__ import annotations

import json

import httpx
import pytest

from authkit_issuer.http import create_app

JWKS = "/.well-known/jwks.json"
CACHE = "public, max-age=300"


async def test_the_key_set_is_served_with_a_validator_and_to_every_origin(api, service):
    answer = await api.get(JWKS, headers={"origin": "https://app.example"})
    assert answer.json() == service.tokens.jwks()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == CACHE
    assert answer.headers["etag"].startswith('"')
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not any("d" in key for key in answer.json()["keys"])


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ("*", 304),
        (" * ", 304),
        ('"other", {etag}', 304),
        ('W/"other",W/{etag} , "third"', 304),
        ('"other"', 200),
        ("", 200),
        ('"*"', 200),
        ("garbage", 200),
    ],
)
@pytest.mark.parametrize("path", [JWKS, "/openapi.json"])
async def test_a_caller_who_has_the_document_gets_not_modified(api, path, condition, status):
    etag = (await api.get(path)).headers["etag"]
    answer = await api.get(path, headers={"if-none-match": condition.replace("{etag}", etag)})
    assert answer.status_code == status
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == CACHE
    assert answer.headers.get("access-control-allow-origin") == ("*" if path == JWKS else None)
    if status == 304:
        assert answer.content == b""
        assert "content-type" not in answer.headers


async def test_the_validator_may_stand_in_one_of_two_headers(api):
    etag = (await api.get(JWKS)).headers["etag"]
    pair = [("if-none-match", '"other"'), ("if-none-match", etag)]
    assert (await api.get(JWKS, headers=pair)).status_code == 304


async def test_the_key_set_answers_head_and_preflight_and_nothing_else(api):
    head = await api.head(JWKS)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 100
    preflight = await api.options(
        JWKS, headers={"origin": "https://app.example", "access-control-request-method": "GET"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-headers"] == "*"
    assert (await api.post(JWKS)).status_code == 405


async def test_a_body_that_comes_with_a_request_for_a_document_is_read_as_strictly_as_any(api):
    for body, status in ((b"{}", 200), (b'{"a": 1}', 400), (b"no JSON", 400), (b" " * 70_000, 413)):
        json_header = {"content-type": "application/json"}
        answer = await api.request("GET", JWKS, content=body, headers=json_header)
        assert answer.status_code == status, body[:10]


async def test_alive_asks_no_store_and_ready_asks_everybody(make_service, serve):
    service = await make_service(pool=None)
    async with serve(service) as api:
        assert (await api.get("/healthz")).json() == {"status": "ok"}
        ready = await api.get("/readyz")
        assert ready.json() == {"status": "ok", "checks": {"database": True, "ephemeral_store": True}}
        await service.pool.close()
        assert (await api.get("/healthz")).status_code == 200


async def test_a_service_with_a_part_down_is_alive_and_not_ready(make_service, serve, down_store):
    service = await make_service(ephemeral_store=down_store)
    async with serve(service) as api:
        answer = await api.get("/readyz")
    assert (answer.status_code, answer.json()["error"]) == (503, "not_ready")
    assert answer.json()["metadata"] == {
        "database": True, "ephemeral_store": False, "causes": {"ephemeral_store": "unreachable"},
    }  # fmt: skip
    assert "retry-after" in answer.headers


async def test_the_document_is_served_and_lists_no_inbox_outside_of_development(api):
    document = (await api.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert "/dev/inbox" not in document["paths"]
    assert (await api.get("/dev/inbox")).status_code == 404


async def test_the_page_is_served_under_a_strict_policy(api):
    answer = await api.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "/auth/password/login" in answer.text


# --- the development inbox --------------------------------------------------------------------------------


@pytest.fixture
async def dev(make_service, serve):
    service = await make_service(dev=True, email_sender=None, sms_sender=None)
    async with serve(service) as api:
        yield api


async def _register(api, name: str) -> None:
    body = {"identifier": f"{name}@example.test", "username": name, "password": "correct horse battery"}
    assert (await api.post("/auth/register", json=body)).status_code == 202
    await api.delivered()


async def test_a_link_to_a_page_that_is_missing_says_which_setting_has_its_address(dev, api):
    answer = await dev.get("/verify-email")
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert "AUTHKIT_LINK_BASE_URL" in answer.json()["error_description"]
    assert "AUTHKIT" not in (await api.get("/verify-email")).text  # of no use to users of a service


async def test_the_inbox_shows_every_message_newest_first(dev):
    assert (await dev.get("/dev/inbox")).json() == {"messages": []}
    await _register(dev, "first_one")
    await _register(dev, "second_one")
    answer = await dev.get("/dev/inbox")
    messages = answer.json()["messages"]
    assert [message["to"] for message in messages] == ["second_one@example.test", "first_one@example.test"]
    assert len(messages[0]["code"]) == 6
    assert {"id", "at", "channel", "to", "kind", "text"} <= set(messages[0])
    assert None not in messages[0].values()
    assert answer.headers["cache-control"] == "no-store"
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_the_inbox_is_filtered_by_address(dev):
    await _register(dev, "first_one")
    await _register(dev, "second_one")
    found = (await dev.get("/dev/inbox", params={"to": "first_one@example.test"})).json()["messages"]
    assert [message["to"] for message in found] == ["first_one@example.test"]
    assert (await dev.get("/dev/inbox?to=missing")).json() == {"messages": []}


async def test_a_browser_sees_a_page_that_runs_nothing(dev):
    await _register(dev, "first_one")
    answer = await dev.get("/dev/inbox", headers={"accept": "text/html,*/*;q=0.8"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "first_one@example.test" in answer.text


async def test_what_an_attacker_wrote_is_escaped(dev):
    answer = await dev.get(
        "/dev/inbox", params={"to": "<script>alert(1)</script>"}, headers={"accept": "text/html"}
    )
    assert "<script" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text


@pytest.mark.parametrize(
    ("peer", "host"),
    [("203.0.113.7", "127.0.0.1:8000"), ("127.0.0.1", "evil.example"), ("127.0.0.1", "127.0.0.1.nip.io")],
)
async def test_the_inbox_is_for_this_machine_alone(make_service, peer, host):
    service = await make_service(dev=True, email_sender=None, sms_sender=None)
    transport = httpx.ASGITransport(app=create_app(service), client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as api:
        answer = await api.get("/dev/inbox")
    assert (answer.status_code, answer.json()["error"]) == (403, "loopback_only")
    assert "messages" not in json.loads(answer.text)


# --- documents about the service itself -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "member"),
    [("/.well-known/openid-configuration", "token_endpoint"), ("/auth/capabilities", "languages")],
)
async def test_services_of_one_process_have_documents_and_validators_of_their_own(
    make_service, serve, path, member
):
    first = await make_service(base_url="https://one.example", languages=("en",))
    second = await make_service(base_url="https://two.example", languages=("de", "en"))
    async with serve(first) as one, serve(second) as two:
        for _ in range(2):  # in turns: the document that was written last belongs to the other service
            mine, other = await one.get(path), await two.get(path)
            assert mine.json()[member] != other.json()[member]
            assert mine.headers["etag"] != other.headers["etag"]
            assert (await two.get(path, headers={"if-none-match": other.headers["etag"]})).status_code == 304
            assert (await two.get(path, headers={"if-none-match": mine.headers["etag"]})).status_code == 200
