from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from authkit_verify import AcceptConfig, AuthMiddleware, TokenError, Verifier
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock


async def code(verifier: Any, token: str) -> str:
    """Return why a token is refused."""
    with pytest.raises(TokenError) as refused:
        await verifier.verify(token)
    return refused.value.code


async def test_every_way_a_token_can_be_wrong_has_a_name(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        assert (await verifier.verify(issuer.mint("ann"))).user_id == "ann"
        assert await code(verifier, issuer.mint_expired()) == "token_expired"
        assert await code(verifier, issuer.mint_forged()) == "invalid_token"
        assert await code(verifier, issuer.mint(typ="id+jwt")) == "invalid_token"
        assert await code(verifier, issuer.mint(aud="another")) == "bad_audience"
        assert await code(verifier, issuer.mint(iss="https://another.test")) == "bad_issuer"
        assert await code(verifier, issuer.mint(without=["exp"])) == "missing_exp"
        assert (await verifier.verify(issuer.mint(typ=None))).user_id == "user-1"
    assert issuer.fetches == 1


async def test_a_token_expires_where_the_clock_says_so(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with issuer.verifier(skew=0) as verifier:
        token = issuer.mint(lifetime=60)
        assert await verifier.verify(token)
        clock.advance(61)
        assert await code(verifier, token) == "token_expired"
        assert await code(verifier, issuer.mint_expired(ago=1)) == "token_expired"


async def test_keys_rotate_and_are_withdrawn(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        first = issuer.key
        await verifier.verify(issuer.mint())
        issuer.rotate()
        await verifier.verify(issuer.mint())
        await verifier.verify(issuer.mint(key=first))
        issuer.remove(first.kid)
    async with issuer.verifier() as later:
        await later.verify(issuer.mint())
        assert await code(later, issuer.mint(key=first)) == "unknown_kid"
        issuer.rotate(keep=False)
        assert [key.kid for key in issuer.keys] == [issuer.key.kid]


async def test_an_issuer_breaks_down_and_recovers(issuer: FakeIssuer) -> None:
    issuer.break_down(500)
    async with issuer.verifier() as verifier:
        assert await code(verifier, issuer.mint()) == "keys_unavailable"
    issuer.recover()
    issuer.publish(b"not a key set")
    async with issuer.verifier() as verifier:
        assert await code(verifier, issuer.mint()) == "keys_unavailable"
    issuer.recover()
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())


async def test_a_slow_issuer_answers_late(issuer: FakeIssuer) -> None:
    issuer.slow(0.01)
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
    issuer.slow(60)
    async with issuer.verifier() as verifier:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(verifier.verify(issuer.mint()), 0.01)


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.user.identity)


async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.identity)
    await websocket.close()


@pytest.mark.filterwarnings("ignore:.*httpx2")
def test_a_synchronous_test_client_has_a_loop_for_every_request_and_works_all_the_same() -> None:
    from starlette.testclient import TestClient

    issuer = FakeIssuer()
    app = Starlette(routes=[Route("/", page), WebSocketRoute("/live", live)])
    client = TestClient(AuthMiddleware(app, verifier=issuer.verifier()))
    assert client.get("/").status_code == 401
    assert client.get("/", headers=issuer.bearer("ann")).text == "ann"
    issuer.rotate()
    assert client.get("/", headers=issuer.bearer("bob")).text == "bob"
    assert client.get("/", headers={"Authorization": f"Bearer {issuer.mint_forged()}"}).status_code == 401
    with client.websocket_connect("/live", headers=issuer.bearer("eve")) as websocket:
        assert websocket.receive_text() == "eve"


SUITE = """
def test_a_fixture_is_an_issuer_of_its_own(fake_issuer):
    assert fake_issuer.mint("ann").count(".") == 2
    assert fake_issuer.requests == []
    fake_issuer.break_down()


def test_and_the_next_test_has_another(fake_issuer):
    assert fake_issuer._status == 200
"""


def test_the_plugin_brings_the_fixture_to_tests_that_name_it(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["authkit_verify.pytest_plugin"]\n')
    (tmp_path / "test_app.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


async def test_two_fake_issuers_answer_for_themselves_in_one_verifier() -> None:
    issuers = FakeIssuer("https://a.test"), FakeIssuer("https://b.test")
    config = AcceptConfig(issuers=[one.accept() for one in issuers], algorithms=["ES256"])
    async with Verifier(config, http_client=FakeIssuer.client_for(*issuers)) as verifier:
        for one in issuers:
            assert (await verifier.verify(one.mint("ann"))).issuer == one.issuer
            assert one.fetches == 1


@pytest.mark.parametrize("discovery", [False, True])
async def test_two_realms_of_one_host_answer_for_themselves(*, discovery: bool) -> None:
    realms = [FakeIssuer(f"https://id.test/realms/{name}") for name in ("shop", "shop/eu", "shopping")]
    config = AcceptConfig(
        issuers=[
            realm.accept(discovery=True)
            if discovery
            else realm.accept(jwks_url=f"{realm.issuer}/protocol/certs")
            for realm in realms
        ],
        algorithms=["ES256"],
    )
    async with Verifier(config, http_client=FakeIssuer.client_for(*realms)) as verifier:
        for realm in realms:
            await verifier.verify(realm.mint("ann"))


@pytest.mark.parametrize("terms", [{}, {"discovery": True}])
async def test_the_key_set_is_at_the_url_that_the_record_names_on_any_host(terms: dict[str, Any]) -> None:
    issuer = FakeIssuer("https://accounts.test", jwks_url="https://keys.test/oauth2/v3/certs")
    async with issuer.verifier(**terms) as verifier:
        await verifier.verify(issuer.mint("ann"))
    assert str(issuer.requests[-1].url) == "https://keys.test/oauth2/v3/certs"
    assert issuer.fetches == 1


async def test_a_record_made_later_may_name_another_url() -> None:
    issuer = FakeIssuer("accounts.test", jwks_url="https://keys.test/certs")  # an issuer that is not a URL
    async with issuer.verifier(jwks_url="https://elsewhere.test/certs") as verifier:
        await verifier.verify(issuer.mint("ann"))
    assert [request.url.host for request in issuer.requests] == ["elsewhere.test"]


async def test_another_host_is_not_reached(issuer: FakeIssuer) -> None:
    with pytest.raises(httpx.ConnectError, match=r"other\.test"):
        await issuer.client.get("https://other.test/.well-known/jwks.json")
    assert issuer.requests == []


@pytest.mark.parametrize(
    "place", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
)
async def test_the_metadata_has_the_members_that_the_test_wants(issuer: FakeIssuer, place: str) -> None:
    issuer.metadata = {"scopes_supported": ["orders:read"]}
    answer = await issuer.client.get(issuer.issuer + place)
    assert answer.json() == {
        "issuer": issuer.issuer,
        "jwks_uri": issuer.issuer + "/jwks.json",
        "introspection_endpoint": issuer.issuer + "/introspect",
        "scopes_supported": ["orders:read"],
    }
    issuer.metadata = None
    assert (await issuer.client.get(issuer.issuer + place)).status_code == 404
    assert issuer.fetches == 0
