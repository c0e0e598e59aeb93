"""A client that knows only the address of a resource finds its way to the issuer (RFC 9728, as MCP asks)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from authkit_verify import AuthMiddleware, ResourceMetadata, require_scope
from authkit_verify.testing import FakeIssuer

RESOURCE = "https://tools.test/mcp"
WELL_KNOWN = "/.well-known/oauth-protected-resource"


async def tools(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["user"].identity.encode()})


def key_set(issuer: FakeIssuer) -> Any:
    """The server of the resource is wrapped as a whole."""
    return AuthMiddleware(tools, issuer.verifier(), resource=RESOURCE, scopes=["tools:call"])


def mounted(issuer: FakeIssuer) -> Any:
    """The resource is one part of an application, which serves the document beside it."""
    document = ResourceMetadata(
        resource=RESOURCE, authorization_servers=[issuer.issuer], scopes=["tools:call"]
    )
    guarded = AuthMiddleware(tools, issuer.verifier(), resource=RESOURCE, scopes=["tools:call"])
    return Starlette(routes=[Route(document.path, document), Mount("/mcp", app=guarded)])


def visitor(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), follow_redirects=True)


def parameters(challenge: str) -> dict[str, str]:
    assert challenge.startswith("Bearer ")
    return dict(re.findall(r'(\w+)="([^"]*)"', challenge))


@pytest.mark.parametrize("build", [key_set, mounted])
async def test_the_challenge_leads_to_the_issuer_and_its_token_leads_back(
    issuer: FakeIssuer, build: Any
) -> None:
    async with visitor(build(issuer)) as client:
        refused = await client.post(RESOURCE, json={"method": "tools/list"})
        assert refused.status_code == 401
        said = parameters(refused.headers["www-authenticate"])
        assert said["scope"] == "tools:call"
        document = (await client.get(said["resource_metadata"])).json()
        assert document["resource"] == RESOURCE  # RFC 9728, 3.3: else the client must turn back
        (server,) = document["authorization_servers"]
        assert server == issuer.issuer
        # The client asks that server for a token; what it gets opens the door.
        token = issuer.mint("ann", scope=" ".join(document["scopes_supported"]))
        called = await client.post(RESOURCE, headers={"Authorization": f"Bearer {token}"})
        assert (called.status_code, called.text) == (200, "ann")


@pytest.mark.parametrize("path", ["", "/mcp"])
async def test_a_client_that_tries_the_well_known_paths_finds_the_same_document(
    issuer: FakeIssuer, path: str
) -> None:
    async with visitor(key_set(issuer)) as client:
        answer = await client.get(f"https://tools.test{WELL_KNOWN}{path}")
    assert (answer.status_code, answer.json()["resource"]) == (200, RESOURCE)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("build", [key_set, mounted])
async def test_a_browser_of_another_origin_may_read_the_document(issuer: FakeIssuer, build: Any) -> None:
    url = ResourceMetadata(resource=RESOURCE, authorization_servers=[]).url
    asking = {"Origin": "https://inspector.test", "Access-Control-Request-Method": "GET"}
    wanted = {"Access-Control-Request-Headers": "mcp-protocol-version"}
    async with visitor(build(issuer)) as client:
        answer = await client.get(url, headers={"Origin": "https://inspector.test"})
        assert answer.headers["access-control-allow-origin"] == "*"
        preflight = await client.options(url, headers=asking | wanted)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "*"


async def test_a_missing_scope_names_the_scope_and_the_document(issuer: FakeIssuer) -> None:
    guarded = AuthMiddleware(require_scope("tools:admin")(tools), issuer.verifier(), resource=RESOURCE)
    async with visitor(guarded) as client:
        answer = await client.post(RESOURCE, headers=issuer.bearer("ann", scope="tools:call"))
    assert answer.status_code == 403
    said = parameters(answer.headers["www-authenticate"])
    assert (said["error"], said["scope"]) == ("insufficient_scope", "tools:admin")
    assert urlsplit(said["resource_metadata"]).path == WELL_KNOWN + "/mcp"


async def test_the_document_served_by_the_host_takes_no_other_method(issuer: FakeIssuer) -> None:
    document = ResourceMetadata(resource=RESOURCE, authorization_servers=[])
    async with visitor(document) as client:
        posted = await client.post(document.url)
        assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert (await client.head(document.url)).status_code == 200
    with pytest.raises(RuntimeError):
        await document({"type": "websocket"}, None, None)  # type: ignore[arg-type]
