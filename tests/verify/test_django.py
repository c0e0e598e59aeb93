"""Django, over sockets: the middleware by its settings, and guards on views, under WSGI and ASGI."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View

from authkit_verify import (
    AcceptConfig,
    AccessDenied,
    DPoP,
    Enrichment,
    SyncVerifier,
    require_admin,
    require_scope,
    wsgi,
)
from authkit_verify.django import AuthMiddleware, acheck, check, principal_of, require
from authkit_verify.testing import FakeClient, FakeIssuer
from fakes.clock import FakeClock
from fakes.django_site import OF_SESSIONS, OURS, SERVERS, served
from fakes.until import wait_until

Site = Callable[..., AbstractContextManager[httpx.Client]]

READ = require_scope("orders:read")


def me(request: HttpRequest) -> HttpResponse:
    assert principal_of(request) is request.auth
    return HttpResponse("anonymous" if request.auth is None else request.auth.identity)


@require(READ)
def function(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.auth.identity)


@require(READ)
async def coroutine(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.auth.identity)


@require(READ)
class Whole(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.auth.identity)


@require(READ)
class WholeCoroutine(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.auth.identity)


class Method(View):
    @require(READ)
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.auth.identity)


class Decorated(View):
    @method_decorator(require(READ))
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.auth.identity)


def inside(request: HttpRequest) -> HttpResponse:
    return HttpResponse(check(request, READ).identity)


async def inside_coroutine(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await acheck(request, READ)).identity)


def denied(request: HttpRequest) -> HttpResponse:
    raise AccessDenied("forbidden", "not you")


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a fault of the view")


@require(require_admin())
def admin(request: HttpRequest) -> HttpResponse:
    return HttpResponse("admin")


@require(require_admin())
async def admin_coroutine(request: HttpRequest) -> HttpResponse:
    return HttpResponse("admin")


def user(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user} {request.user.is_authenticated}")


async def user_coroutine(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{await request.auser()}")


GUARDED = {
    "function": function,
    "coroutine": coroutine,
    "whole": Whole.as_view(),
    "whole_coroutine": WholeCoroutine.as_view(),
    "method": Method.as_view(),
    "decorated": Decorated.as_view(),
    "around": require(READ)(Whole.as_view()),
    "inside": inside,
    "inside_coroutine": inside_coroutine,
}
OTHERS = [me, denied, broken, admin, admin_coroutine, user, user_coroutine]
URLS = [
    *[path(name, view) for name, view in GUARDED.items()],
    *[path(view.__name__, view) for view in OTHERS],
    path("docs/öffentlich", me),
]


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    return FakeIssuer(clock=clock)


@pytest.fixture
def verifier(issuer: FakeIssuer, clock: FakeClock) -> Iterator[SyncVerifier]:
    with SyncVerifier(issuer.accept(), http_client=issuer.client, clock=clock) as made:
        yield made


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, verifier: SyncVerifier) -> Site:
    """Serve the site under one of the servers; the arguments are entries of AUTHKIT."""

    def serve(settings: dict[str, Any] | None = None, **authkit: Any) -> Any:
        return served(request.param, URLS, {"VERIFIER": verifier} | authkit, **settings or {})

    return serve


def test_a_valid_token_is_let_in_and_every_other_request_is_answered_as_asgi_does(
    site: Site, issuer: FakeIssuer
) -> None:
    with site(SCOPES=["orders:read"], REALM="shop") as client:
        for _ in range(2):  # new, then cached
            answer = client.get("/me", headers=issuer.bearer("ann"))
            assert (answer.status_code, answer.text) == (200, "ann")
        bare = client.get("/me")
        assert bare.status_code == 401
        assert bare.headers["www-authenticate"] == 'Bearer realm="shop", scope="orders:read"'
        assert (bare.headers["content-type"], bare.headers["cache-control"]) == (
            "application/json",
            "no-store",
        )
        assert bare.json()["error"] == "missing_token"
        assert client.get("/me", headers=issuer.bearer(aud="x")).json()["error"] == "bad_audience"
        assert client.get("/me", headers={"authorization": "Bearer a, Bearer b"}).status_code == 400
        twice = [("authorization", f"Bearer {issuer.mint('ann')}")] * 2
        assert client.get("/me", headers=twice).status_code == 400
        assert client.get("/denied", headers=issuer.bearer()).json()["error"] == "forbidden"
        assert client.get("/nowhere").status_code == 401


def test_a_fault_of_a_view_stays_a_fault(site: Site, issuer: FakeIssuer) -> None:
    with site() as client:
        assert client.get("/broken", headers=issuer.bearer()).status_code == 500


def test_an_outage_of_the_issuer_is_503(site: Site, issuer: FakeIssuer) -> None:
    issuer.break_down()
    with site() as client:
        answer = client.get("/me", headers=issuer.bearer())
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert "www-authenticate" not in answer.headers


def test_a_withdrawn_key_goes(site: Site, issuer: FakeIssuer, clock: FakeClock) -> None:
    headers = issuer.bearer("ann", lifetime=100_000)
    with site() as client:
        assert client.get("/me", headers=headers).status_code == 200
        issuer.rotate(keep=False)
        clock.advance(310)
        seen = [client.get("/me", headers=headers).status_code for _ in range(2)]
        assert seen[-1] == 401


def test_a_path_that_is_left_out_needs_no_token(site: Site, issuer: FakeIssuer) -> None:
    with site(EXCLUDE=["/docs/öffentlich", "/function"]) as client:
        assert client.get("/docs/öffentlich").text == "anonymous"
        assert client.get("/docs/öffentlich", headers={"authorization": "Bearer x"}).text == "anonymous"
        assert client.get("/docs/%2e%2e/me").status_code in {401, 404}
        assert client.get("/function", headers=issuer.bearer(scope="orders:read")).status_code == 401


def test_without_required_a_token_that_comes_must_still_be_valid(site: Site, issuer: FakeIssuer) -> None:
    with site(REQUIRED=False) as client:
        assert client.get("/me").text == "anonymous"
        assert client.get("/me", headers=issuer.bearer(aud="x")).status_code == 401
        assert client.get("/function").status_code == 401


@pytest.mark.parametrize("middleware", [[OURS], []], ids=["behind the middleware", "alone"])
def test_a_guard_protects_every_kind_of_view(site: Site, issuer: FakeIssuer, middleware: list[str]) -> None:
    names = [name for name in GUARDED if middleware or not name.startswith("inside")]
    with site({"MIDDLEWARE": middleware}, REQUIRED=False) as client:
        for name in names:
            allowed = client.get(f"/{name}", headers=issuer.bearer("ann", scope="orders:read"))
            assert (name, allowed.status_code, allowed.text) == (name, 200, "ann")
            lacking = client.get(f"/{name}", headers=issuer.bearer("ann", scope="orders:write"))
            assert (name, lacking.status_code) == (name, 403)
            assert 'error="insufficient_scope"' in lacking.headers["www-authenticate"]
            assert 'scope="orders:read"' in lacking.headers["www-authenticate"]
            assert (name, client.get(f"/{name}").status_code) == (name, 401)
            assert client.get(f"/{name}", headers=issuer.bearer(aud="x")).json()["error"] == "bad_audience"


def test_a_token_is_counted_once_for_middleware_and_guard(
    site: Site, issuer: FakeIssuer, verifier: SyncVerifier
) -> None:
    with site() as client:
        client.get("/coroutine", headers=issuer.bearer(scope="orders:read"))
        client.get("/function", headers=issuer.bearer("ben", scope="orders:read"))
    tokens = verifier.counters()[issuer.issuer]["tokens"]
    assert (tokens["accepted"], tokens["accepted_from_cache"]) == (2, 0)


class Records:
    def __init__(self) -> None:
        self.roles: tuple[str, ...] = ("admin",)
        self.threads: set[str] = set()

    async def enrich(self, user_id: str) -> Enrichment:
        self.threads.add(threading.current_thread().name)
        return Enrichment(allowed=user_id != "ben", roles=self.roles)


def test_the_records_are_asked_on_the_loop_of_the_verifier(site: Site, issuer: FakeIssuer) -> None:
    records = Records()
    with site(ENRICHMENT=records) as client:
        for name in ("/admin", "/admin_coroutine"):
            headers, records.roles = issuer.bearer(f"ann of {name}"), ("admin",)
            assert client.get(name, headers=headers).text == "admin"
            records.roles = ()
            assert client.get(name, headers=headers).status_code == 403
        assert client.get("/me", headers=issuer.bearer("ben")).json()["error"] == "user_disabled"
    assert records.threads == {"authkit-verifier"}


def test_the_user_of_django_is_left_alone_unless_asked(site: Site, issuer: FakeIssuer) -> None:
    stack = {"MIDDLEWARE": [*OF_SESSIONS, OURS]}
    with site(stack) as client:
        assert client.get("/user", headers=issuer.bearer("ann")).text == "AnonymousUser False"

    def find(caller: Any) -> Any:
        return (
            None if caller.identity == "ben" else Named(caller.identity, is_active=caller.identity != "cat")
        )

    with site(stack, USER=find, REQUIRED=False) as client:
        assert client.get("/user", headers=issuer.bearer("ann")).text == "the user ann True"
        assert client.get("/user_coroutine", headers=issuer.bearer("ann")).text == "the user ann"
        assert client.get("/user").text == "AnonymousUser False"
        for name in ("/user", "/user_coroutine"):
            for refused in ("ben", "cat"):
                assert client.get(name, headers=issuer.bearer(refused)).json()["error"] == "user_disabled"


class Named:
    is_authenticated = True

    def __init__(self, name: str, *, is_active: bool) -> None:
        self.name, self.is_active = name, is_active

    def __str__(self) -> str:
        return f"the user {self.name}"


def test_a_dpop_proof_serves_once_and_the_response_has_a_nonce(
    issuer: FakeIssuer, clock: FakeClock, site: Site
) -> None:
    config, dpop = AcceptConfig(issuers=[issuer.accept()]), DPoP(require_nonce=True)
    proving = FakeClient()
    with SyncVerifier(config, issuer.client, clock, dpop=dpop) as verifier, site(VERIFIER=verifier) as client:
        url = f"{client.base_url}/docs/%C3%B6ffentlich"
        bound = issuer.mint("ann", cnf=proving.cnf)
        first = client.get(url, headers=proving.headers(bound, "GET", url))
        assert (first.status_code, first.json()["error"]) == (401, "use_dpop_nonce")
        assert first.headers["www-authenticate"].startswith("DPoP ")
        shown = proving.headers(bound, "GET", url, nonce=first.headers["dpop-nonce"])
        answer = client.get(url, headers=shown)
        assert (answer.text, "dpop-nonce" in answer.headers) == ("ann", True)
        assert client.get(url, headers=shown).json()["error"] == "invalid_dpop_proof"
        assert client.get(url, headers={"authorization": f"Bearer {bound}"}).status_code == 401


def test_a_fetch_of_keys_holds_up_no_other_request_under_asgi(
    issuer: FakeIssuer, verifier: SyncVerifier
) -> None:
    issuer.slow(2)
    with served("asgi", URLS, {"VERIFIER": verifier, "EXCLUDE": ["/me"]}) as client:
        client.get("/me")
        waiting = threading.Thread(
            target=client.get, args=("/coroutine",), kwargs={"headers": issuer.bearer("ann")}
        )
        waiting.start()
        wait_until(lambda: bool(issuer.requests))
        assert client.get("/me").text == "anonymous"
        assert waiting.is_alive()
        waiting.join()


# --- settings and decorators ------------------------------------------------------------------------------


def built(**settings: Any) -> AuthMiddleware:
    with override_settings(**settings):
        return AuthMiddleware(lambda request: HttpResponse("in"))


def test_issuers_and_dotted_paths_are_taken_from_the_settings(issuer: FakeIssuer) -> None:
    accept = issuer.accept()
    with override_settings(AUTHKIT={"ISSUERS": [accept]}):
        site = AuthMiddleware(lambda request: HttpResponse("in"))
        assert site(RequestFactory().get("/")).status_code == 401
    assert [one for one in threading.enumerate() if one.name == "authkit-verifier"] == []
    built(AUTHKIT={"ISSUERS": [accept], "USER": "django.contrib.auth.get_user", "EXCLUDE": ["/x"]})
    with pytest.raises(ImportError, match="no_such_module"):
        built(AUTHKIT={"VERIFIER": "no_such_module.verifier"})


@pytest.mark.parametrize(
    ("authkit", "said"),
    [
        (None, "the settings have no AUTHKIT"),
        ({}, "either ISSUERS"),
        ({"ISSUERS": [], "VERIFIER": "x.y"}, "either ISSUERS"),
        ({"ISUERS": []}, "no entry 'ISUERS'"),
        ({"VERIFIER": object()}, "is a SyncVerifier"),
        ({"VERIFIER": FakeIssuer().verifier()}, "is a SyncVerifier"),
        ({"ISSUERS": [FakeIssuer().accept()], "REQUIRED": "False"}, "True or False"),
    ],
)
def test_a_wrong_setting_is_refused_when_the_site_starts(authkit: Any, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said):
        built(AUTHKIT=authkit)


def test_users_that_sessions_would_overwrite_are_refused(issuer: FakeIssuer) -> None:
    authkit = {"ISSUERS": [issuer.accept()], "USER": SimpleNamespace}
    with pytest.raises(ImproperlyConfigured, match=r"below django\.contrib\.auth"):
        built(AUTHKIT=authkit, MIDDLEWARE=[OURS, *OF_SESSIONS])
    built(AUTHKIT=authkit, MIDDLEWARE=[*OF_SESSIONS, OURS])


def test_what_would_protect_nothing_is_refused_when_it_is_built(issuer: FakeIssuer) -> None:
    with pytest.raises(TypeError, match=r"@require\(guard\)"):
        require_scope("orders:read")(me)
    for wrong in (me, "orders:read", require_scope):
        with pytest.raises(TypeError, match="takes guards"):
            require(wrong)
    for wrong in (path("x", me), None, SimpleNamespace, dict):
        with pytest.raises(TypeError, match="protects a view"):
            require(READ)(wrong)
    with (
        pytest.raises(TypeError, match="called with a request"),
        override_settings(AUTHKIT={"ISSUERS": [issuer.accept()]}),
    ):
        require(READ)(lambda number: number)(1)


def test_a_guard_reads_what_a_wsgi_middleware_in_front_admitted(
    verifier: SyncVerifier, issuer: FakeIssuer
) -> None:
    with override_settings(ROOT_URLCONF=tuple(URLS), MIDDLEWARE=[], AUTHKIT={"VERIFIER": verifier}):
        app = wsgi.AuthMiddleware(get_wsgi_application(), verifier)
        with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://x.test") as client:
            headers = issuer.bearer("ann", scope="orders:read")
            assert client.get("/function", headers=headers).text == "ann"
    tokens = verifier.counters()[issuer.issuer]["tokens"]
    assert (tokens["accepted"], tokens["accepted_from_cache"]) == (1, 0)
