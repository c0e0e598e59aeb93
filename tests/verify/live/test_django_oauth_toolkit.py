"""Django OAuth Toolkit issues the ID tokens, in a project of Django."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from authkit_verify import IssuerAccept, TokenError, Verifier
from authkit_verify.doctor import diagnose
from fakes import judges
from fakes.verdicts import complaints

CALLBACK = "http://127.0.0.1/callback"
PROOF = "a code verifier of more than forty-three characters"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def project() -> Iterator[str]:
    """The address of the project."""
    judges.need("django-oauth-toolkit")
    with judges.serving("django_provider.py") as port:
        yield f"http://127.0.0.1:{port}"


def accepts(project: str, **terms: Any) -> IssuerAccept:
    """Return what the README says an issuer with metadata needs; plain http is for loopback."""
    return IssuerAccept(issuer=f"{project}/o", allow_http_loopback=True, **{"audiences": ["app"]} | terms)


async def tokens(http: httpx.AsyncClient, project: str, client: str) -> Any:
    """Sign ann in, ask for a code with PKCE, and trade it."""
    await http.get(f"{project}/sign-in")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(PROOF.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code", "client_id": client, "redirect_uri": CALLBACK, "scope": "openid read",
        "code_challenge": challenge, "code_challenge_method": "S256", "nonce": "n-1",
    }  # fmt: skip
    sent = await http.get(f"{project}/o/authorize/", params=query)
    (code,) = parse_qs(urlsplit(sent.headers["location"]).query)["code"]
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "client_id": client,
        "client_secret": f"the long enough secret of the client {client}", "code_verifier": PROOF,
    }  # fmt: skip
    answer = await http.post(f"{project}/o/token/", data=form)
    assert answer.is_success, answer.text
    return answer.json()


async def test_issuer_and_client_alone_accept_its_id_tokens(http: httpx.AsyncClient, project: str) -> None:
    async with Verifier(accepts(project)) as verifier:
        got = await tokens(http, project, "app")
        claims = await verifier.verify(got["id_token"])
        assert (claims.issuer, claims.user_id, claims.audience) == (f"{project}/o", "1", ("app",))
        assert claims["nonce"] == "n-1"
        # Its access tokens are opaque.
        with pytest.raises(TokenError, match="three parts"):
            await verifier.verify(got["access_token"])


async def test_the_doctor_finds_no_fault_of_it(project: str) -> None:
    report = await diagnose(accepts(project))
    assert complaints(report) == {("warning", "http_loopback"), ("warning", "no_etag")}, str(report)


async def test_the_id_token_of_another_client_is_refused(http: httpx.AsyncClient, project: str) -> None:
    async with Verifier(accepts(project)) as verifier:
        with pytest.raises(TokenError, match="bad_audience"):
            await verifier.verify((await tokens(http, project, "other"))["id_token"])


async def test_an_id_token_that_is_signed_with_a_secret_is_refused(
    http: httpx.AsyncClient, project: str
) -> None:
    async with Verifier(accepts(project, audiences=["shared"])) as verifier:
        with pytest.raises(TokenError, match=r"disallowed_alg: .*HS256"):
            await verifier.verify((await tokens(http, project, "shared"))["id_token"])
