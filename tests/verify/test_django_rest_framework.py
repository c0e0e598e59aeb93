"""Django REST framework, over sockets: authentication, permissions, and refusals with their challenge."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fakes.django_site import OURS, SERVERS, served

# isort: split
# REST framework reads the settings when it is imported.
import httpx
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.db.utils import ConnectionHandler
from django.http import HttpResponse
from django.urls import path
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from authkit_verify import (
    DPoP,
    Enricher,
    Enrichment,
    SyncVerifier,
    fresh_keys,
    require_admin,
    require_role,
    require_scope,
)
from authkit_verify.django import require
from authkit_verify.django.rest_framework import BearerAuthentication, permission
from authkit_verify.testing import FakeClient, FakeIssuer
from fakes.clock import FakeClock

READ = permission(require_scope("orders:read"))
STAFF = permission(require_role("staff"))
FRESH = permission(fresh_keys(max_age=60))


class Signed(BaseAuthentication):
    """Signs in the users that a header names, as a session would; it has no challenge."""

    def authenticate(self, request: Request) -> Any:
        name = request.headers.get("x-session")
        return name and (SimpleNamespace(is_authenticated=True, is_staff=name == "root", pk=name), None)


class PerDay(UserRateThrottle):
    rate = "1000/day"


class Base(APIView):
    authentication_classes = [BearerAuthentication]
    throttle_classes = [PerDay]

    def get(self, request: Request) -> Response:
        return Response({"user": str(request.user), "caller": request.auth and request.auth.identity})

    post = get


def view(*permissions: Any, by: tuple[type, ...] = (BearerAuthentication,), base: type = Base) -> Any:
    return type(
        "Orders", (base,), {"permission_classes": permissions, "authentication_classes": by}
    ).as_view()


@api_view(["GET"])
@authentication_classes([BearerAuthentication])
@permission_classes([READ])
def function(request: Request) -> Response:
    return Response(request.auth.identity)


@api_view(["GET"])
@require(require_scope("orders:read"))
def below(request: Request) -> Response:
    return Response("below")


URLS = {
    "open": view(),
    "login": view(IsAuthenticated),
    "read": view(READ),
    "function": function,
    "below": below,
    "whole": require(require_scope("orders:read"))(type("Whole", (Base,), {})).as_view(),
    "either": view(STAFF | READ),
    "both": view(STAFF & READ),
    "not_staff": view(~STAFF),
    "not_fresh": view(~FRESH),
    "framework_first": view(IsAdminUser | READ, by=(Signed, BearerAuthentication)),
    "session_first": view(READ, by=(Signed, BearerAuthentication)),
    "no_class": view(READ, by=()),
}


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    return FakeIssuer(clock=clock)


@pytest.fixture
def verifier(issuer: FakeIssuer, clock: FakeClock) -> Iterator[SyncVerifier]:
    with SyncVerifier(issuer.accept(), issuer.client, clock, dpop=DPoP(require_nonce=True)) as made:
        yield made


@pytest.fixture(params=[(server, stack) for server in SERVERS for stack in ([], [OURS])], ids=str)
def client(request: pytest.FixtureRequest, verifier: SyncVerifier) -> Iterator[httpx.Client]:
    server, stack = request.param
    urls = [path(name, one) for name, one in URLS.items()]
    authkit = {"VERIFIER": verifier, "REQUIRED": False}
    with served(server, urls, authkit, MIDDLEWARE=stack) as made:
        yield made


def test_a_token_signs_its_caller_in(client: httpx.Client, issuer: FakeIssuer) -> None:
    for name in ("/open", "/login"):
        answer = client.get(name, headers=issuer.bearer("ann", username="anna"))
        assert (answer.status_code, answer.json()) == (200, {"user": "anna", "caller": "ann"})
    assert (
        client.post("/login", headers=issuer.bearer("ann")).status_code == 200
    )  # no CSRF token is asked for
    assert client.get("/open").json() == {"user": "AnonymousUser", "caller": None}


def test_no_token_and_a_bad_one_are_401_with_the_right_challenge(
    client: httpx.Client, issuer: FakeIssuer
) -> None:
    for name in ("/login", "/read", "/function", "/below", "/whole", "/no_class"):
        bare = client.get(name)
        assert (name, bare.status_code) == (name, 401)
        assert bare.headers["www-authenticate"].startswith('Bearer realm="authkit"')
        assert "error=" not in bare.headers["www-authenticate"]
    for name in ("/open", "/login", "/read", "/session_first"):
        bad = client.get(name, headers=issuer.bearer(aud="x"))
        assert (name, bad.status_code, bad.json()["error"]) == (name, 401, "bad_audience")
        assert 'error="invalid_token"' in bad.headers["www-authenticate"]
        assert bad.headers["cache-control"] == "no-store"
    assert 'scope="orders:read"' in client.get("/read").headers["www-authenticate"]
    assert client.get("/open", headers={"authorization": "Bearer a, Bearer b"}).status_code == 400


def test_a_lacking_scope_is_403_with_the_scope_in_the_challenge(
    client: httpx.Client, issuer: FakeIssuer
) -> None:
    for name in ("/read", "/function", "/below", "/whole", "/session_first"):
        allowed = client.get(name, headers=issuer.bearer("ann", scope="orders:read"))
        assert (name, allowed.status_code) == (name, 200)
        lacking = client.get(name, headers=issuer.bearer("ann", scope="orders:write"))
        assert (name, lacking.status_code, lacking.json()["error"]) == (name, 403, "insufficient_scope")
        assert 'error="insufficient_scope"' in lacking.headers["www-authenticate"]
        assert 'scope="orders:read"' in lacking.headers["www-authenticate"]


def test_an_outage_is_503_and_blames_no_token(client: httpx.Client, issuer: FakeIssuer) -> None:
    issuer.break_down()
    for name in ("/open", "/read", "/below"):
        answer = client.get(name, headers=issuer.bearer())
        assert (name, answer.status_code, answer.json()["error"]) == (name, 503, "keys_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "www-authenticate" not in answer.headers


def test_permissions_combine(client: httpx.Client, issuer: FakeIssuer) -> None:
    staff, reader = issuer.bearer(roles=["staff"]), issuer.bearer(scope="orders:read")
    everything, nothing = issuer.bearer(roles=["staff"], scope="orders:read"), issuer.bearer()
    callers = (staff, reader, everything, nothing)

    def seen(name: str) -> list[int]:
        return [client.get(name, headers=headers).status_code for headers in callers]

    assert seen("/either") == [200, 200, 200, 403]
    assert seen("/both") == [403, 403, 200, 403]
    assert seen("/not_staff") == [403, 200, 403, 200]
    assert seen("/framework_first") == [403, 200, 200, 403]
    assert client.get("/either").status_code == 401
    assert client.get("/framework_first", headers={"x-session": "root"}).status_code == 200


def test_an_outage_is_never_the_opposite_of_a_permission(
    client: httpx.Client, issuer: FakeIssuer, clock: FakeClock
) -> None:
    assert client.get("/not_fresh", headers=issuer.bearer()).status_code == 403
    issuer.break_down()
    clock.advance(120)
    assert client.get("/not_fresh", headers=issuer.bearer()).status_code == 503


def test_the_token_of_one_user_opens_nothing_for_another_who_signed_in(
    client: httpx.Client, issuer: FakeIssuer
) -> None:
    both = issuer.bearer("ann", scope="orders:read") | {"x-session": "eve"}
    assert client.get("/session_first", headers=both).json()["error"] == "missing_token"
    assert client.get("/session_first", headers={"x-session": "eve"}).json()["error"] == "missing_token"


def test_dpop_proofs_are_asked_for_a_nonce(client: httpx.Client, issuer: FakeIssuer) -> None:
    proving = FakeClient()
    bound, url = issuer.mint("ann", cnf=proving.cnf, scope="orders:read"), f"{client.base_url}/read"
    first = client.get("/read", headers=proving.headers(bound, "GET", url))
    assert (first.status_code, first.json()["error"]) == (401, "use_dpop_nonce")
    assert first.headers["www-authenticate"].startswith("DPoP ")
    shown = proving.headers(bound, "GET", url, nonce=first.headers["dpop-nonce"])
    assert client.get("/read", headers=shown).json()["caller"] == "ann"
    assert client.get("/read", headers=shown).json()["error"] == "invalid_dpop_proof"


def test_a_token_has_the_user_that_the_settings_find(verifier: SyncVerifier, issuer: FakeIssuer) -> None:
    def find(caller: Any) -> Any:
        if caller.identity == "ben":
            return None
        return SimpleNamespace(is_authenticated=True, is_staff=True, pk=1, is_active=caller.identity == "ann")

    urls = [path("admin", view(IsAdminUser))]
    with served("wsgi", urls, {"VERIFIER": verifier, "USER": find}, MIDDLEWARE=[]) as client:
        assert client.get("/admin", headers=issuer.bearer("ann")).status_code == 200
        for refused in ("ben", "cat"):
            answer = client.get("/admin", headers=issuer.bearer(refused))
            assert (answer.status_code, answer.json()["error"]) == (401, "user_disabled")
    with served("wsgi", urls, {"VERIFIER": verifier}, MIDDLEWARE=[]) as client:
        assert client.get("/admin", headers=issuer.bearer("ann")).status_code == 403


def test_only_guards_become_permissions() -> None:
    for wrong in ("orders:read", require_scope, READ):
        with pytest.raises(TypeError, match="permission\\(\\) takes guards"):
            permission(wrong)


class Stored:
    """Records that are read as Django's ORM reads them in a coroutine."""

    def read(self, user_id: str) -> Enrichment:
        return Enrichment(allowed=True, roles=("admin",) if user_id == "ann" else ())

    async def enrich(self, user_id: str) -> Enrichment:
        found: Enrichment = await sync_to_async(self.read)(user_id)
        return found


def synchronous(get_response: Any) -> Any:
    """A middleware that knows no coroutines, as those of WhiteNoise: what is around it runs in a thread."""

    def called(request: Any) -> Any:
        return get_response(request)

    return called


@require(require_admin())
async def coroutine(_request: Any) -> HttpResponse:
    return HttpResponse("reached")


SYNCHRONOUS = f"{__name__}.synchronous"
STACKS = {
    "alone": [], "behind the middleware": [OURS],
    "behind a synchronous one": [SYNCHRONOUS, OURS], "around a synchronous one": [OURS, SYNCHRONOUS],
}  # fmt: skip


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("server", SERVERS)
def test_records_from_the_orm_do_not_wait_for_the_view_that_asks_for_them(
    server: str, stack: list[str], verifier: SyncVerifier, issuer: FakeIssuer
) -> None:
    urls = [
        path("orders", view()), path("admin", view(permission(require_admin()))),
        path("coroutine", coroutine),
    ]  # fmt: skip
    authkit = {"VERIFIER": verifier, "ENRICHMENT": Stored()}
    with served(server, urls, authkit, MIDDLEWARE=stack) as client:
        assert client.get("/orders", headers=issuer.bearer("cat")).status_code == 200
        assert client.get("/admin", headers=issuer.bearer("ann")).status_code == 200
        assert client.get("/admin", headers=issuer.bearer("ben")).json()["error"] == "forbidden"
        assert client.get("/coroutine", headers=issuer.bearer("ann")).text == "reached"


def documented_records() -> Any:
    page = (Path(__file__).parents[2] / "docs" / "start" / "django.md").read_text("utf-8")
    (example,) = (
        one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class Records" in one
    )
    documented: dict[str, Any] = {}
    exec(example, documented)
    return documented["Records"]()


def test_records_as_documented_are_read_side_by_side(verifier: SyncVerifier, issuer: FakeIssuer) -> None:
    together = threading.Barrier(2, timeout=10)

    def read(_user_id: str) -> Enrichment:
        together.wait()
        return Enrichment(allowed=True)

    records = documented_records()
    records.read = read
    authkit = {"VERIFIER": verifier, "ENRICHMENT": Enricher(records, issuers=[issuer.issuer], timeout=20)}
    with served("asgi", [path("orders", view())], authkit) as client, ThreadPoolExecutor(2) as browsers:
        asked = [browsers.submit(client.get, "/orders", headers=issuer.bearer(one)) for one in ("ann", "ben")]
        assert [one.result().status_code for one in asked] == [200, 200]


def test_records_as_documented_leave_no_connection_open(tmp_path: Path) -> None:
    sqlite = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "site.sqlite"}}
    connection = connections["default"] = ConnectionHandler(sqlite)["default"]
    try:
        with connection.schema_editor() as tables:
            tables.create_model(User)
        User.objects.create(username="ann")
        assert [documented_records().read(one).allowed for one in ("ann", "ben")] == [True, False]
        assert connection.connection is None
    finally:
        connection.close()
        del connections["default"]
