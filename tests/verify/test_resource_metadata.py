from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import AuthMiddleware
from authkit_verify._asgi.resource_metadata import ResourceMetadata
from authkit_verify.testing import FakeIssuer

Connect = Callable[..., Any]
RESOURCE = "https://api.test/mcp"


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("https://api.test/mcp", "https://api.test/.well-known/oauth-protected-resource/mcp"),
        ("https://api.test/", "https://api.test/.well-known/oauth-protected-resource"),
        ("https://api.test", "https://api.test/.well-known/oauth-protected-resource"),
        ("https://api.test:8443/a/b/", "https://api.test:8443/.well-known/oauth-protected-resource/a/b"),
    ],
)
def test_the_document_stands_between_host_and_path(resource: str, url: str) -> None:
    assert ResourceMetadata(resource=resource, authorization_servers=()).url == url


@pytest.mark.parametrize(
    "resource", ["", "api", "ftp://api.test", "https://", "https://a.test/?x", "https://a.test/#"]
)
async def test_an_address_that_names_no_resource_is_refused(issuer: FakeIssuer, resource: str) -> None:
    with pytest.raises(ValueError):
        AuthMiddleware(app, issuer.verifier(), resource=resource)


@pytest.mark.parametrize("path", ["", "/mcp"])
async def test_the_document_is_served_to_anybody_under_both_paths(
    issuer: FakeIssuer, connect: Connect, path: str
) -> None:
    guarded = AuthMiddleware(app, issuer.verifier(), resource=RESOURCE, scopes=["read"])
    answer = await connect(guarded, path="/.well-known/oauth-protected-resource" + path).run()
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == "*"
    assert json.loads(answer.body) == {
        "resource": RESOURCE,
        "authorization_servers": [issuer.issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["read"],
    }


async def test_a_client_that_keeps_the_slash_of_the_address_finds_the_document(
    issuer: FakeIssuer, connect: Connect
) -> None:
    guarded = AuthMiddleware(app, issuer.verifier(), resource=RESOURCE + "/")
    for path in ("/mcp", "/mcp/"):
        answer = await connect(guarded, path="/.well-known/oauth-protected-resource" + path).run()
        assert json.loads(answer.body)["resource"] == RESOURCE + "/"


async def test_every_challenge_names_the_document(issuer: FakeIssuer, connect: Connect) -> None:
    guarded = AuthMiddleware(app, issuer.verifier(), resource=RESOURCE)
    named = 'resource_metadata="https://api.test/.well-known/oauth-protected-resource/mcp"'
    assert named in (await connect(guarded).run()).header("www-authenticate")
    assert named in (await connect(guarded, token="a.b.c").run()).header("www-authenticate")


async def test_nothing_else_is_public_because_of_it(issuer: FakeIssuer, connect: Connect) -> None:
    guarded = AuthMiddleware(app, issuer.verifier(), resource=RESOURCE)
    well_known = "/.well-known/oauth-protected-resource"
    for method, path in (("POST", well_known), ("GET", well_known + "/mcp/x"), ("GET", well_known + "x")):
        assert (await connect(guarded, method=method, path=path).run()).status == 401
    head = await connect(guarded, method="HEAD", path=well_known).run()
    assert (head.status, head.body) == (200, b"")
    assert (await connect(guarded, method="OPTIONS", path=well_known).run()).status == 204
    plain = AuthMiddleware(app, issuer.verifier())
    assert (await connect(plain, path=well_known).run()).status == 401
