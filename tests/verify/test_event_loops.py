"""One verifier on many event loops: one per call, frozen ones, one per thread, one in a forked child."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from authkit_verify import TokenError, Verifier
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock


async def outcome(verifier: Verifier, token: str) -> str:
    try:
        await verifier.verify(token)
    except TokenError as refusal:
        return refusal.code
    return "ok"


def per_call(work: Coroutine[Any, Any, str]) -> str:
    return asyncio.run(work)


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    made = FakeIssuer(clock=clock)
    made.slow(0.02)  # any network takes a moment
    return made


def test_a_withdrawn_key_goes_at_the_first_call_after_its_time(issuer: FakeIssuer, clock: FakeClock) -> None:
    verifier = issuer.verifier()
    token = issuer.mint(lifetime=100_000)
    assert per_call(outcome(verifier, token)) == "ok"
    issuer.rotate(keep=False)
    clock.advance(310)
    assert per_call(outcome(verifier, token)) == "unknown_kid"


def test_a_refresh_that_a_call_interrupted_is_waited_for_by_the_next(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    verifier = issuer.verifier()
    token = issuer.mint(lifetime=100_000)
    assert per_call(outcome(verifier, token)) == "ok"
    issuer.rotate(keep=False)
    clock.advance(290)  # due, and not past its time: the refresh starts and no request waits
    assert per_call(outcome(verifier, token)) == "ok"
    assert per_call(outcome(verifier, token)) == "unknown_kid"


def test_keys_are_renewed_after_an_outage_too(issuer: FakeIssuer, clock: FakeClock) -> None:
    verifier = issuer.verifier()
    token = issuer.mint(lifetime=100_000)
    assert per_call(outcome(verifier, token)) == "ok"
    issuer.break_down()
    clock.advance(310)
    assert per_call(outcome(verifier, token)) == "ok"
    assert verifier.health()["issuers"][issuer.issuer]["failures"] == 1
    issuer.recover()
    issuer.slow(0.02)
    issuer.rotate(keep=False)
    seen = []
    for _ in range(3):
        clock.advance(61)
        seen.append(per_call(outcome(verifier, token)))
    assert seen == ["ok", "unknown_kid", "unknown_kid"]  # the first of them interrupts its refresh


def test_a_loop_that_stands_still_between_calls_renews_its_keys(
    issuer: FakeIssuer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_verify._jwks.refresher.TOTAL_TIMEOUT", 0.15)
    monkeypatch.setattr("authkit_verify._jwks.refresher._TICK", 0.03)
    verifier = issuer.verifier(discovery=False)  # one request, for which the time limit is meant
    token = issuer.mint(lifetime=100_000)
    with asyncio.Runner() as runner:
        assert runner.run(outcome(verifier, token)) == "ok"
        issuer.rotate(keep=False)
        issuer.slow(0.1)
        clock.advance(290)
        assert runner.run(outcome(verifier, token)) == "ok"  # starts a refresh
        time.sleep(0.3)
        assert runner.run(outcome(verifier, token)) == "ok"
        assert verifier.health()["issuers"][issuer.issuer]["failures"] == 0
        assert runner.run(outcome(verifier, token)) == "unknown_kid"


def test_a_refresh_on_a_loop_that_was_dropped_holds_up_no_other(issuer: FakeIssuer, clock: FakeClock) -> None:
    verifier = issuer.verifier()
    token = issuer.mint(lifetime=100_000)
    assert per_call(outcome(verifier, token)) == "ok"
    dropped = asyncio.new_event_loop()
    clock.advance(290)
    assert dropped.run_until_complete(outcome(verifier, token)) == "ok"
    issuer.rotate(keep=False)
    assert per_call(outcome(verifier, token)) == "unknown_kid"
    dropped.run_until_complete(asyncio.sleep(0.05))
    dropped.close()


def test_a_hanging_issuer_delays_the_calls_past_the_time_of_its_keys_by_two_seconds_at_most(
    issuer: FakeIssuer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = issuer.verifier()
    token = issuer.mint(lifetime=100_000)
    assert per_call(outcome(verifier, token)) == "ok"
    monkeypatch.setattr("authkit_verify._jwks.refresher.Refresher.load.__kwdefaults__", {"wait": 0.05})
    issuer.slow(3600)
    clock.advance(310)
    assert per_call(outcome(verifier, token)) == "ok"


def test_two_loops_in_two_threads_share_a_verifier(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    verifier = issuer.verifier()
    lock, stop, faults = threading.Lock(), threading.Event(), list[str]()

    async def work() -> None:
        while not stop.is_set():
            with lock:  # the fake is not for threads; the verifier is
                token = issuer.mint(f"user-{time.monotonic_ns()}")
            seen = await outcome(verifier, token)
            if seen != "ok":
                faults.append(seen)
            await asyncio.sleep(0)

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while issuer.fetches <= 10 and time.monotonic() < deadline:
        with lock:
            clock.advance(250)
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert issuer.fetches > 10


def test_a_withdrawn_key_is_gone_for_every_thread(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    verifier = issuer.verifier()
    tokens = [issuer.mint(f"user-{n}", lifetime=100_000) for n in range(50)]
    started = threading.Barrier(4)

    async def work() -> set[str]:
        started.wait()
        return {await outcome(verifier, token) for token in tokens}

    def all_threads() -> list[set[str]]:
        seen: list[set[str]] = []
        threads = [threading.Thread(target=lambda: seen.append(asyncio.run(work()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return seen

    assert all_threads() == [{"ok"}] * 4
    issuer.rotate(keep=False)
    clock.advance(400)
    assert all_threads() == [{"unknown_kid"}] * 4


SERVED = """
import asyncio, http.server, os, threading, time, warnings
from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify._jwks import refresher
from authkit_verify.testing import FakeIssuer

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = issuer.document()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
issuer = FakeIssuer(f"http://127.0.0.1:{server.server_port}")
refresher.MAX_WAIT = refresher.Refresher.load.__kwdefaults__["wait"] = 50.0  # a busy machine is slow
now = [0.0]
accept = issuer.accept(allow_http_loopback=True)
verifier = Verifier(AcceptConfig(issuers=[accept], algorithms=["ES256"]), clock=lambda: time.time() + now[0])

def call():
    now[0] += 400
    return asyncio.run(verifier.verify(issuer.mint("ann", lifetime=1e6))).user_id
"""


def served(script: str) -> str:
    """Run a script with a verifier of an issuer on a real socket; a leaked socket is an error."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", SERVED + textwrap.dedent(script)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts file descriptors under /proc")
def test_fifty_loops_leave_no_socket_open() -> None:
    counted = served("""
        def descriptors():
            return len(os.listdir("/proc/self/fd"))
        call()
        time.sleep(0.3)  # the server's side of a connection ends a moment later
        before = descriptors()
        for _ in range(50):
            call()
        for _ in range(500):
            if descriptors() > before:
                time.sleep(0.1)
        print(descriptors() - before)
    """)
    assert int(counted) <= 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_fetches_keys_of_its_own() -> None:
    said = served("""
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork in a process with threads
        call()
        issuer.rotate(keep=False)
        child = os.fork()
        if child == 0:
            try:
                print(call(), flush=True)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        print(call())
    """)
    assert said.split() == ["ann", "ann"]
