from __future__ import annotations

import json

import httpx
import pytest

from authkit_verify.discovery import discover, metadata_urls
from authkit_verify.fetch import FetchError

ISSUER = "https://i.test/tenant"


async def ask(documents: dict[str, object], issuer: str = ISSUER) -> str:
    def answer(request: httpx.Request) -> httpx.Response:
        body = documents.get(str(request.url))
        return httpx.Response(404) if body is None else httpx.Response(200, content=json.dumps(body).encode())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        return await discover(http, issuer, http_loopback=False)


def test_both_well_known_places_are_known() -> None:
    assert metadata_urls(ISSUER) == (
        "https://i.test/tenant/.well-known/openid-configuration",
        "https://i.test/.well-known/oauth-authorization-server/tenant",
    )
    assert metadata_urls("https://i.test/")[1] == "https://i.test/.well-known/oauth-authorization-server"


@pytest.mark.parametrize("place", [0, 1])
async def test_the_address_of_the_keys_is_found_in_either_document(place: int) -> None:
    metadata = {"issuer": ISSUER, "jwks_uri": "https://k.test/set"}
    assert await ask({metadata_urls(ISSUER)[place]: metadata}) == "https://k.test/set"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": ISSUER + "/", "jwks_uri": "https://k.test/set"},
        {"issuer": "https://evil.test", "jwks_uri": "https://k.test/set"},
        {"jwks_uri": "https://k.test/set"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": "http://k.test/set"},
        {"issuer": ISSUER, "jwks_uri": ["https://k.test/set"]},
        [],
        "text",
    ],
)
async def test_metadata_of_another_issuer_or_without_a_safe_address_is_refused(metadata: object) -> None:
    with pytest.raises(FetchError):
        await ask({metadata_urls(ISSUER)[0]: metadata})


async def test_no_metadata_at_all_is_a_failure() -> None:
    with pytest.raises(FetchError):
        await ask({})
