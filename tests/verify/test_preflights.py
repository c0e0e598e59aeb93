"""CORS preflights pass without a token, and an application that answers every method alike stays closed."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import View
from django.views.generic import RedirectView
from starlette.middleware.cors import CORSMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from authkit_verify import AuthMiddleware, SyncVerifier, require_login, wsgi
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock
from fakes.django_site import OURS, SERVERS, served

Connect = Callable[..., Any]

ASKED = {"origin": "https://x.test", "access-control-request-method": "GET"}
HEADERS = [(name.encode(), value.encode()) for name, value in ASKED.items()]
SECRET = b"the salaries"


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    return FakeIssuer(clock=clock)


@pytest.fixture
def verifier(issuer: FakeIssuer, clock: FakeClock) -> Iterator[SyncVerifier]:
    with SyncVerifier(issuer.accept(), http_client=issuer.client, clock=clock) as made:
        yield made


# --- Django -----------------------------------------------------------------------------------------------

created: list[object] = []


def salaries(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(SECRET)


async def salaries_coroutine(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(SECRET)


def create(request: HttpRequest) -> HttpResponse:
    created.append(json.loads(request.body))
    return HttpResponse(b"created")


class Orders(View):
    def get(self, _request: HttpRequest) -> HttpResponse:
        return HttpResponse(SECRET)


URLS = [
    path("salaries", salaries),
    path("coroutine", salaries_coroutine),
    path("create", create),
    path("orders", Orders.as_view()),
]


def cors(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware of the site, as django-cors-headers is one."""

    def answer(request: HttpRequest) -> HttpResponse:
        if "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META:
            return HttpResponse(headers={"access-control-allow-origin": request.META["HTTP_ORIGIN"]})
        return get_response(request)

    return answer


@pytest.mark.parametrize("server", SERVERS)
def test_no_function_of_django_takes_a_preflight_without_a_token_for_a_request(
    server: str, verifier: SyncVerifier, issuer: FakeIssuer
) -> None:
    with served(server, URLS, {"VERIFIER": verifier}) as client:
        for name in ("/salaries", "/coroutine"):
            refused = client.options(name, headers=ASKED)
            assert (refused.status_code, SECRET in refused.content) == (401, False)
            assert refused.json()["error"] == "missing_token"
            assert client.get(name, headers=issuer.bearer()).content == SECRET
        assert client.request("OPTIONS", "/create", headers=ASKED, json={"a": 1}).status_code == 401
        assert created == []
        of_class = client.options("/orders", headers=ASKED)
        assert (of_class.status_code, "GET" in of_class.headers["allow"]) == (200, True)


class Download(RedirectView):
    """Answers every method as GET, as Django's class does, with an address that is a secret."""

    def get_redirect_url(self, *_: Any, **__: Any) -> str:
        return "https://files.test/salaries?signature=secret"


@pytest.mark.parametrize("server", SERVERS)
def test_no_view_of_django_that_redirects_takes_a_preflight_for_a_get(
    server: str, verifier: SyncVerifier, issuer: FakeIssuer
) -> None:
    urls = [
        path("file", Download.as_view()),
        path("of", functools.wraps(Download.as_view())(Download.as_view())),
    ]
    with served(server, urls, {"VERIFIER": verifier}) as client:
        for name in ("/file", "/of"):
            refused = client.options(name, headers=ASKED)
            assert (refused.status_code, "location" in refused.headers) == (401, False)
            assert client.get(name, headers=issuer.bearer()).headers["location"].endswith("secret")


@pytest.mark.parametrize("server", SERVERS)
def test_a_cors_middleware_of_django_behind_this_one_answers_preflights(
    server: str, verifier: SyncVerifier
) -> None:
    behind = {"MIDDLEWARE": [OURS, f"{__name__}.cors"]}
    with served(server, URLS, {"VERIFIER": verifier}, **behind) as client:
        answer = client.options("/salaries", headers=ASKED)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://x.test")
        assert client.get("/salaries").status_code == 401


@pytest.mark.parametrize("open_by", [{"REQUIRED": False}, {"EXCLUDE": ["/salaries"]}], ids=str)
def test_a_path_of_django_that_needs_no_token_answers_preflights(
    verifier: SyncVerifier, open_by: dict[str, Any]
) -> None:
    with served("wsgi", URLS, {"VERIFIER": verifier} | open_by) as client:
        assert client.options("/salaries", headers=ASKED).content == SECRET


# --- ASGI -------------------------------------------------------------------------------------------------


class Alike:
    """An application that answers every method alike, with one of the messages that hold a body."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.received = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.received = (await receive()).get("body", b"")
        headers = [(b"content-length", b"%d" % len(SECRET)), (b"allow", b"GET")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(self.body)


BODIES = [
    {"type": "http.response.body", "body": SECRET},
    {"type": "http.response.pathsend", "path": "/srv/salaries"},
    {"type": "http.response.zerocopysend", "file": 7},
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body["type"])
async def test_a_preflight_has_no_body_in_either_direction(
    issuer: FakeIssuer, connect: Connect, body: dict[str, Any]
) -> None:
    alike = Alike(body)
    for app in (
        AuthMiddleware(alike, issuer.verifier()),
        AuthMiddleware(alike, issuer.verifier(), exclude=["/open"]),
    ):
        connection = connect(app, method="OPTIONS", headers=HEADERS)
        connection.incoming.put_nowait({"type": "http.request", "body": b"delete them all"})
        answer = await connection.run()
        assert alike.received == b""
        assert answer.sent == [
            {"type": "http.response.start", "status": 200, "headers": [(b"allow", b"GET")]},
            {"type": "http.response.body", "body": b"", "more_body": False},
        ]
    excluded = await connect(app, path="/open", method="OPTIONS", headers=HEADERS).run()
    assert excluded.sent[1] == body
    anonymous = AuthMiddleware(alike, issuer.verifier(), required=False)
    assert (await connect(anonymous, method="OPTIONS", headers=HEADERS).run()).sent[1] == body


async def test_no_trailer_makes_a_preflight_another_method_behind_the_middleware(issuer: FakeIssuer) -> None:
    called = asyncio.Event()
    seen: list[bytes] = []

    async def reads_its_body_first(scope: Any, receive: Any, send: Any) -> None:  # as Django does
        called.set()
        while (await receive())["more_body"]:
            pass
        seen.extend(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(AuthMiddleware(reads_its_body_first, issuer.verifier()), log_config=None)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpToolsProtocol(config, ServerState(), {}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        head = [b"OPTIONS / HTTP/1.1", b"host: a.test", b"transfer-encoding: chunked"]
        head += [name + b": " + value for name, value in HEADERS]
        writer.write(b"\r\n".join([*head, b"", b""]))
        await called.wait()
        writer.write(b"0\r\nx-http-method-override: DELETE\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()
    assert b"access-control-request-method" in seen
    assert b"x-http-method-override" not in seen


async def test_cors_behind_the_middleware_and_a_guard_behind_cors(
    issuer: FakeIssuer, connect: Connect
) -> None:
    closed = require_login()(Alike(BODIES[0]))
    app = AuthMiddleware(CORSMiddleware(closed, allow_origins=["https://x.test"]), issuer.verifier())
    allowed = await connect(app, method="OPTIONS", headers=HEADERS).run()
    assert (allowed.status, allowed.header("access-control-allow-origin")) == (200, "https://x.test")
    bare = await connect(AuthMiddleware(closed, issuer.verifier()), method="OPTIONS", headers=HEADERS).run()
    assert (bare.status, bare.header("www-authenticate")) == (401, 'Bearer realm="authkit"')


# --- WSGI -------------------------------------------------------------------------------------------------


class AlikeOfWsgi:
    """The same for WSGI; it may write its body, and yield it with or without an end."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.received, self.closed = b"", False

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.received = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        length = ("Content-Length", str(len(SECRET)))
        if self.kind == "endless":
            return self._endless(start_response, length)
        write = start_response("200 OK", [length, ("Allow", "GET")])
        if self.kind == "written":
            write(SECRET)
            return []
        return [SECRET]

    def _endless(self, start_response: Any, length: tuple[str, str]) -> Iterator[bytes]:
        start_response("200 OK", [length, ("Allow", "GET")])
        try:
            while True:
                yield SECRET
        finally:
            self.closed = True


@pytest.mark.parametrize("kind", ["returned", "written", "endless"])
def test_a_preflight_of_wsgi_has_no_body_in_either_direction(verifier: SyncVerifier, kind: str) -> None:
    alike = AlikeOfWsgi(kind)
    app = wsgi.AuthMiddleware(alike, verifier)
    with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://app.test") as client:
        answer = client.request("OPTIONS", "/", headers=ASKED, content=b"delete them all")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (200, "GET", b"")
    assert (alike.received, "content-length" in answer.headers) == (b"", False)
    assert alike.closed is (kind == "endless")
