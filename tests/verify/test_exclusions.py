from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from litestar import Litestar, asgi, get
from litestar import Request as LitestarRequest
from litestar.middleware import DefineMiddleware
from litestar.types import Receive, Scope, Send
from quart import Quart
from quart import request as quart_request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from authkit_verify import AuthMiddleware, Verifier
from authkit_verify._asgi.exclusions import PathSet, is_preflight
from authkit_verify._asgi.types import route_path
from authkit_verify.testing import FakeIssuer


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/a", "", "/a"), ("/api/a", "/api", "/a"), ("/api", "/api", "/"), ("/apiary", "/api", "/apiary"),
        ("/a", "/api", "/a"), ("/api/", "/api", "/"), ("/", "", "/"), ("/api/a", "/api/", "/api/a"),
        ("/api//a", "/api/", "/a"), ("/a", "/", "/a"),
    ],
)  # fmt: skip
def test_the_path_below_the_root_is_what_counts(path: str, root: str, expected: str) -> None:
    assert route_path({"path": path, "root_path": root}) == expected


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/health", True), ("/health/", False), ("/healthz", False), ("/HEALTH", False), ("/docs/a", True),
        ("/docs/a/b", True),
        ("/docs", False), ("/docsx", False), ("/docs/../admin", False), ("/docs/./x", False),
        ("/docs/..\\admin", False), ("//health", False), ("/", False), ("/docs/", False), ("/docs//", False),
        ("/docs/a/", True), ("/docs/%2e%2e/admin", False), ("/docs/..%2fadmin", False), ("/docs/100%", True),
        ("/docs/\n", False), ("/docs/\n/", False), ("/docs/a\n", False),
        ("/docs/a\r/b", False), ("/docs/%00", False), ("/docs/a\x7f", False), ("/docs/a b", True),
        ("/docs/\ufffd", False), ("/docs/.\ufffd./admin", False), ("/docs/%ff", False), ("/docs/é", True),
    ],
)  # fmt: skip
def test_paths_are_matched_in_full(path: str, *, inside: bool) -> None:
    assert ({"path": path} in PathSet(["/health", "/docs/*"])) is inside


def test_a_subtree_holds_its_root_with_a_slash_where_that_is_another_route_or_listed() -> None:
    assert {"path": "/docs/"} in PathSet(["/docs", "/docs/*"])
    assert {"path": "/docs/"} in PathSet(["/docs/", "/docs/*"])
    assert {"path": "/docs/"} in PathSet(["/docs/*"], slash_counts=True)
    assert {"path": "/"} in PathSet(["/*"])
    assert {"path": "/docs"} not in PathSet(["/docs/*"], slash_counts=True)


@pytest.mark.parametrize(
    ("path", "root", "inside"),
    [
        ("/docs/api/admin", "/api", False), ("/docs/x/apis", "/api", False), ("/docs/api/a", "/api/", False),
        ("/docs/x", "/api", True), ("/api/docs/api/x", "/api", True), ("/docs/x", "/", True),
        ("/docs//admin", "//", False), ("/docs/x/admin", "/docs/x/", False), ("/docs/d/admin", "/d//", False),
        ("/docs/x", "//", False), ("/docs/x", "/a//b", False), ("/docs/x", "api", False),
        ("/docs/x", "/a/..", False), ("/docs/x", "/a\n", False), ("/docs/x", "/v1/", True),
    ],
)  # fmt: skip
def test_a_subtree_holds_no_path_that_a_framework_cuts_at_its_root(
    path: str, root: str, *, inside: bool
) -> None:
    assert ({"path": path, "root_path": root} in PathSet(["/docs/*"])) is inside


@pytest.mark.parametrize(
    ("raw", "path", "inside"),
    [
        ("/%64ocs/x", "/docs/x", False), ("/docs%2Fx", "/docs/x", False), ("/docs%2fx?y", "/docs/x", False),
        ("/%68ealth", "/health", False), ("/docs/%2Fx", "/docs//x", True), ("/docs/%61-b", "/docs/a-b", True),
        ("/docs/%C3%A9", "/docs/é", True), ("/%C3%A9/x", "/é/x", True), ("/docs/%2564", "/docs/%64", True),
        ("/v1/%64ocs/x", "/docs/x", True),  # a middleware in front has rewritten the path
        ("/%64ocs/é", "/docs/é", False), ("/docs%2Fé/x", "/docs/é/x", False),  # as Granian tells them
        ("/%64ocs/é", "/docs/Ã©", False), ("/docs/é%20", "/docs/é ", True), ("/é/%20", "/é/ ", True),
        ("/%64ocs/%C3%A9", "/docs/Ã©", False), ("/%64ocs/./x", "/docs/x", False),  # gunicorn's uwsgi protocol
        ("/docs/%C3%A9", "/docs/Ã©", True), ("/docs/./%20", "/docs/ ", False), ("/docs/%20", "/docs/ ", True),
        ("/v1/%64ocs/./x", "/docs/x", True),
    ],
)  # fmt: skip
def test_a_path_is_in_the_set_as_it_is_spelled_too(raw: str, path: str, *, inside: bool) -> None:
    # Sanic and BlackSheep route on the encoded path: "/%64ocs/x" is their route "/<name>/x".
    scope = {"path": path, "raw_path": raw.encode()}
    assert (scope in PathSet(["/health", "/docs/*", "/é/*"])) is inside


@pytest.mark.parametrize(("path", "root"), [("/docs/api/admin", "/api"), ("/docs//admin", "//")])
async def test_no_route_of_litestar_is_reached_through_a_subtree(
    issuer: FakeIssuer, connect: Callable[..., Any], path: str, root: str
) -> None:
    @get("/admin")
    async def admin() -> str:
        return "reached"

    routes = Litestar([admin], openapi_config=None, logging_config=None)  # it would set the root logger
    app = AuthMiddleware(routes, issuer.verifier(), exclude=["/docs/*"])  # type: ignore[arg-type]
    answer = await connect(app, path=path, root_path=root, headers=[(b"host", b"a.test")]).run()
    assert (answer.status, b"reached" in answer.body) == (401, False)


@pytest.mark.parametrize(
    ("path", "root", "status"),
    [
        ("/admin", "", 401), ("/admin/", "", 401), ("/admin/docs/x", "", 401),
        ("/docs/api/admin", "/api", 401), ("/", "", 200), ("/docs/x", "", 401),
    ],
)  # fmt: skip
async def test_a_path_inside_a_mount_of_litestar_is_no_path_of_the_application(
    issuer: FakeIssuer, connect: Callable[..., Any], path: str, root: str, status: int
) -> None:
    @asgi(["/admin", "/docs"], is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("reached")(scope, receive, send)  # type: ignore[arg-type]

    @get("/")
    async def start() -> str:
        return "start"

    protection: Any = DefineMiddleware(AuthMiddleware, verifier=issuer.verifier(), exclude=["/", "/docs/*"])  # type: ignore[arg-type]
    app = Litestar([mounted, start], middleware=[protection], openapi_config=None, logging_config=None)
    scope = {"path": path, "raw_path": path.encode(), "root_path": root, "headers": [(b"host", b"a.test")]}
    assert (await connect(app, **scope).run()).status == status


@pytest.mark.parametrize(
    ("path", "status"), [("/docs/orders", 401), ("/docs/docs/x", 200), ("/api/docs/x", 401)]
)
async def test_a_mount_of_litestar_opens_no_path_of_an_application_with_its_own_middleware(
    issuer: FakeIssuer, connect: Callable[..., Any], path: str, status: int
) -> None:
    async def reached(request: Request) -> Response:
        return Response(request.url.path)

    routes = Starlette(routes=[Route("/{path:path}", reached)])
    protected: Any = AuthMiddleware(routes, issuer.verifier(), exclude=["/docs/*"])

    @asgi(["/docs", "/api"], is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await protected(scope, receive, send)

    app = Litestar([mounted], openapi_config=None, logging_config=None)
    place = {"path": path, "raw_path": path.encode(), "headers": [(b"host", b"a.test")], "scheme": "http"}
    assert (await connect(app, **place).run()).status == status


async def test_no_root_of_a_client_takes_a_route_of_starlette_for_an_excluded_path(
    issuer: FakeIssuer, connect: Callable[..., Any]
) -> None:
    async def reached(_request: Request) -> Response:
        return Response("reached")

    routes = Starlette(routes=[Route("/admin/health", reached)])
    app = AuthMiddleware(routes, issuer.verifier(), exclude=["/health"])
    # Daphne takes it from a header: Starlette cuts no path behind such a root.
    answer = await connect(app, path="/admin/health", root_path="/admin/").run()
    assert (answer.status, b"reached" in answer.body) == (401, False)


async def test_no_line_feed_reaches_the_root_of_an_excluded_subtree_of_starlette(
    issuer: FakeIssuer, connect: Callable[..., Any]
) -> None:
    async def reached(request: Request) -> Response:
        return Response(request.scope["route"].path)

    routes = Starlette(routes=[Route("/docs/", reached), Route("/docs/{name}", reached)])
    app = AuthMiddleware(routes, issuer.verifier(), exclude=["/docs/*"])
    # The pattern of the route ends with "$", which holds before a line feed at the end too: /docs/%0A
    assert (await connect(app, path="/docs/\n", raw_path=b"/docs/%0A").run()).status == 401
    assert (await connect(app, path="/docs/a").run()).body == b"/docs/{name}"


_OPEN = ["/share/*", "/hooks/orders"]


def _litestar(verifier: Verifier) -> Any:
    return AuthMiddleware(_litestar_routes(), verifier, exclude=_OPEN)


def _inside_litestar(verifier: Verifier) -> Any:
    return _litestar_routes(DefineMiddleware(AuthMiddleware, verifier=verifier, exclude=_OPEN))  # type: ignore[arg-type]


def _litestar_routes(*middleware: Any) -> Any:
    @get(["/share", "/orders", "/share/{name:str}", "/hooks/orders", "/x/hooks/orders"])
    async def reached(request: LitestarRequest[Any, Any, Any]) -> str:
        return str(request.scope["path_template"])

    return Litestar([reached], middleware=middleware, openapi_config=None, logging_config=None)


def _quart(verifier: Verifier) -> Any:
    app = Quart("app")
    app.url_map.strict_slashes = False
    for route in ("/share", "/orders", "/share/<name>", "/hooks/orders", "/x/hooks/orders"):
        app.add_url_rule(route, route, lambda **_: quart_request.url_rule.rule)  # type: ignore[union-attr]
    return AuthMiddleware(app, verifier, exclude=_OPEN)


def _starlette(verifier: Verifier) -> Any:
    async def reached(request: Request) -> Response:
        return Response(request.scope["route"].path)

    routes = ("/share", "/orders", "/share/{name}", "/hooks/orders", "/x/hooks/orders")
    app = Starlette(routes=[Route(route, reached) for route in routes])
    return AuthMiddleware(app, verifier, exclude=_OPEN)


@pytest.mark.parametrize("framework", [_litestar, _inside_litestar, _quart, _starlette])
async def test_no_spelling_of_root_and_path_reaches_a_route_that_is_not_excluded(
    issuer: FakeIssuer, connect: Callable[..., Any], framework: Callable[[Verifier], Any]
) -> None:
    app = framework(issuer.verifier())
    ends = ["", "/", "//", "/orders", "/share", "/../orders", "/x", "/hooks/orders"]
    starts = ["/share", "/orders", "/hooks", "/x", "/x/x", ""]
    paths = [f"{start}{end}" for start in starts for end in ends]
    roots = ["", "/", "//", "/share", "/share/", "/hooks", "/hooks/", "hooks", "/x", "/x/", "s", "/hook"]
    reached = set()
    for path, root in product(filter(None, paths), roots):
        place = {"path": path, "raw_path": path.encode(), "root_path": root, "scheme": "http"}
        answer = await connect(app, **place, headers=[(b"host", b"a.test")], http_version="1.1").run()
        if answer.status == 200:
            reached.add(answer.body.decode())
    assert {one.partition("{")[0].partition("<")[0] for one in reached} == {"/share/", "/hooks/orders"}


@pytest.mark.parametrize("patterns", ["/health", ["health"], [""], ["/a*"], ["/*/b"], ["/a/**"]])
def test_a_pattern_that_would_surprise_is_refused(patterns: Any) -> None:
    with pytest.raises(ValueError):
        PathSet(patterns)


def test_only_a_real_preflight_is_one() -> None:
    origin, method = (b"origin", b"https://a.test"), (b"access-control-request-method", b"GET")
    assert is_preflight({"method": "OPTIONS", "headers": [origin, method]})
    assert not is_preflight({"method": "OPTIONS", "headers": [origin]})
    assert not is_preflight({"method": "OPTIONS", "headers": []})
    assert not is_preflight({"method": "GET", "headers": [origin, method]})
    names = (b"x-http-method-override", b"x-http-method", b"x-method-override")
    for name in (*names, *(name.replace(b"-", b"_") for name in names)):  # alike to WSGI further in
        assert not is_preflight({"method": "OPTIONS", "headers": [origin, method, (name, b"DELETE")]})
