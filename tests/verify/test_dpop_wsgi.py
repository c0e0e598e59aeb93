"""DPoP at the doors of WSGI, over sockets: a proof names the URL as its client has encoded it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fakes.django_site import OURS

# isort: split
import flask
import httpx
import pytest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import re_path
from werkzeug.serving import make_server

from authkit_verify import DPoP, SyncVerifier
from authkit_verify.testing import FakeClient, FakeIssuer
from authkit_verify.wsgi.flask import Auth
from fakes.clock import FakeClock

Application = Callable[..., Any]


@contextmanager
def of_flask(verifier: SyncVerifier) -> Iterator[Application]:
    app = flask.Flask("users")
    Auth(app, verifier)
    app.add_url_rule("/<path:name>", view_func=lambda name: name)
    yield app


@contextmanager
def of_django(verifier: SyncVerifier) -> Iterator[Application]:
    def user(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.path)

    authkit = {"VERIFIER": verifier}
    with override_settings(ROOT_URLCONF=(re_path("", user),), MIDDLEWARE=[OURS], AUTHKIT=authkit):
        yield get_wsgi_application()


@pytest.mark.parametrize("framework", [of_flask, of_django])
def test_the_url_of_a_proof_is_encoded_as_the_client_has_sent_it(framework: Any, clock: FakeClock) -> None:
    issuer, proving = FakeIssuer(clock=clock), FakeClient(clock=clock)
    bound = issuer.mint("ann", cnf=proving.cnf)
    with (
        SyncVerifier(issuer.accept(), issuer.client, clock, dpop=DPoP()) as verifier,
        framework(verifier) as app,
        _served(app) as origin,
        httpx.Client(trust_env=False) as client,
    ):
        for path in ("/users/ann%40x.test", "/a%2Fb", "/a%3Bb?c=%2F", "/a;b", "/%C3%B6", "/a%20b", "/plain"):
            url = origin + path
            assert (path, client.get(url, headers=proving.headers(bound, "GET", url)).status_code) == (
                path,
                200,
            )
        other = proving.headers(bound, "GET", f"{origin}/users/ben%40x.test")
        assert client.get(f"{origin}/users/ann%40x.test", headers=other).status_code == 401


@contextmanager
def _served(app: Application) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
