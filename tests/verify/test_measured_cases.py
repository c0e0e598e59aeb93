"""The cases in which verifiers in use today were seen to fail, where no other test holds ours to them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from authkit_verify import AcceptConfig, Verifier
from authkit_verify.testing import FakeIssuer, FakeKey
from fakes.clock import FakeClock
from fakes.verdicts import accepted_or_code as outcome


class KeyServer:
    """A key set behind a real socket, served by threads of its own. ``body`` may be endless."""

    def __init__(self) -> None:
        self.status, self.headers = 200, {}
        self.body = b""
        self.times = 1
        self.fetches = 0
        self.sent = 0
        self.open = threading.Event()
        """Answers wait for this."""
        self.open.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.fetches += 1
        assert self.open.wait(30)
        request.send_response(self.status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.send_header("content-length", str(self.times * len(self.body)))
        request.end_headers()
        try:
            for _ in range(self.times):
                request.wfile.write(self.body)
                self.sent += len(self.body)
        except OSError:
            request.close_connection = True

    def stop(self) -> None:
        self.open.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    made = KeyServer()
    yield made
    made.stop()


@pytest.fixture
async def remote(server: KeyServer, clock: FakeClock) -> FakeIssuer:
    """An issuer whose keys come from the socket."""
    made = FakeIssuer(server.url, clock=clock)
    await made.client.aclose()
    server.body = made.document()
    return made


def judge(issuer: FakeIssuer, **terms: Any) -> Verifier:
    """A verifier that fetches with its own HTTP client, one document at a time."""
    accept = issuer.accept(allow_http_loopback=True, discovery=False, **terms)
    return Verifier(AcceptConfig(issuers=[accept], algorithms=[issuer.algorithm]), clock=issuer.clock)


async def test_fifty_first_requests_at_once_open_the_socket_once(
    server: KeyServer, remote: FakeIssuer
) -> None:
    async with judge(remote) as verifier:
        tokens = [remote.mint(f"user-{n}") for n in range(50)]
        assert await asyncio.gather(*(outcome(verifier, token) for token in tokens)) == ["accepted"] * 50
    assert server.fetches == 1


async def test_the_event_loop_runs_on_while_a_fetch_waits(server: KeyServer, remote: FakeIssuer) -> None:
    """The answer is held back until the loop has turned often: a blocked loop would never get it."""
    server.open.clear()
    async with judge(remote) as verifier:
        waiter = asyncio.ensure_future(outcome(verifier, remote.mint()))
        while not server.fetches:
            await asyncio.sleep(0.001)
        for _ in range(200):
            await asyncio.sleep(0)
        assert not waiter.done()
        server.open.set()
        assert await waiter == "accepted"


async def test_every_genuine_token_passes_while_the_issuer_is_gone_until_max_stale_is_over(
    server: KeyServer, remote: FakeIssuer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pause of the machine, in which this loop stands still, would rightly make one request wait.
    monkeypatch.setattr("authkit_verify._jwks.refresher._TICK", 3600)
    async with judge(remote, cache_ttl=300, max_stale=3600) as verifier:
        assert await outcome(verifier, remote.mint()) == "accepted"
        server.stop()
        tries, others = 0, asyncio.all_tasks()
        for second in range(1, 3900):
            clock.advance(1)
            # Driven by hand: a request that waited for anything would not be over after one step.
            with pytest.raises(StopIteration):
                verifier.verify(remote.mint(lifetime=9999)).send(None)
            if second % 20 == 0:  # the fetch in the background ends, however slow the machine is
                await asyncio.gather(*(asyncio.all_tasks() - others))
            tries = max(tries, verifier.health()["issuers"][remote.issuer]["failures"])
        assert 10 <= tries <= 400  # about one in thirty seconds
        clock.advance(1)
        assert await outcome(verifier, remote.mint()) == "keys_unavailable"


async def test_a_redirect_of_the_key_set_is_not_followed(server: KeyServer, remote: FakeIssuer) -> None:
    server.status, server.headers = 302, {"location": server.url + "/elsewhere"}
    async with judge(remote) as verifier:
        assert await outcome(verifier, remote.mint()) == "keys_unavailable"
    assert server.fetches == 1


async def test_a_key_set_of_thirty_megabytes_is_dropped_after_a_part_of_it(
    server: KeyServer, remote: FakeIssuer
) -> None:
    server.body, server.times = server.body[:-1] + b" " * (1 << 20), 30
    async with judge(remote) as verifier:
        assert await outcome(verifier, remote.mint()) == "keys_unavailable"
    server.stop()
    assert server.sent < 20 << 20  # what the sockets' own buffers swallowed


FOREIGN: dict[str, dict[str, Any]] = {
    "ML-DSA": {"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "use": "sig", "pub": "AAAA"},
    "malformed RSA": {"kty": "RSA", "kid": "bad", "n": "AQAB", "e": "!"},
    "symmetric": {"kty": "oct", "kid": "secret", "k": "AAAA"},
}


def published(*members: dict[str, Any]) -> bytes:
    return json.dumps({"keys": members}).encode()


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("first", [True, False])
async def test_a_foreign_key_in_the_set_disturbs_no_user(
    issuer: FakeIssuer, kind: str, *, first: bool
) -> None:
    own = issuer.key.jwk()
    issuer.publish(published(FOREIGN[kind], own) if first else published(own, FOREIGN[kind]))
    async with issuer.verifier() as verifier:
        assert await outcome(verifier, issuer.mint()) == "accepted"


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("use", ["enc", "sig"])
@pytest.mark.parametrize("first", [True, False])
async def test_the_right_key_is_found_wherever_its_id_is_repeated(
    clock: FakeClock, alg: str, use: str, *, first: bool
) -> None:
    issuer = FakeIssuer(algorithm=alg, clock=clock)
    own, twin = issuer.key.jwk(), FakeKey.generate(issuer.key.kid, alg).jwk() | {"use": use}
    issuer.publish(published(twin, own) if first else published(own, twin))
    async with issuer.verifier() as verifier:
        assert await outcome(verifier, issuer.mint()) == "accepted"
    await issuer.client.aclose()


async def test_a_short_rsa_key_verifies_nothing(clock: FakeClock) -> None:
    issuer = FakeIssuer(algorithm="RS256", clock=clock)
    long = issuer.key
    short = FakeKey("short", "RS256", rsa.generate_private_key(65537, 1024))
    issuer.keys.append(short)
    async with issuer.verifier() as verifier:
        assert await outcome(verifier, issuer.mint(key=short)) == "unknown_kid"
        assert await outcome(verifier, issuer.mint(key=long)) == "accepted"
    await issuer.client.aclose()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"alg": "RS384"}, "disallowed_alg"),
        ({"use": "enc"}, "unknown_kid"),
        ({"key_ops": ["encrypt"]}, "unknown_kid"),
        ({"key_ops": ["verify"]}, "accepted"),
        ({"d": "AAAA", "key_ops": ["sign"]}, "accepted"),
    ],
)
async def test_what_a_key_says_it_is_for_is_heeded(
    clock: FakeClock, change: dict[str, Any], expected: str
) -> None:
    issuer = FakeIssuer(algorithm="RS256", clock=clock)
    other = FakeKey.generate("other", "ES256").jwk()
    issuer.publish(published(issuer.key.jwk() | change, other))
    async with issuer.verifier(algorithms=["RS256", "ES256"]) as verifier:
        assert await outcome(verifier, issuer.mint()) == expected
    await issuer.client.aclose()
