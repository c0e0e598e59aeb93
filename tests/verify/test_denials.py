"""A refusal that the application raises is answered by the middleware in front of it."""

# No "from __future__ import annotations": FastAPI resolves them in the globals, and these routes are local.

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from litestar import Litestar, get
from litestar import Request as LitestarRequest
from quart import Quart
from quart import request as quart_request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute

from authkit_verify import AccessDenied, AuthMiddleware, TokenError, require_role
from authkit_verify.testing import FakeIssuer

Connect = Callable[..., Any]
BOSS = require_role("boss")


async def page(request: Any) -> JSONResponse:
    await BOSS.check(request.scope)
    return JSONResponse(1)


async def passed_on(request: Any, call_next: Any) -> Any:
    return await call_next(request)


def starlette(**options: Any) -> Starlette:
    return Starlette(routes=[Route("/", page)], **options)


def fastapi() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def index(request: Request) -> int:
        await BOSS.check(request.scope)
        return 1

    return app


def litestar() -> Litestar:
    @get("/")
    async def index(request: LitestarRequest[Any, Any, Any]) -> int:
        await BOSS.check(request.scope)
        return 1

    return Litestar([index], openapi_config=None, logging_config=None)  # it would set the root logger


def quart() -> Quart:
    app = Quart("app")

    @app.route("/")
    async def index() -> str:
        await BOSS.check(quart_request.scope)
        return "1"

    return app


BUILDERS: dict[str, Callable[[Any], Any]] = {
    "Starlette inside": lambda verifier: starlette(
        middleware=[Middleware(AuthMiddleware, verifier=verifier)]
    ),
    "Starlette around": lambda verifier: AuthMiddleware(starlette(), verifier),
    "Starlette debugging": lambda verifier: AuthMiddleware(starlette(debug=True), verifier),
    "Starlette behind a task": lambda verifier: AuthMiddleware(
        starlette(middleware=[Middleware(BaseHTTPMiddleware, dispatch=passed_on)]), verifier
    ),
    "mounted": lambda verifier: AuthMiddleware(Starlette(routes=[Mount("/", app=starlette())]), verifier),
    "FastAPI": lambda verifier: AuthMiddleware(fastapi(), verifier),
    "Litestar": lambda verifier: AuthMiddleware(litestar(), verifier),
    "Quart": lambda verifier: AuthMiddleware(quart(), verifier),
    "without an end of its own": lambda verifier: AuthMiddleware(fastapi(), verifier, lifetime=None),
}


@pytest.mark.parametrize("name", BUILDERS)
async def test_a_check_that_fails_in_a_handler_is_403(
    issuer: FakeIssuer, connect: Connect, name: str
) -> None:
    app = BUILDERS[name](issuer.verifier())
    usual = {"http_version": "1.1", "scheme": "http"}
    assert (await connect(app, token=issuer.mint("ann", roles=["boss"]), **usual).run()).status == 200
    denied = await connect(app, token=issuer.mint("ann"), **usual).run()
    assert denied.status == 403
    assert b'"error":"forbidden"' in denied.body
    assert [message["type"] for message in denied.sent] == ["http.response.start", "http.response.body"]


RAISED = [
    (AccessDenied("missing_token", "this needs an access token"), 401, 1008),
    (AccessDenied("insufficient_scope", "too few", scopes=("orders:read",)), 403, 1008),
    (AccessDenied("keys_unavailable", "not now", retry_after=7), 503, 1013),
    (TokenError("bad_audience", "another audience"), 401, 1008),
]


@pytest.mark.parametrize(("error", "status", "code"), RAISED)
async def test_what_an_application_raises_has_its_status_and_challenge(
    issuer: FakeIssuer, connect: Connect, error: Exception, status: int, code: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    for wrapped in (
        AuthMiddleware(app, issuer.verifier(), realm="shop"),
        AuthMiddleware(app, issuer.verifier(), realm="shop", lifetime=None),
        AuthMiddleware(app, issuer.verifier(), realm="shop", exclude=["/"]),
    ):
        answer = await connect(wrapped, token=issuer.mint("ann")).run()
        assert answer.status == status
        name = "retry-after" if status == 503 else "www-authenticate"
        assert answer.header(name) == "7" or 'realm="shop"' in answer.header(name)
        closed = await connect(wrapped, type="websocket", token=issuer.mint("ann")).run()
        assert closed.sent == [{"type": "websocket.close", "code": code, "reason": error.code}]  # type: ignore[attr-defined]


async def test_a_response_that_has_begun_is_broken_off(issuer: FakeIssuer, connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await BOSS.check(scope)

    connection = connect(AuthMiddleware(app, issuer.verifier()), token=issuer.mint("ann"))
    with pytest.raises(AccessDenied):
        await connection.run()
    assert len(connection.sent) == 1


async def test_other_errors_and_other_responses_with_500_stay_as_they_are(
    issuer: FakeIssuer, connect: Connect
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"broken"})

    assert (
        await connect(AuthMiddleware(app, issuer.verifier()), token=issuer.mint("ann")).run()
    ).body == b"broken"

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await connect(AuthMiddleware(failing, issuer.verifier()), token=issuer.mint("ann")).run()


async def test_a_websocket_is_denied_before_and_closed_after_its_handshake(
    issuer: FakeIssuer, connect: Connect
) -> None:
    async def before(websocket: WebSocket) -> None:
        await BOSS.check(websocket.scope)

    async def after(websocket: WebSocket) -> None:
        await websocket.accept()
        await BOSS.check(websocket.scope)

    routes = [WebSocketRoute("/before", before), WebSocketRoute("/after", after)]
    app = AuthMiddleware(Starlette(routes=routes), issuer.verifier())
    token = issuer.mint("ann")
    denial = {"websocket.http.response": {}}
    early = await connect(app, type="websocket", path="/before", token=token, extensions=denial).run()
    assert (early.sent[0]["type"], early.status) == ("websocket.http.response.start", 403)
    plain = await connect(app, type="websocket", path="/before", token=token).run()
    assert plain.sent == [{"type": "websocket.close", "code": 1008, "reason": "forbidden"}]
    late = await connect(app, type="websocket", path="/after", token=token).run()
    assert [message["type"] for message in late.sent] == ["websocket.accept", "websocket.close"]
    assert late.sent[1]["code"] == 1008


async def test_the_scopes_of_the_issuers_are_named_to_clients(issuer: FakeIssuer, connect: Connect) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    verifier = issuer.verifier(required_scopes=["mcp:tools"])
    resource = "https://api.example.com/mcp"
    wrapped = AuthMiddleware(app, verifier, resource=resource)
    assert 'scope="mcp:tools"' in (await connect(wrapped).run()).header("www-authenticate")
    path = "/.well-known/oauth-protected-resource/mcp"
    assert b'"scopes_supported":["mcp:tools"]' in (await connect(wrapped, path=path).run()).body
    named = AuthMiddleware(app, verifier, scopes=["api://shop/mcp:tools", "profile"])
    refused = await connect(named, token=issuer.mint("ann", scope="other")).run()
    assert refused.status == 403
    # Entra's tokens say "mcp:tools"; a client must request the long name.
    assert 'scope="api://shop/mcp:tools"' in refused.header("www-authenticate")


def test_a_denial_can_be_pickled_and_copied() -> None:
    error = AccessDenied("insufficient_scope", "too few", scopes=("read",), max_age=5, retry_after=1.5)
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert vars(again) == vars(error)
        assert str(again) == "insufficient_scope: too few"


async def test_claims_can_be_hashed_and_returned_by_a_route(issuer: FakeIssuer, connect: Connect) -> None:
    verifier = issuer.verifier()
    claims = await verifier.verify(issuer.mint("ann", nested={"list": [1, {"a": 2}]}))
    again = await issuer.verifier().verify(issuer.mint("ann", nested={"list": [1, {"a": 2}]}))
    assert hash(claims) == hash(claims)
    assert {claims: 1}[claims] == 1
    assert claims["nested"]["list"][1]["a"] == 2
    assert dict(again)["sub"] == "ann"
    app = FastAPI()

    @app.get("/")
    async def mine(request: Request):
        return request.scope["state"]["authkit"]

    shown = await connect(AuthMiddleware(app, verifier), token=issuer.mint("ann", nested={"list": [1]})).run()
    assert b'"nested":{"list":[1]}' in shown.body
