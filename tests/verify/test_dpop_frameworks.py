# No "from __future__ import annotations": FastAPI resolves them in the globals, and these routes are local.

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Security, WebSocket
from litestar import Litestar, asgi
from litestar.middleware import DefineMiddleware
from litestar.types import Receive, Scope, Send
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from authkit_verify import AuthMiddleware, Challenge, DPoP, Principal, Verifier, require_role
from authkit_verify.config import AcceptConfig
from authkit_verify.fastapi import Bearer
from authkit_verify.starlette import AuthenticationMiddleware, BearerBackend
from authkit_verify.testing import FakeClient, FakeIssuer
from fakes.clock import FakeClock

Connect = Callable[..., Any]
ALGS = 'DPoP algs="ES256 EdDSA"'


@pytest.fixture
def client(clock: FakeClock) -> FakeClient:
    return FakeClient(clock=clock)


def announcing(issuer: FakeIssuer, **settings: Any) -> Verifier:
    config = AcceptConfig(issuers=[issuer.accept()], algorithms=["ES256"])
    dpop = DPoP(algorithms=["ES256", "EdDSA"], **settings)
    return Verifier(config, issuer.client, issuer.clock, dpop=dpop)


def sent(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return [(b"host", b"api.test"), *pairs]


@pytest.mark.parametrize("behind", [False, True])
async def test_fastapi_admits_a_bound_token_once_for_several_dependencies(
    issuer: FakeIssuer, client: FakeClient, connect: Connect, *, behind: bool
) -> None:
    verifier = announcing(issuer)
    bearer = Bearer(verifier)
    app = FastAPI()

    @app.get("/orders", dependencies=[Security(bearer.where(require_role("staff")))])
    async def orders(caller: Annotated[Principal, Security(bearer, scopes=["read"])]) -> str:
        return caller.identity

    @app.websocket("/live")
    async def live(socket: WebSocket, caller: Annotated[Principal, Security(bearer)]) -> None:
        await socket.accept()
        await socket.send_text(caller.identity)
        await socket.close()

    wrapped = AuthMiddleware(app, verifier) if behind else app
    token = issuer.mint("ann", cnf=client.cnf, scope="read", roles=["staff"])
    headers = sent(client.headers(token, "GET", "http://api.test/orders"))
    accepted = await connect(wrapped, path="/orders", query_string=b"page=2", headers=headers).run()
    assert (accepted.status, accepted.body) == (200, b'"ann"')
    refused = await connect(wrapped, path="/orders", headers=headers).run()
    assert (refused.status, b"used before" in refused.body) == (401, True)
    assert refused.header("www-authenticate").startswith('DPoP realm="authkit", error="invalid_dpop_proof"')
    assert (await connect(wrapped, path="/orders").run()).header("www-authenticate").endswith(ALGS)
    headers = sent(client.headers(token, "GET", "ws://api.test/live"))
    served = await connect(wrapped, path="/live", type="websocket", scheme="ws", headers=headers).run()
    assert served.sent[1]["text"] == "ann"


async def test_fastapi_passes_the_nonce_of_a_refusal_on(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    bearer = Bearer(announcing(issuer, require_nonce=True))
    app = FastAPI()

    @app.get("/")
    async def root(caller: Annotated[Principal, Security(bearer)]) -> str:
        return caller.identity

    token = issuer.mint("ann", cnf=client.cnf)
    headers = sent(client.headers(token, "GET", "http://api.test/"))
    nonce = (await connect(app, headers=headers).run()).header("dpop-nonce")
    headers = sent(client.headers(token, "GET", "http://api.test/", nonce=nonce))
    assert (await connect(app, headers=headers).run()).body == b'"ann"'


async def test_starlette_admits_bound_tokens_also_in_a_mounted_application(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.user.display_name)

    verifier = issuer.verifier()
    backend = BearerBackend(verifier, required=True)
    inner = Starlette(
        routes=[Route("/a b", page)], middleware=[Middleware(AuthMiddleware, verifier=verifier)]
    )
    routes = [Mount("/v1", routes=[Route("/a b", page)])]
    for app in (
        Starlette(routes=[Mount("/v1", app=inner)]),
        Starlette(routes=routes, middleware=[Middleware(AuthenticationMiddleware, backend=backend)]),
    ):
        token, at = issuer.mint("ann", cnf=client.cnf), {"path": "/v1/a b", "raw_path": b"/v1/a%20b"}
        headers = sent(client.headers(token, "GET", "http://api.test/v1/a%20b"))
        assert (await connect(app, headers=headers, **at).run()).body == b"ann"
        headers = sent(client.headers(token, "GET", "http://api.test/a%20b"))
        refused = await connect(app, headers=headers, **at).run()
        assert refused.status == 401
        assert refused.header("www-authenticate").startswith("DPoP ")


async def test_a_challenge_of_ones_own_keeps_its_algorithms(issuer: FakeIssuer, connect: Connect) -> None:
    bearer = Bearer(announcing(issuer), challenge=Challenge(realm="shop", dpop_algorithms=("ES256",)))
    app = FastAPI(dependencies=[Security(bearer)])

    @app.get("/")
    async def root() -> None: ...

    refused = await connect(app).run()
    assert refused.header("www-authenticate") == 'Bearer realm="shop", DPoP algs="ES256"'


async def test_the_url_of_a_proof_has_the_mount_of_litestar(
    issuer: FakeIssuer, client: FakeClient, connect: Connect
) -> None:
    @asgi("/part", is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("reached")(scope, receive, send)  # type: ignore[arg-type]

    protection: Any = DefineMiddleware(AuthMiddleware, verifier=announcing(issuer))  # type: ignore[arg-type]
    app = Litestar([mounted], middleware=[protection], openapi_config=None, logging_config=None)
    token = issuer.mint("ann", cnf=client.cnf)
    for url, status in (("http://api.test/part/x", 200), ("http://api.test/x/", 401)):
        place = {"path": "/part/x", "raw_path": b"/part/x", "scheme": "http"}
        headers = sent(client.headers(token, "GET", url))
        assert (await connect(app, **place, headers=headers).run()).status == status
