from __future__ import annotations

import json

import httpx
import pytest

from authkit_verify._jwks.discovery import discover, metadata_urls
from authkit_verify._jwks.fetch_error import FetchError
from authkit_verify.config.allowed_urls import is_allowed_url

ISSUER = "https://i.test/tenant"


def allows(url: str) -> bool:
    return is_allowed_url(url, http_loopback=False)


async def ask(documents: dict[str, object], issuer: str = ISSUER, *, same_origin: bool = False) -> str:
    def answer(request: httpx.Request) -> httpx.Response:
        body = documents.get(str(request.url))
        return httpx.Response(404) if body is None else httpx.Response(200, content=json.dumps(body).encode())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        return await discover(http, issuer, allows=allows, same_origin=same_origin)


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


@pytest.mark.parametrize(
    "first", ["<html>", {"issuer": "https://i.test", "jwks_uri": "https://evil.test/set"}]
)
async def test_another_document_at_the_first_place_does_not_hide_the_second(first: object) -> None:
    true = {"issuer": ISSUER, "jwks_uri": "https://i.test/set"}
    openid, oauth = metadata_urls(ISSUER)
    assert await ask({openid: first, oauth: true}) == "https://i.test/set"


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("https://i.test/set", True), ("https://I.TEST:443/set", True), ("https://k.test/set", False),
        ("https://i.test:8443/set", False), ("https://i.test.evil.test/set", False),
    ],
)  # fmt: skip
async def test_the_keys_can_be_held_to_the_issuers_own_origin(address: str, *, same: bool) -> None:
    documents: dict[str, object] = {metadata_urls(ISSUER)[0]: {"issuer": ISSUER, "jwks_uri": address}}
    assert await ask(documents) == address
    if same:
        assert await ask(documents, same_origin=True) == address
    else:
        with pytest.raises(FetchError, match="origin"):
            await ask(documents, same_origin=True)
