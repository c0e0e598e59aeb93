"""A certified OpenID Connect provider issues the tokens: the npm package ``oidc-provider``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from authkit_verify import AuthMiddleware, DPoP, IssuerAccept, Proof, TokenError, Verifier
from authkit_verify.doctor import diagnose
from authkit_verify.testing import FakeClient
from fakes import node
from fakes.browser import listening
from fakes.ports import free_port
from fakes.repository import ROOT
from fakes.verdicts import complaints

API = "https://api.example.test"
SECRET = "secret of a service"

pytestmark = pytest.mark.timeout(180)


def accepts(issuer: str, algorithm: str, **terms: Any) -> IssuerAccept:
    """Return what the README says an issuer with metadata needs; plain http is for loopback."""
    return IssuerAccept(issuer=issuer, audiences=[f"{API}/{algorithm}"], allow_http_loopback=True, **terms)


async def token(
    http: httpx.AsyncClient, issuer: str, algorithm: str = "ES256", key: FakeClient | None = None
) -> str:
    """Ask for an access token for the API of an algorithm, bound to a key if there is one."""
    form = {
        "grant_type": "client_credentials", "client_id": "service", "client_secret": SECRET,
        "resource": f"{API}/{algorithm}", "scope": "orders:read",
    }  # fmt: skip
    url = f"{issuer}/token"
    headers = {} if key is None else {"DPoP": key.proof("", "POST", url, without=["ath"])}
    answer = (await http.post(url, data=form, headers=headers)).json()
    assert answer["token_type"] == ("Bearer" if key is None else "DPoP")
    return answer["access_token"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_issuer_and_audience_alone_accept_its_tokens(
    http: httpx.AsyncClient, provider: str, algorithm: str
) -> None:
    async with Verifier(accepts(provider, algorithm)) as verifier:
        claims = await verifier.verify(await token(http, provider, algorithm))
    assert (claims.user_id, claims.client_id, claims.scopes) == ("service", "service", ("orders:read",))
    assert (claims.issuer, claims.audience) == (provider, (f"{API}/{algorithm}",))


async def test_the_doctor_finds_no_fault_of_it(provider: str) -> None:
    report = await diagnose(accepts(provider, "ES256"))
    assert complaints(report) == {("warning", "http_loopback"), ("warning", "no_etag")}, str(report)


async def test_its_token_for_another_api_is_refused(http: httpx.AsyncClient, provider: str) -> None:
    async with Verifier(accepts(provider, "ES256")) as verifier:
        with pytest.raises(TokenError, match="bad_audience"):
            await verifier.verify(await token(http, provider, "RS256"))


async def test_a_bound_token_needs_a_new_proof_of_its_own_key(http: httpx.AsyncClient, provider: str) -> None:
    key, url = FakeClient(), "https://api.example.test/orders"
    bound = await token(http, provider, key=key)

    def shown(client: FakeClient) -> Proof:
        return Proof(dpop=client.proof(bound, "GET", url), method="GET", url=url)

    async with Verifier(accepts(provider, "ES256")) as verifier:
        once = shown(key)
        assert (await verifier.verify(bound, proof=once)).user_id == "service"
        for proof, code in (
            (once, "invalid_dpop_proof: .* used before"),
            (shown(FakeClient()), "invalid_dpop_proof: .* another key"),
            (None, "invalid_token: .* bound to a DPoP key"),
        ):
            with pytest.raises(TokenError, match=code):
                await verifier.verify(bound, proof=proof)
        assert (await verifier.verify(bound, proof=shown(key))).user_id == "service"


async def test_its_token_without_a_key_is_refused_where_dpop_is_required(
    http: httpx.AsyncClient, provider: str
) -> None:
    async with Verifier(accepts(provider, "ES256", dpop="required")) as verifier:
        with pytest.raises(TokenError, match="not bound to a DPoP key"):
            await verifier.verify(await token(http, provider))


async def asked(ask: Callable[[str], Any], request: dict[str, Any]) -> Any:
    return await asyncio.to_thread(ask, json.dumps(request))


async def answered(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving(provider: str, *, require_nonce: bool) -> AsyncIterator[str]:
    """Run an API that accepts bound tokens of the provider; yield its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    dpop = DPoP(require_nonce=require_nonce, public_origins=[url])
    async with Verifier(accepts(provider, "ES256", dpop="required"), dpop=dpop) as verifier:
        app = AuthMiddleware(answered, verifier, resource=url, scopes=["orders:read"])
        async with listening(app, port):
            yield url


@pytest.mark.parametrize(("key", "require_nonce"), [("ES256", False), ("Ed25519", True)])
async def test_a_certified_client_uses_its_bound_token_at_an_api(
    provider: str, http: httpx.AsyncClient, key: str, *, require_nonce: bool
) -> None:
    node.need("oauth4webapi")
    program = (ROOT / "tests/node/dpop_client.mjs").read_text()
    async with serving(provider, require_nonce=require_nonce) as url:
        with node.asking(program, provider, f"{API}/ES256", key) as ask:
            order = {"method": "POST", "url": f"{url}/orders%20today/1?paid=%C3%BC"}
            first = await asked(ask, order)
            # A nonce costs one request, once.
            assert (first["status"], first["requests"]) == (200, 2 if require_nonce else 1)
            second = await asked(ask, order)
            assert (second["status"], second["requests"]) == (200, 1)
            for change, refused in (({"again": True}, "used before"), ({"other": True}, "another key")):
                answer = await asked(ask, order | change)
                assert answer["status"] == 401
                assert refused in answer["challenge"]
        stolen = await http.get(url, headers={"Authorization": f"Bearer {first['token']}"})
        assert stolen.status_code == 401
        assert ', DPoP algs="' in stolen.headers["www-authenticate"]
