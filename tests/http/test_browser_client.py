"""The client for browsers as it is served: a newest one, one of fixed content, and its types."""

from __future__ import annotations

import base64
import hashlib

import pytest

NEWEST, TYPES = "/auth/client/authkit.js", "/auth/client/authkit.d.ts"
PAGE = {"origin": "https://anybody.example"}


async def pinned(api) -> dict[str, str]:
    return (await api.get("/auth/capabilities")).json()["browser_client"]


async def test_every_page_may_load_the_client_as_a_module(api):
    answer = await api.get(NEWEST, headers=PAGE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert "export function createClient" in answer.text
    again = await api.get(NEWEST, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_capabilities_name_a_path_of_fixed_content_and_its_hash(api):
    named = await pinned(api)
    answer = await api.get(named["path"], headers=PAGE)
    assert answer.content == (await api.get(NEWEST)).content
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    digest = base64.b64encode(hashlib.sha384(answer.content).digest()).decode()
    assert named["integrity"] == f"sha384-{digest}"


@pytest.mark.parametrize("prefix", ["", "/accounts"])
async def test_the_path_is_below_the_prefix_of_the_routes(make_service, serve, prefix):
    async with serve(await make_service(route_prefix=prefix)) as api:
        named = (await api.get(f"{prefix}/capabilities")).json()["browser_client"]
        assert (await api.get(named["path"])).status_code == 200


@pytest.mark.parametrize("version", ["0" * 16, "x", "%2e%2e"])
async def test_a_path_of_other_content_has_no_cached_answer(api, version, assert_refusal):
    answer = await api.get(f"/auth/client/{version}/authkit.js")
    assert_refusal(answer, 404, "not_found")
    assert answer.headers["cache-control"] == "no-store"


async def test_the_types_are_a_text(api):
    answer = await api.get(TYPES)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "export interface Client" in answer.text
