"""Issuer and audience alone: the metadata first, and the well-known path where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify.doctor import diagnose
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
KEYS = "/.well-known/jwks.json"
Pages = dict[str, tuple[int, Any]]


async def tried(issuer: FakeIssuer, pages: Pages, **terms: Any) -> tuple[str, list[str]]:
    """Return the outcome of a token, and the paths that were asked for it."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        status, body = pages.get(request.url.path, (404, {}))
        if callable(body):
            body = body()
        return (
            httpx.Response(status, content=body)
            if isinstance(body, bytes)
            else httpx.Response(status, json=body)
        )

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with Verifier(issuer.accept(**terms), http_client=http, clock=issuer.clock) as verifier:
        try:
            return (await verifier.verify(issuer.mint("ann"))).user_id, asked
        except TokenError as error:
            return error.code, asked
        finally:
            await http.aclose()


@pytest.fixture
def keys(issuer: FakeIssuer) -> dict[str, tuple[int, Callable[[], bytes]]]:
    return {KEYS: (200, issuer.document), "/keys": (200, issuer.document)}


@pytest.mark.parametrize("place", [OPENID, OAUTH])
async def test_the_metadata_goes_first(issuer: FakeIssuer, keys: Pages, place: str) -> None:
    metadata = {"issuer": issuer.issuer, "jwks_uri": f"{issuer.issuer}/keys"}
    outcome, asked = await tried(issuer, {place: (200, metadata), **keys})
    assert (outcome, asked[-1], KEYS in asked) == ("ann", "/keys", False)


ABSENT = [
    {}, {OPENID: (403, {})}, {OPENID: (302, {}), OAUTH: (400, {})}, {OPENID: (200, b"<html></html>")},
    {OPENID: (200, {"error": "not found"})}, {OAUTH: (200, {"issuer": "https://issuer.test"})},
    {OPENID: (200, ["issuer"])},
]  # fmt: skip


@pytest.mark.parametrize("pages", ABSENT)
async def test_an_issuer_without_metadata_has_its_keys_at_the_well_known_path(
    issuer: FakeIssuer, keys: Pages, pages: Pages
) -> None:
    outcome, asked = await tried(issuer, pages | keys)
    assert (outcome, asked) == ("ann", [OPENID, OAUTH, KEYS])
    assert await tried(issuer, pages | keys, discovery=True) == ("keys_unavailable", [OPENID, OAUTH])


OTHERS = [
    (200, {"issuer": "https://evil.test", "jwks_uri": "https://issuer.test/keys"}),
    (200, {"issuer": "https://issuer.test/", "jwks_uri": "https://issuer.test/keys"}),
    (200, {"issuer": None, "jwks_uri": "https://issuer.test/keys"}),
    (200, {"issuer": "https://issuer.test", "jwks_uri": "http://issuer.test/keys"}),
    (500, {}), (503, {}), (429, {}),
]  # fmt: skip


@pytest.mark.parametrize("page", OTHERS)
async def test_metadata_that_is_wrong_or_fails_leads_to_no_other_keys(
    issuer: FakeIssuer, keys: Pages, page: tuple[int, Any]
) -> None:
    outcome, asked = await tried(issuer, {OPENID: page, **keys})
    assert (outcome, KEYS in asked, "/keys" in asked) == ("keys_unavailable", False, False)


async def test_a_key_url_goes_before_both_and_false_asks_for_no_metadata(
    issuer: FakeIssuer, keys: Pages
) -> None:
    assert await tried(issuer, keys, jwks_url="https://issuer.test/keys") == ("ann", ["/keys"])
    assert await tried(issuer, keys, discovery=False) == ("ann", [KEYS])


async def test_a_place_that_was_found_is_kept(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint("ann"))
        before = len(issuer.requests)
        clock.advance(290)
        await verifier.verify(issuer.mint("ann"))
        await verifier.warm()
        assert all(request.url.path.endswith("jwks.json") for request in issuer.requests[before:])


async def test_the_doctor_does_not_advise_a_template() -> None:
    metadata = {"issuer": "https://login.example/{tenantid}/v2.0", "jwks_uri": "https://login.example/keys"}
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=metadata)))
    accept = IssuerAccept(issuer="https://login.example/common/v2.0", audiences=["api"])
    report = await diagnose(accept, http_client=http)
    assert "multi_tenant_metadata" in {finding.code for finding in report.findings}
    assert "configure issuer=" not in str(report)
    await http.aclose()


def test_what_is_configured_wrongly_says_what_to_write() -> None:
    with pytest.raises(ValueError, match=r"stands for many tenants.*jwks_url"):
        IssuerAccept(issuer="https://login.microsoftonline.com/common/v2.0", audiences=["api"])
    with pytest.raises(ValueError, match=r"holds IssuerAccept\(issuer=.*not 'https://a'"):
        AcceptConfig(issuers=["https://a"])  # type: ignore[list-item]


@pytest.mark.parametrize("status", [302, 403, 404])
async def test_metadata_that_is_absent_for_a_moment_does_not_move_the_keys_it_has_named(
    clock: FakeClock, status: int
) -> None:
    issuer, other = FakeIssuer(clock=clock), FakeIssuer(clock=clock)
    pages: Pages = {
        OPENID: (200, {"issuer": issuer.issuer, "jwks_uri": f"{issuer.issuer}/keys"}),
        "/keys": (200, issuer.document),
        KEYS: (200, other.document),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        code, body = pages.get(request.url.path, (404, {}))
        return httpx.Response(code, content=body()) if callable(body) else httpx.Response(code, json=body)

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with Verifier(issuer.accept(), http_client=http, clock=clock) as verifier:
        await verifier.verify(issuer.mint("ann"))
        pages[OPENID] = (status, {})
        clock.advance(120)
        with pytest.raises(TokenError, match="invalid_token"):  # the bad signature makes it look again
            await verifier.verify(other.mint("eve"))
        issuer.rotate()
        clock.advance(120)
        assert (await verifier.verify(issuer.mint("ann"))).user_id == "ann"
    await http.aclose()


REMEDIES = [
    ({"issuer": "https://evil.test"}, {}, "of another issuer, 'https://evil.test'", "set jwks_url"),
    (
        {"issuer": "https://issuer.test", "jwks_uri": "http://issuer.test/keys"}, {},
        "'http://issuer.test/keys'", "allow_http_hosts",
    ),
    (
        {"issuer": "https://issuer.test", "jwks_uri": "https://keys.test/"}, {"same_origin": True},
        "'https://keys.test/'", "same_origin",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("metadata", "terms", "value", "setting"), REMEDIES)
async def test_metadata_that_is_refused_is_reported_with_its_value_and_the_setting(
    issuer: FakeIssuer, metadata: dict[str, str], terms: dict[str, Any], value: str, setting: str
) -> None:
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json=metadata))
    http = httpx.AsyncClient(transport=answer)
    async with Verifier(issuer.accept(**terms), http_client=http) as verifier:
        await verifier.warm()
        said = verifier.health()["issuers"][issuer.issuer]["last_error"]
    await http.aclose()
    assert said is not None
    assert value in said
    assert setting in said
