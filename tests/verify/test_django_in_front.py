"""Django behind other middlewares and path prefixes: only its own issuers and its own paths count."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from fakes.django_site import OURS, SERVERS, served

# isort: split
# REST framework reads the settings when it is imported.
import httpx
import pytest
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import authkit_verify
from authkit_verify import Enrichment, SyncVerifier, wsgi
from authkit_verify.django import principal_of, require
from authkit_verify.django.rest_framework import BearerAuthentication, permission
from authkit_verify.testing import FakeIssuer


@require()
def function(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.auth.claims.issuer)


@require()
async def coroutine(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.auth.claims.issuer)


class Framed(APIView):
    authentication_classes = [BearerAuthentication]
    permission_classes = [permission()]

    def get(self, request: Request) -> Response:
        return Response(request.auth.claims.issuer)


def plain(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("reached")


URLS = (path("function", function), path("coroutine", coroutine), path("framed", Framed.as_view()))


@pytest.fixture
def ours() -> FakeIssuer:
    return FakeIssuer("https://ours.test")


@pytest.fixture
def theirs() -> FakeIssuer:
    return FakeIssuer("https://theirs.test")


@pytest.fixture
def verifier(ours: FakeIssuer) -> Iterator[SyncVerifier]:
    with SyncVerifier(ours.accept(), http_client=ours.client) as made:
        yield made


@pytest.fixture(params=[[], [OURS]], ids=["without", "behind"])
def stack(request: pytest.FixtureRequest) -> list[str]:
    """The middlewares of the site: none, or the one of Django."""
    middlewares: list[str] = request.param
    return middlewares


@pytest.mark.parametrize("url", ["/function", "/coroutine", "/framed"])
def test_a_caller_of_another_issuer_in_front_is_not_one_of_the_settings(
    stack: list[str], verifier: SyncVerifier, ours: FakeIssuer, theirs: FakeIssuer, url: str
) -> None:
    with (
        SyncVerifier(theirs.accept(), http_client=theirs.client) as other,
        override_settings(ROOT_URLCONF=URLS, MIDDLEWARE=stack, AUTHKIT={"VERIFIER": verifier}),
    ):
        app = wsgi.AuthMiddleware(get_wsgi_application(), other, required=False)
        with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://x.test") as client:
            refused = client.get(url, headers=theirs.bearer("ann"))
            assert (refused.status_code, refused.json()["error"]) == (401, "bad_issuer")


@pytest.mark.parametrize("url", ["/function", "/coroutine", "/framed"])
def test_nor_is_a_caller_whom_an_asgi_middleware_admitted(
    stack: list[str], verifier: SyncVerifier, theirs: FakeIssuer, url: str
) -> None:
    async def answer() -> httpx.Response:
        async with theirs.verifier() as other:
            app: Any = authkit_verify.AuthMiddleware(get_asgi_application(), other, required=False)
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x.test") as client:
                return await client.get(url, headers=theirs.bearer("ann"))

    with override_settings(ROOT_URLCONF=URLS, MIDDLEWARE=stack, AUTHKIT={"VERIFIER": verifier}):
        refused = asyncio.run(answer())
    assert (refused.status_code, refused.json()["error"]) == (401, "bad_issuer")


class Banned:
    """Records in which every user is banned."""

    async def enrich(self, _user_id: str) -> Enrichment:
        return Enrichment(allowed=False)


@pytest.mark.parametrize("url", ["/function", "/coroutine", "/framed"])
def test_the_records_of_the_settings_are_asked_behind_a_middleware_that_asks_none(
    stack: list[str], verifier: SyncVerifier, ours: FakeIssuer, url: str
) -> None:
    settings = {"VERIFIER": verifier, "ENRICHMENT": Banned()}
    with override_settings(ROOT_URLCONF=URLS, MIDDLEWARE=stack, AUTHKIT=settings):
        app = wsgi.AuthMiddleware(get_wsgi_application(), verifier)
        with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://x.test") as client:
            refused = client.get(url, headers=ours.bearer("ann"))
            assert (refused.status_code, refused.json()["error"]) == (401, "user_disabled")


def caller(request: HttpRequest) -> HttpResponse:
    known = [principal_of(request), getattr(request, "auth", None), getattr(request, "user", None)]
    return HttpResponse(f"{[one.identity for one in known if one is not None]}")


@pytest.mark.parametrize("front", ["wsgi", "asgi"])
def test_a_caller_of_another_issuer_in_front_is_not_the_user_of_an_excluded_path(
    front: str, verifier: SyncVerifier, theirs: FakeIssuer
) -> None:
    async def answer() -> httpx.Response:
        async with theirs.verifier() as other:
            app: Any = authkit_verify.AuthMiddleware(get_asgi_application(), other)
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x.test") as client:
                return await client.get("/caller", headers=theirs.bearer("ann"))

    settings = {"VERIFIER": verifier, "EXCLUDE": ["/caller"], "USER": lambda known: known}
    with override_settings(ROOT_URLCONF=(path("caller", caller),), MIDDLEWARE=[OURS], AUTHKIT=settings):
        if front == "asgi":
            assert asyncio.run(answer()).text == "[]"
            return
        with SyncVerifier(theirs.accept(), http_client=theirs.client) as other:
            app = wsgi.AuthMiddleware(get_wsgi_application(), other)
            with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://x.test") as client:
                assert client.get("/caller", headers=theirs.bearer("ann")).text == "[]"


@pytest.mark.parametrize("server", SERVERS)
def test_excluded_paths_are_those_that_django_routes_on(
    server: str, verifier: SyncVerifier, ours: FakeIssuer
) -> None:
    urls = [path("secret", plain), path("docs/start", plain)]
    settings = {"VERIFIER": verifier, "EXCLUDE": ["/docs/*"]}
    with served(server, urls, settings, FORCE_SCRIPT_NAME="/docs") as client:
        prefix = "/docs" if server == "asgi" else ""  # a WSGI server has removed it
        assert client.get(f"{prefix}/secret").status_code == 401
        assert client.get(f"{prefix}/secret", headers=ours.bearer("ann")).text == "reached"
        assert client.get(f"{prefix}/docs/start").text == "reached"


@pytest.mark.parametrize("server", SERVERS)
def test_an_excluded_subtree_has_the_route_with_a_slash_and_not_the_one_without(
    server: str, verifier: SyncVerifier
) -> None:
    settings = {"VERIFIER": verifier, "EXCLUDE": ["/admin/*"]}
    with served(server, [path("admin/", plain), path("admin", plain)], settings) as client:
        assert (client.get("/admin/").text, client.get("/admin").status_code) == ("reached", 401)


@pytest.mark.parametrize("root", ["/docs/x//", "/docs/x/", "/docs/x", "/docs//"])
def test_no_script_name_of_a_client_leads_through_an_excluded_subtree(
    root: str, verifier: SyncVerifier
) -> None:
    # gunicorn takes it from a header, and leaves the rest of the path.
    settings = {"VERIFIER": verifier, "EXCLUDE": ["/docs/*"]}
    with override_settings(ROOT_URLCONF=(path("secret", plain),), MIDDLEWARE=[OURS], AUTHKIT=settings):
        transport = httpx.WSGITransport(app=get_wsgi_application(), script_name=root)
        with httpx.Client(transport=transport, base_url="http://x.test") as client:
            assert client.get("/secret").status_code == 401


@pytest.mark.parametrize(
    ("root", "url", "status"),
    [
        ("/secret/", "/secret", 401), ("/x//", "/x/docs/start", 401), ("/x/", "/x/docs/start", 401),
        ("/x", "/x/docs/start", 200), ("/x/", "/x//docs/start", 200),
    ],
)  # fmt: skip
def test_no_root_path_of_a_client_takes_a_view_for_an_excluded_path(
    root: str, url: str, status: int, verifier: SyncVerifier
) -> None:
    async def answer() -> httpx.Response:
        # Daphne takes it from a header. Under ASGI, Django cuts it off as it stands.
        app: Any = get_asgi_application()
        transport = httpx.ASGITransport(app=app, root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://x.test") as client:
            return await client.get(url)

    urls = tuple(path(view, plain) for view in ("secret", "docs/start", "x/docs/start"))
    settings = {"VERIFIER": verifier, "EXCLUDE": ["/", "/docs/*"]}
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=[OURS], AUTHKIT=settings):
        assert asyncio.run(answer()).status_code == status


@pytest.mark.parametrize("mark", ["_ninja_operation", "OPERATION_ENDPOINT_KEY", "_routablepage_routes"])
def test_a_guard_above_a_route_of_django_ninja_is_refused(mark: str) -> None:
    def routed(view: Any) -> Any:
        """Mark a view as the decorators of ninja, ninja-extra and Wagtail do, which register it."""
        setattr(view, mark, object())
        return view

    def orders(_request: HttpRequest) -> HttpResponse:
        return HttpResponse("reached")

    below = require()(orders)
    assert routed(below) is below
    with pytest.raises(TypeError, match="below the decorator of its route"):
        require()(routed(orders))


def test_a_guard_finds_the_request_that_a_controller_of_django_ninja_extra_is_given_by_name(
    ours: FakeIssuer, verifier: SyncVerifier
) -> None:
    class Controller:
        @require()
        def orders(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse(principal_of(request).identity)

    with override_settings(AUTHKIT={"VERIFIER": verifier}):
        anonymous, ann = RequestFactory().get("/"), RequestFactory().get("/", headers=ours.bearer("ann"))
        assert Controller().orders(request=anonymous).status_code == 401
        assert Controller().orders(request=ann).content == b"ann"
