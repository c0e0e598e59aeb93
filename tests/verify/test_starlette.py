"""Starlette: its own authentication over our verifier, and its ``@requires`` behind either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthenticationBackend, AuthenticationError, requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware as StarlettesOwn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from authkit_verify import AccessDenied, AuthMiddleware, Enrichment, require_admin, require_scope
from authkit_verify.starlette import AuthenticationMiddleware, BearerBackend, refuse
from authkit_verify.testing import FakeIssuer

Connect = Callable[..., Any]
DENIAL = {"websocket.http.response": {}}


async def whoami(request: Request) -> JSONResponse:
    return JSONResponse({"user": request.user.identity, "in": request.user.is_authenticated})


@requires("read")
async def reading(request: Request) -> JSONResponse:
    return JSONResponse({"scopes": list(request.auth.scopes)})


@requires(["authenticated", "read"])
def reading_in_a_thread(request: Request) -> JSONResponse:
    return JSONResponse({"user": request.user.display_name})


async def checked(request: Request) -> JSONResponse:
    caller = await require_scope("read").check(request.scope)
    return JSONResponse({"user": caller.identity})


async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.identity)
    await websocket.close()


@requires("read")
async def guarded_live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


def app(*middleware: Middleware) -> Starlette:
    return Starlette(
        routes=[
            Route("/", whoami),
            Route("/read", reading),
            Route("/thread", reading_in_a_thread),
            Route("/checked", checked),
            Route("/admin", whoami, middleware=[Middleware(require_admin())]),
            WebSocketRoute("/live", live),
            WebSocketRoute("/guarded", guarded_live),
        ],
        middleware=middleware,
        exception_handlers={AccessDenied: refuse},
    )


def backed(issuer: FakeIssuer, **terms: Any) -> Starlette:
    backend = BearerBackend(issuer.verifier(), **terms)
    return app(Middleware(StarlettesOwn, backend=backend, on_error=refuse))


def wrapped(issuer: FakeIssuer) -> Starlette:
    return app(Middleware(AuthMiddleware, verifier=issuer.verifier(), required=False))


@pytest.mark.parametrize("build", [backed, wrapped])
async def test_requires_works_behind_the_backend_and_behind_our_middleware(
    issuer: FakeIssuer, connect: Connect, build: Callable[..., Any]
) -> None:
    built = build(issuer)
    reader, other = issuer.mint("ann", scope="read"), issuer.mint("bob", scope="write")
    for path in ("/read", "/thread"):
        assert (await connect(built, path=path, token=reader).run()).status == 200
        assert (await connect(built, path=path, token=other).run()).status == 403
        assert (await connect(built, path=path).run()).status == 403
    assert (await connect(built, token=reader).run()).body == b'{"user":"ann","in":true}'
    assert (await connect(built).run()).body == b'{"user":"","in":false}'
    served = await connect(built, path="/guarded", type="websocket", token=reader).run()
    closed = await connect(built, path="/guarded", type="websocket", token=other).run()
    assert [served.sent[0]["type"], closed.sent[0]["type"]] == ["websocket.accept", "websocket.close"]


async def test_a_bad_token_gets_our_status_our_challenge_and_our_body(
    issuer: FakeIssuer, connect: Connect
) -> None:
    answer = await connect(backed(issuer), token=issuer.mint_expired()).run()
    assert answer.status == 401
    assert 'error="invalid_token", error_description="the token has expired: ' in answer.header(
        "www-authenticate"
    )
    assert b'"error":"token_expired"' in answer.body
    assert answer.header("content-length") == str(len(answer.body))
    missing = await connect(backed(issuer, required=True)).run()
    assert (missing.status, missing.header("www-authenticate")) == (401, 'Bearer realm="authkit"')


async def test_an_outage_is_503_with_a_time_to_come_back(issuer: FakeIssuer, connect: Connect) -> None:
    issuer.break_down()
    answer = await connect(backed(issuer), token=issuer.mint()).run()
    assert (answer.status, answer.header("www-authenticate")) == (503, None)
    assert int(answer.header("retry-after")) >= 1


async def test_a_guard_inside_an_endpoint_answers_as_the_middleware_does(
    issuer: FakeIssuer, connect: Connect
) -> None:
    denied = await connect(backed(issuer), path="/checked", token=issuer.mint("ann")).run()
    assert denied.status == 403
    assert 'error="insufficient_scope"' in denied.header("www-authenticate")
    allowed = await connect(backed(issuer), path="/checked", token=issuer.mint("ann", scope="read")).run()
    assert allowed.body == b'{"user":"ann"}'


async def test_the_backend_asks_the_records_and_so_does_the_guard_behind_it(
    issuer: FakeIssuer, connect: Connect
) -> None:
    class Records:
        async def enrich(self, user_id: str) -> Enrichment:
            return Enrichment(allowed=user_id != "eve", roles=("admin",) if user_id == "ann" else ())

    built = backed(issuer, enrichment=Records())
    for user, status in (("ann", 200), ("bob", 403), ("eve", 401)):
        assert (await connect(built, path="/admin", token=issuer.mint(user)).run()).status == status


async def test_websockets_are_refused_with_a_reason_behind_our_variant(
    issuer: FakeIssuer, connect: Connect
) -> None:
    built = app(Middleware(AuthenticationMiddleware, backend=BearerBackend(issuer.verifier())))
    at = {"path": "/live", "type": "websocket"}
    served = await connect(built, **at, token=issuer.mint("ann")).run()
    assert served.sent[1]["text"] == "ann"
    denied = await connect(built, **at, extensions=DENIAL, token="a.b.c").run()
    assert (denied.sent[0]["type"], denied.status) == ("websocket.http.response.start", 401)
    assert denied.header("www-authenticate").startswith("Bearer")
    closed = await connect(built, **at, token="a.b.c").run()
    assert closed.sent == [{"type": "websocket.close", "code": 1008, "reason": "invalid_token"}]
    issuer.break_down()
    lost = app(Middleware(AuthenticationMiddleware, backend=BearerBackend(issuer.verifier())))
    closed = await connect(lost, **at, token=issuer.mint()).run()
    assert closed.sent == [{"type": "websocket.close", "code": 1013, "reason": "keys_unavailable"}]
    assert (await connect(built, token="a.b.c").run()).status == 401


async def test_another_backends_refusals_stay_what_starlette_makes_of_them(connect: Connect) -> None:
    class Other(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            if conn.headers.get("x") == "bad":
                raise AuthenticationError("not like this")

    built = app(Middleware(AuthenticationMiddleware, backend=Other()))
    assert (await connect(built, headers=[(b"x", b"bad")]).run()).status == 400
    at = {"path": "/live", "type": "websocket"}
    closed = await connect(built, **at, headers=[(b"x", b"bad")]).run()
    assert closed.sent[0]["code"] == 1008
    assert (await connect(built, **at).run()).sent[1]["text"] == ""
    with pytest.raises(KeyError):
        refuse(Request({"type": "http", "headers": []}), KeyError())
