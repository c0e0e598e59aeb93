"""Flask, under its own server: guards on views, and what would leave a view open."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import flask
import flask.views
import httpx
import pytest
from werkzeug.serving import make_server
from werkzeug.test import Client

from authkit_verify import AccessDenied, SyncVerifier, require_role, require_scope
from authkit_verify.testing import FakeIssuer
from authkit_verify.wsgi import AuthMiddleware
from authkit_verify.wsgi.flask import Auth


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture
def verifier(issuer: FakeIssuer) -> Iterator[SyncVerifier]:
    with SyncVerifier(issuer.accept(), http_client=issuer.client) as made:
        yield made


@pytest.fixture
def shop(verifier: SyncVerifier) -> tuple[flask.Flask, Auth]:
    app = flask.Flask("shop")
    auth = Auth(app, verifier, required=False)

    @app.get("/orders")
    @auth.require(require_scope("orders:read"))
    def orders() -> str:
        assert auth.caller is not None
        return auth.caller.identity

    @app.get("/me")
    @auth.require()
    def me() -> str:
        return "me"

    @app.get("/deep")
    def deep() -> str:
        raise AccessDenied("forbidden", "not you")

    @app.get("/public")
    def public() -> str:
        return "anonymous" if auth.caller is None else auth.caller.identity

    return app, auth


def test_flask_views_are_guarded_over_sockets(shop: tuple[flask.Flask, Auth], issuer: FakeIssuer) -> None:
    server = make_server("127.0.0.1", 0, shop[0], threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
            reader, other = issuer.bearer("ann", scope="orders:read"), issuer.bearer("ben")
            assert client.get("/orders", headers=reader).text == "ann"
            refused = client.get("/orders", headers=other)
            assert (refused.status_code, 'scope="orders:read"' in refused.headers["www-authenticate"]) == (
                403,
                True,
            )
            assert client.get("/orders").status_code == 401
            assert client.get("/me", headers=other).text == "me"
            assert client.get("/me").status_code == 401
            assert client.get("/deep", headers=other).json()["error"] == "forbidden"
            assert client.get("/public").text == "anonymous"
            assert client.get("/public", headers=issuer.bearer(aud="x")).status_code == 401
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def overriding(app: Any) -> Any:
    """The recipe of Flask's documentation for clients that send no DELETE."""

    def called(environ: Any, start_response: Any) -> Any:
        environ["REQUEST_METHOD"] = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", environ["REQUEST_METHOD"])
        return app(environ, start_response)

    return called


def test_no_preflight_becomes_another_method_behind_the_middleware(verifier: SyncVerifier) -> None:
    app = flask.Flask("overriding")
    app.wsgi_app = overriding(app.wsgi_app)  # type: ignore[method-assign]
    Auth(app, verifier)

    @app.delete("/order")
    def order() -> str:  # pyright: ignore[reportUnusedFunction]
        return "deleted"

    preflight = {"origin": "https://x.test", "access-control-request-method": "GET"}
    client = app.test_client()
    assert client.options("/order", headers=preflight).status_code == 200
    overridden = client.options("/order", headers=preflight | {"x-http-method-override": "DELETE"})
    assert (overridden.status_code, b"deleted" in overridden.data) == (401, False)


def test_a_guard_above_the_route_of_flask_is_refused(shop: tuple[flask.Flask, Auth]) -> None:
    app, auth = shop
    with pytest.raises(TypeError, match="below the decorator of its route"):

        @auth.require(require_role("staff"))
        @app.get("/above")
        def above() -> str:
            return "reached"


def test_a_guard_above_a_class_of_views_is_refused(shop: tuple[flask.Flask, Auth]) -> None:
    app, auth = shop

    def routed(kind: type[flask.views.MethodView]) -> type[flask.views.MethodView]:
        """The decorator of flask-smorest, flask-restx and flask-restful: registers a class and returns it."""
        app.add_url_rule("/class", view_func=kind.as_view("class"))
        return kind

    class Orders(flask.views.MethodView):
        def get(self) -> str:
            return "reached"

    with pytest.raises(TypeError, match=r"write in the class decorators = "):
        auth.require(require_role("staff"))(routed(Orders))
    guarded = type("Guarded", (Orders,), {"decorators": [auth.require(require_role("staff"))]})
    app.add_url_rule("/guarded", view_func=guarded.as_view("guarded"))
    assert app.test_client().get("/guarded").status_code == 401


def logged(view: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(view)
    def called(*arguments: Any) -> str:
        return view(*arguments)

    return called


def test_another_decorator_between_guard_and_route_hides_nothing(shop: tuple[flask.Flask, Auth]) -> None:
    app, auth = shop
    with pytest.raises(TypeError, match="below the decorator of its route"):

        @auth.require()
        @logged
        @app.get("/above")
        def above() -> str:
            return "reached"


@pytest.mark.parametrize("between", [logged, lambda view: view])
def test_a_guard_above_the_route_of_a_blueprint_leaves_no_view_open(
    shop: tuple[flask.Flask, Auth], issuer: FakeIssuer, between: Any
) -> None:
    app, auth = shop
    orders = flask.Blueprint("blue", "blue", url_prefix="/blue")

    @auth.require(require_role("staff"))
    @between
    @orders.get("/above")
    def above() -> str:
        return "reached"

    @orders.get("/below")
    @between
    @auth.require(require_role("staff"))
    def below() -> str:
        return "reached"

    app.register_blueprint(orders)
    client, staff = app.test_client(), issuer.bearer("ann", roles=["staff"])
    for headers in ({}, staff):
        assert client.get("/blue/above", headers=headers).status_code == 500
        assert client.options("/blue/above", headers=headers).status_code == 500
    assert client.get("/blue/below").status_code == 401
    assert client.get("/blue/below", headers=staff).text == "reached"
    assert client.get("/public").text == "anonymous"
    assert client.get("/nowhere").status_code == 404


def test_a_guard_above_a_route_that_registers_a_wrapper_leaves_no_view_open(
    shop: tuple[flask.Flask, Auth],
) -> None:
    app, auth = shop
    orders = flask.Blueprint("blue", "blue", url_prefix="/blue")

    def routed(routes: Any, path: str) -> Any:
        """The decorators of flask-openapi3 and flask-rebar: they register a wrapper, and return the view."""

        def register(view: Any) -> Any:
            routes.add_url_rule(path, view_func=logged(view))
            return view

        return register

    def reached() -> str:
        return "reached"

    with pytest.raises(TypeError, match="below the decorator of its route"):
        auth.require()(routed(app, "/above")(reached))

    class Orders:
        @auth.require()
        def all(self) -> str:
            return "reached"

        def above(self) -> str:
            return "reached"

    auth.require()(routed(orders, "/above")(Orders().above))
    routed(orders, "/all")(Orders().all)  # flask-classful registers a wrapper of each method
    app.register_blueprint(orders)
    client = app.test_client()
    assert client.get("/blue/above").status_code == 500
    assert client.get("/blue/all").status_code == 401


def test_a_guard_above_the_hook_of_a_blueprint_leaves_no_view_open(shop: tuple[flask.Flask, Auth]) -> None:
    app, auth = shop
    orders = flask.Blueprint("blue", "blue", url_prefix="/blue")

    @auth.require(require_role("staff"))
    @orders.before_request
    def staff_alone() -> None:
        return None

    @orders.get("/orders")
    def view() -> str:
        return "reached"

    app.register_blueprint(orders)
    assert app.test_client().get("/blue/orders").status_code == 500


def test_a_guard_put_on_at_each_request_keeps_nothing_of_it(
    shop: tuple[flask.Flask, Auth], issuer: FakeIssuer
) -> None:
    app, auth = shop
    answered: list[weakref.ref[Any]] = []

    class Orders(flask.views.View):
        """As a resource of flask-restful and flask-restx dispatches, which they make for each request."""

        method_decorators = (auth.require(),)

        def get(self) -> str:
            return "reached"

        def dispatch_request(self) -> str:
            answered.append(weakref.ref(self))
            view = self.get
            for decorator in self.method_decorators:
                view = decorator(view)
            return view()

    app.add_url_rule("/resource", view_func=Orders.as_view("resource"))
    client = app.test_client()
    assert client.get("/resource").status_code == 401
    assert client.get("/resource", headers=issuer.bearer("ann")).text == "reached"
    gc.collect()
    assert [resource() for resource in answered] == [None, None]


def test_what_is_no_guard_is_refused(shop: tuple[flask.Flask, Auth]) -> None:
    def view() -> str:
        return "reached"

    for wrong in ("orders:read", require_role, view):
        with pytest.raises(TypeError, match="takes guards"):
            shop[1].require(wrong)  # type: ignore[arg-type]


def test_no_script_name_of_a_client_cuts_a_route_out_of_an_excluded_path(verifier: SyncVerifier) -> None:
    app = flask.Flask("shop")
    Auth(app, verifier, exclude=["/public-orders"])
    app.add_url_rule("/orders", view_func=lambda: "reached")
    # gunicorn takes it from a header, and leaves the rest of the path.
    cut = {"SCRIPT_NAME": "/public-", "PATH_INFO": "orders"}
    assert app.test_client().get("/public-orders", environ_overrides=cut).status_code == 401


def lenient(environ: Any, start_response: Any) -> Any:
    """A WSGI application that reads its path as Bottle does."""
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "ignore")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the root" if path == "/docs/" else b"below"]


def test_no_broken_bytes_reach_the_root_of_an_excluded_subtree(verifier: SyncVerifier) -> None:
    client = Client(AuthMiddleware(lenient, verifier, exclude=["/docs/*"]))
    assert client.get("/docs/é").data == b"below"
    for path in ("/docs/", "/docs/%ff", "/docs/%ed%a0%80", "/docs/%25ff"):
        assert client.get(path).status_code == 401
