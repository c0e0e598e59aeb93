"""Better Auth issues the tokens: its JWT plugin, with keys at a path of its own, and no metadata."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from authkit_verify import IssuerAccept, TokenError, Verifier
from authkit_verify.doctor import diagnose
from fakes import node
from fakes.patience import PATIENCE
from fakes.verdicts import complaints

pytestmark = pytest.mark.timeout(180)


def accepts(url: str, **terms: Any) -> IssuerAccept:
    """Return the issuer as the documentation of its plugin describes it; plain http is for loopback."""
    return IssuerAccept(
        issuer=url, jwks_url=f"{url}/api/auth/jwks", allow_http_loopback=True, **{"audiences": [url]} | terms
    )


async def sign_up(http: httpx.AsyncClient, url: str) -> str:
    """Make an account in this client's cookies and return the ID of its user."""
    form = {"email": "ann@example.test", "password": "correct horse battery", "name": "Ann"}
    answer = await http.post(f"{url}/api/auth/sign-up/email", json=form, headers={"Origin": url})
    assert answer.is_success, answer.text
    return answer.json()["user"]["id"]


async def token(http: httpx.AsyncClient, url: str) -> str:
    return (await http.get(f"{url}/api/auth/token")).json()["token"]


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "ES512", "PS256"])
async def test_its_tokens_are_accepted_with_the_url_of_its_keys_and_the_doctor_agrees(
    http: httpx.AsyncClient, algorithm: str
) -> None:
    node.need("better-auth")
    with node.serving("better_auth.mjs", algorithm, "3600") as url:
        # The verifier comes first: the issuer makes its key for whichever request needs it.
        async with Verifier(accepts(url)) as verifier:
            await verifier.warm()
            user = await sign_up(http, url)
            claims = await verifier.verify(await token(http, url))
            assert (claims.user_id, claims.issuer, claims.audience) == (user, url, (url,))
            assert claims["email"] == "ann@example.test"
        report = await diagnose(accepts(url))
        assert complaints(report) == {("warning", "http_loopback"), ("warning", "no_etag")}, str(report)
        async with Verifier(accepts(url, audiences=["https://api.example.test"])) as other:
            with pytest.raises(TokenError, match="bad_audience"):
                await other.verify(await token(http, url))


async def test_a_key_is_found_as_soon_as_it_signs(http: httpx.AsyncClient) -> None:
    node.need("better-auth")
    with node.serving("better_auth.mjs", "EdDSA", "1") as url:
        async with Verifier(accepts(url)) as verifier:
            await sign_up(http, url)
            before = await token(http, url)
            first = await verifier.verify(before)
            deadline = time.monotonic() + PATIENCE
            while (after := await token(http, url)).split(".")[0] == before.split(".")[0]:
                assert time.monotonic() < deadline, "the issuer keeps its key"
                await asyncio.sleep(0.1)
            assert (await verifier.verify(after)).user_id == first.user_id
