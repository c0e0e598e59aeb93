"""A guard protects or refuses to be built: what wraps an endpoint would protect nothing."""

# No "from __future__ import annotations": FastAPI resolves them in the globals, and these routes are local.

import functools
import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request, Security, WebSocket
from litestar import Litestar, get
from quart import Quart
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Router

from authkit_verify import (
    AuthMiddleware,
    Guard,
    Principal,
    fresh_keys,
    require_admin,
    require_entitlement,
    require_login,
    require_org_role,
    require_permission,
    require_recent_login,
    require_role,
    require_scope,
)
from authkit_verify.fastapi import Bearer
from authkit_verify.testing import FakeIssuer

Connect = Callable[..., Any]


async def bare(scope: Any, receive: Any, send: Any) -> None: ...


class Application:
    async def __call__(self, _scope: Any, _receive: Any, _send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any, *, debug: bool = False) -> None: ...


class Instrumented:
    async def __call__(self, *arguments: Any) -> None: ...


@functools.wraps(bare)
async def decorated(*arguments: Any) -> None: ...


class Consumer:
    def __init__(self, *_arguments: Any) -> None: ...


async def as_asgi(scope: Any, receive: Any, send: Any) -> None: ...


functools.update_wrapper(as_asgi, Consumer, updated=())  # as that of a consumer of Channels


async def with_more(prefix: str, scope: Any, receive: Any, send: Any) -> None: ...


APPLICATIONS = [
    bare, decorated, as_asgi, Application(), Application().method, Instrumented(),
    functools.partial(with_more, "/x"), Starlette(), Router(), FastAPI(), Litestar(logging_config=None),
    Quart("app"), HTTPEndpoint, require_login()(bare), functools.partial(bare),
    lambda scope, receive, send: None,
]  # fmt: skip


def name_of(one: Any) -> str:
    return getattr(one, "__name__", type(one).__name__)


@pytest.mark.parametrize("application", APPLICATIONS, ids=name_of)
def test_every_asgi_application_can_be_wrapped(application: Any) -> None:
    assert callable(require_role("staff")(application))
    assert callable(AuthMiddleware(application, FakeIssuer().verifier()))


async def without_parameters() -> None: ...


async def with_a_request(request: Request) -> None: ...


async def with_three(a: str, b: str, c: str) -> None: ...


async def with_defaults(scope: str = "", receive: str = "", send: str = "", *, needed: int) -> None: ...


async def hidden(*arguments: Any, **named: Any) -> None: ...


class View:
    async def __call__(self, request: Request) -> None: ...


@get("/")
async def litestar_handler() -> None: ...


ENDPOINTS = [
    without_parameters, with_a_request, with_three, with_defaults, hidden, View(), View().__call__, None,
    "app", litestar_handler, lambda request: None,
]  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=name_of)
def test_what_is_no_asgi_application_is_refused_and_says_what_to_write(endpoint: Any) -> None:
    with pytest.raises(TypeError, match=r"a guard wraps an ASGI application.*Depends\(guard\).*check"):
        require_role("staff")(endpoint)
    with pytest.raises(TypeError, match="AuthMiddleware wraps an ASGI application"):
        AuthMiddleware(endpoint, FakeIssuer().verifier())


@pytest.mark.parametrize("framework", ["FastAPI", "Quart", "Starlette", "Litestar"])
@pytest.mark.parametrize("above", [True, False], ids=["above", "below"])
def test_a_guard_beside_the_decorator_of_a_route_never_leaves_it_open(framework: str, *, above: bool) -> None:
    def starlette(function: Any) -> Any:
        Router().add_route("/x", function)
        return function

    route: Any = {
        "FastAPI": FastAPI().get("/x"), "Quart": Quart("app").route("/x"),
        "Starlette": starlette, "Litestar": get("/x"),
    }[framework]  # fmt: skip
    guard = require_role("staff")

    async def endpoint() -> str:
        return "reached"

    def build() -> None:
        if above:
            guard(route(endpoint))
        else:
            route(guard(endpoint))

    with pytest.raises(TypeError, match="a guard wraps an ASGI application"):
        build()


@pytest.fixture(params=["behind the middleware", "after a Bearer"])
def app(request: pytest.FixtureRequest, issuer: FakeIssuer) -> Any:
    """An application whose routes depend on a guard."""
    verifier = issuer.verifier()
    alone = request.param == "after a Bearer"
    app = FastAPI(dependencies=[Depends(Bearer(verifier, required=False))] if alone else [])

    @app.get("/staff", dependencies=[Depends(require_role("staff"))])
    def staff() -> str:
        return "reached"

    @app.get("/caller")
    async def caller(found: Annotated[Principal, Depends(require_login())]) -> str:
        return found.identity

    @app.websocket("/live")
    async def live(websocket: WebSocket, found: Annotated[Principal, Depends(require_role("staff"))]) -> None:
        await websocket.accept()
        await websocket.close(reason=found.identity)

    return app if alone else AuthMiddleware(app, verifier, required=False)


async def test_a_guard_is_a_dependency_of_fastapi(issuer: FakeIssuer, connect: Connect, app: Any) -> None:
    for path, roles, status in (
        ("/staff", ["staff"], 200), ("/staff", ["other"], 403), ("/caller", [], 200)
    ):  # fmt: skip
        token = issuer.mint("ann", roles=roles)
        assert (await connect(app, token=token, path=path).run()).status == status
    for path in ("/staff", "/caller"):
        refused = await connect(app, path=path).run()
        assert refused.status == 401
        assert refused.header("www-authenticate").startswith("Bearer ")
    assert (await connect(app, type="websocket", path="/live").run()).sent[0]["type"] == "websocket.close"
    token = issuer.mint("ann", roles=["staff"])
    live = await connect(app, type="websocket", path="/live", token=token).run()
    assert [message["type"] for message in live.sent] == ["websocket.accept", "websocket.close"]


async def test_a_guard_without_anything_that_verifies_says_so(issuer: FakeIssuer, connect: Connect) -> None:
    app = FastAPI()

    @app.get("/", dependencies=[Depends(require_login())])
    async def route() -> str:
        return "reached"

    with pytest.raises(RuntimeError, match="add AuthMiddleware, or list a Bearer before it"):
        await connect(app, token=issuer.mint("ann")).run()


MAKERS = [
    fresh_keys, require_admin, require_entitlement, require_login, require_org_role, require_permission,
    require_recent_login, require_role, require_scope,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("dependency", [Depends, Security])
def test_a_dependency_that_only_makes_a_guard_is_refused(make: Any, dependency: Any) -> None:
    app = FastAPI()
    with pytest.raises(TypeError, match=rf"write Depends\({make.__name__}\(\.\.\.\)\)"):
        app.get("/", dependencies=[dependency(make)])(bare)
    with pytest.raises(TypeError, match=make.__name__):

        @app.get("/")
        async def route(caller: Annotated[Principal, dependency(make)]) -> str:
            return "reached"

    assert "/" not in [getattr(one, "path", None) for one in app.routes]
    assert (make.__name__ in repr(make), bool(make.__doc__)) == (True, True)


def test_a_function_that_makes_guards_has_its_own_signature_where_fastapi_is_not_used() -> None:
    shown = "import inspect, authkit_verify as a; print(inspect.signature(a.require_admin))"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("(*, role: 'str' = 'admin')")


def test_a_guard_shows_its_own_signature_to_everything_but_fastapi() -> None:
    assert list(inspect.signature(Guard).parameters) == ["condition", "scopes", "needs"]
