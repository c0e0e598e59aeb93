"""The request to an introspection endpoint, over a real socket, and every answer that is none."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from authkit_verify import IssuerAccept, Verifier
from authkit_verify.config.introspection import Introspection
from authkit_verify.testing import FakeIssuer
from fakes.patience import PATIENCE
from fakes.tokens import mutate
from fakes.verdicts import identity_or_code as outcome

NOW = 1_900_000_000.0


class Endpoint:
    """An introspection endpoint behind a socket, served by threads: ``answer`` writes the response."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.open = threading.Event()
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda request: respond(request, ACTIVE)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                try:
                    outer.answer(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/introspect"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


ACTIVE = {"active": True, "sub": "ann", "aud": "api", "exp": NOW + 900}


def respond(
    request: BaseHTTPRequestHandler,
    body: Any,
    *,
    status: int = 200,
    kind: str = "application/json",
    **headers: str,
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request.send_response(status)
    for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(content)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.stop()


def accept(endpoint: Endpoint, **terms: Any) -> IssuerAccept:
    own = {name: terms.pop(name) for name in list(terms) if name in Introspection.__slots__}
    asked = Introspection(
        **{"client_id": "rs:1 ü", "client_secret": "s%+ c", "url": endpoint.url, "timeout": 1.0} | own
    )
    return IssuerAccept(
        issuer="https://issuer.test",
        audiences=["api"],
        allow_http_loopback=True,
        introspection=asked,
        **terms,
    )


def judge(endpoint: Endpoint, **terms: Any) -> Verifier:
    return Verifier(accept(endpoint, **terms), clock=lambda: NOW)


def error_of(verifier: Verifier) -> str:
    return verifier.health()["introspection"]["https://issuer.test"]["last_error"] or ""


async def test_the_request_has_the_token_in_its_form_and_encoded_credentials(endpoint: Endpoint) -> None:
    assert await outcome(judge(endpoint, headers={"x-tenant": "7"}), "a+b/c=&d") == "ann"
    ((headers, body),) = endpoint.requests
    assert parse_qs(body.decode()) == {"token": ["a+b/c=&d"], "token_type_hint": ["access_token"]}
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["x-tenant"] == "7"
    scheme, _, pair = headers["authorization"].partition(" ")
    assert (scheme, b64decode(pair)) == ("Basic", b"rs%3A1+%C3%BC:s%25%2B+c")


async def test_client_secret_post_puts_the_credentials_into_the_form(endpoint: Endpoint) -> None:
    assert await outcome(judge(endpoint, auth_method="client_secret_post"), "token") == "ann"
    ((headers, body),) = endpoint.requests
    assert "authorization" not in headers
    form = parse_qs(body.decode())
    assert (form["client_id"], form["client_secret"]) == (["rs:1 ü"], ["s%+ c"])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("hanging", "no answer within"),
        ("dripping", "no answer within"),
        ("closing", "the request failed"),
        ("huge", "larger than 65536 bytes"),
        ("endless", "larger than 65536 bytes"),
        ("html", "text/html, not application/json"),
        ("untyped", "of no media type, not application/json"),
        ("signed", "signed (application/token-introspection+jwt)"),
        ("compressed", "compressed"),
        ("list", "not a strict JSON object"),
        ("twice", "not a strict JSON object"),
        ("nan", "not a strict JSON object"),
        ("deep", "not a strict JSON object"),
        ("redirect", "redirects (status 302)"),
        ("forbidden", "status 403"),
        ("empty", "status 204"),
    ],
)
async def test_what_is_no_answer_refuses_with_503_and_is_named(
    endpoint: Endpoint, kind: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
        "hanging": lambda _: endpoint.open.wait() and None,
        "dripping": _dripping,
        "closing": lambda request: request.connection.close(),
        "huge": lambda request: respond(request, {**ACTIVE, "x": "y" * 70_000}),
        "endless": _endless,
        "html": lambda request: respond(request, ACTIVE, kind="text/html"),
        "untyped": lambda request: respond(request, ACTIVE, kind=""),
        "signed": lambda request: respond(request, b"e30.e30.x", kind="application/token-introspection+jwt"),
        "compressed": lambda request: respond(request, ACTIVE, content_encoding="gzip"),
        "list": lambda request: respond(request, [ACTIVE]),
        "twice": lambda request: respond(request, b'{"active":false,"active":true,"sub":"ann"}'),
        "nan": lambda request: respond(request, b'{"active":true,"exp":NaN}'),
        "deep": lambda request: respond(request, b'{"active":true,"x":' + b"[" * 99 + b"]" * 99 + b"}"),
        "redirect": lambda request: respond(request, {}, status=302, location=f"{endpoint.url}/2?the-token"),
        "forbidden": lambda request: respond(request, {}, status=403),
        "empty": lambda request: request.send_response(204) or request.end_headers(),
    }  # fmt: skip
    endpoint.answer = answers[kind]
    verifier = judge(endpoint, timeout=0.3 if kind in {"hanging", "dripping"} else PATIENCE)
    async with asyncio.timeout(PATIENCE):
        assert await outcome(verifier, "the-token") == "introspection_unavailable"
    assert reason in error_of(verifier), error_of(verifier)
    assert endpoint.url in caplog.text
    assert "the-token" not in caplog.text
    most = 4 if kind == "closing" else 2
    assert len(endpoint.requests) <= most, "the connection may have died, or the token be at fault"


def _dripping(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("content-type", "application/json")
    request.end_headers()
    for _ in range(100):
        request.wfile.write(b" ")
        request.wfile.flush()
        time.sleep(0.05)


def _endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("content-type", "application/json")
    request.end_headers()
    for _ in range(10_000):
        request.wfile.write(b" " * 65_536)


async def test_a_refused_connection_is_named(endpoint: Endpoint) -> None:
    verifier = judge(endpoint, url="http://127.0.0.1:1/introspect")
    assert await outcome(verifier, "token") == "introspection_unavailable"
    assert error_of(verifier) == "http://127.0.0.1:1/introspect: the connection is refused"


def test_a_loop_for_each_call_works_over_a_socket(endpoint: Endpoint) -> None:
    verifier = judge(endpoint, max_ttl=0.0)
    for _ in range(5):
        assert asyncio.run(outcome(verifier, "token")) == "ann"
    assert len(endpoint.requests) == 5


# --- whatever the endpoint answers ------------------------------------------------------------------------


def _stirred(answer: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    values = [
        None,
        True,
        False,
        0,
        1,
        -1,
        2**60,
        1e400,
        "",
        "api",
        "ann",
        "true",
        [],
        ["api"],
        {},
        {"jkt": "x"},
        NOW,
    ]
    changed = dict(answer)
    for _ in range(dice.randint(1, 3)):
        name = dice.choice([*answer, "iss", "nbf", "iat", "scope", "cnf", "token_type", "client_id", "jti"])
        if dice.random() < 0.3:
            changed.pop(name, None)
        else:
            changed[name] = dice.choice(values)
    return changed


def _may_be_accepted(body: bytes, issuer: str) -> bool:
    """True if an answer says everything that an accepted token needs, by a reading of its own."""
    try:
        said = json.loads(body)
    except ValueError:
        return False
    if not isinstance(said, dict) or said.get("active") is not True or said.get("iss", issuer) != issuer:
        return False
    audience = said.get("aud")
    times = [said.get("nbf", 0), said.get("iat", 0)]
    return (
        isinstance(said.get("sub"), str)
        and said["sub"] != ""
        and (audience == "api" or (isinstance(audience, list) and "api" in audience))
        and type(said.get("exp")) in {int, float}
        and said["exp"] > NOW - 60
        and all(type(one) in {int, float} and one <= NOW + 60 for one in times)
        and "cnf" not in said
    )


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["opaque", "jwt"])
async def test_no_mutated_answer_is_accepted_wrongly_or_raises_anything_else(
    rounds: Callable[[int], int], mode: str
) -> None:
    dice = random.Random(7662)
    issuer = FakeIssuer(clock=lambda: NOW)
    asked = issuer.introspection(
        mode=mode, url="https://issuer.test/introspect", max_ttl=0.0, negative_ttl=0.0
    )
    verifier = Verifier(issuer.accept(introspection=asked), issuer.client, lambda: NOW)
    token = "an-opaque-token" if mode == "opaque" else issuer.mint("ann")
    good = {"active": True, "iss": issuer.issuer, "sub": "ann", "aud": "api", "exp": NOW + 900, "iat": NOW}
    bodies: list[bytes] = []
    issuer.endpoint.answer = lambda _: httpx.Response(
        200, content=bodies[-1], headers={"content-type": "application/json"}
    )
    seen: dict[str, int] = {}
    for _ in range(rounds(10_000)):
        body = json.dumps(_stirred(good, dice)).encode()
        bodies.append(mutate(body, dice) if dice.random() < 0.3 else body)
        verifier._issuers.accepted[issuer.issuer].introspector._answers.clear()  # type: ignore[union-attr]
        result = await outcome(verifier, token)
        seen[result] = seen.get(result, 0) + 1
        if mode == "opaque" and result not in {"bad_issuer", "bad_audience", "missing_exp", "token_expired"}:
            accepted = result not in {"invalid_token", "token_inactive", "introspection_unavailable"}
            assert not accepted or _may_be_accepted(bodies[-1], issuer.issuer), bodies[-1]
        elif mode == "jwt":
            assert result != "ann" or b'"active"' in bodies[-1]
    assert {"ann", "token_inactive", "introspection_unavailable", "invalid_token"} <= set(seen), seen
    await issuer.client.aclose()
