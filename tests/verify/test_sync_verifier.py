"""The verifier without asyncio, and its door for WSGI: the same rules, in threads and forks."""

from __future__ import annotations

import asyncio
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from werkzeug.serving import make_server

from authkit_verify import (
    Enrichment,
    SyncVerifier,
    TokenError,
    require_admin,
    require_role,
)
from authkit_verify.testing import FakeClient, FakeIssuer
from authkit_verify.wsgi import AuthMiddleware, check, principal_of
from fakes.clock import FakeClock


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    return FakeIssuer(clock=clock)


@pytest.fixture
def verifier(issuer: FakeIssuer, clock: FakeClock) -> Iterator[SyncVerifier]:
    with SyncVerifier(issuer.accept(), http_client=issuer.client, clock=clock) as made:
        yield made


def code(verifier: SyncVerifier, token: str) -> str:
    try:
        return verifier.verify(token).user_id
    except TokenError as error:
        return error.code


def test_tokens_are_judged_by_the_same_rules(verifier: SyncVerifier, issuer: FakeIssuer) -> None:
    assert code(verifier, issuer.mint("ann")) == "ann"
    assert code(verifier, issuer.mint(aud="other")) == "bad_audience"
    assert code(verifier, issuer.mint_forged()) == "invalid_token"
    assert code(verifier, issuer.mint_expired()) == "token_expired"
    assert verifier.explain(issuer.mint("ann")).accepted
    assert verifier.health()["ready"]
    assert verifier.counters()[issuer.issuer]["tokens"]["accepted"] == 1


def test_a_cached_token_starts_no_thread_and_a_fetch_runs_beside_the_caller(
    verifier: SyncVerifier, issuer: FakeIssuer, clock: FakeClock
) -> None:
    token = issuer.mint("ann", lifetime=100_000)
    assert code(verifier, token) == "ann"
    before = threading.active_count()
    assert verifier.recall(token) is not None
    assert threading.active_count() == before
    fetched = issuer.fetches
    clock.advance(290)  # due, and the set is still fresh: no caller waits
    assert verifier.recall(token) is None
    assert code(verifier, token) == "ann"
    for _ in range(200):
        if issuer.fetches > fetched:
            break
        verifier.run(asyncio.sleep(0.001))
    assert issuer.fetches == fetched + 1
    assert verifier.recall(token) is not None


def test_a_withdrawn_key_goes(verifier: SyncVerifier, issuer: FakeIssuer, clock: FakeClock) -> None:
    token = issuer.mint("ann", lifetime=100_000)
    assert code(verifier, token) == "ann"
    issuer.rotate(keep=False)
    seen = []
    for _ in range(3):
        clock.advance(310)
        seen.append(code(verifier, token))
    assert seen[-1] == "unknown_kid"


def test_sixteen_threads_share_one_verifier(issuer: FakeIssuer, clock: FakeClock, rounds: Any) -> None:
    # A small cache, so that its generations change all the time.
    verifier = SyncVerifier(issuer.accept(), http_client=issuer.client, clock=clock, cache_entries=16)
    good = [issuer.mint(f"user-{n}", lifetime=100_000) for n in range(40)]
    tokens = [*good, *[issuer.mint_forged(f"user-{n}") for n in range(4)]]
    start = threading.Barrier(16)

    def work(number: int) -> list[tuple[str, str]]:
        start.wait()
        return [
            (f"user-{n}" if n < 40 else "invalid_token", code(verifier, tokens[n]))
            for turn in range(rounds(200))
            for n in [(turn * 7 + number) % 44]
        ]

    with verifier, ThreadPoolExecutor(16) as threads:
        for results in threads.map(work, range(16)):
            assert all(expected == got for expected, got in results)
    assert issuer.fetches <= 3


def test_the_package_is_imported_where_processes_cannot_be_forked() -> None:
    code = "import os; del os.fork, os.register_at_fork; from authkit_verify import Verifier"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_forked_process_has_a_thread_of_its_own(verifier: SyncVerifier, issuer: FakeIssuer) -> None:
    assert code(verifier, issuer.mint("ann")) == "ann"
    fresh = issuer.mint("ben")
    child = os.fork()
    if child == 0:
        os._exit(0 if code(verifier, fresh) == "ben" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert code(verifier, issuer.mint("cat")) == "cat"


def test_no_greenlet_beside_its_own_takes_its_event_loop_for_a_running_one(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Waiting(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            seen.append(asyncio._get_running_loop())  # what greenlets find that run meanwhile
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Waiting)
    monkeypatch.setitem(
        sys.modules, "gevent.monkey", SimpleNamespace(is_module_patched=lambda name: name == "threading")
    )

    class Starting(ThreadPoolExecutor):
        def submit(self, *given: Any) -> Any:  # the start of its thread lets go of the greenlet, too
            seen.append(asyncio._get_running_loop())
            return super().submit(*given)

    async def in_a_thread() -> bool:
        ours = asyncio.get_running_loop()
        await ours.run_in_executor(executor, time.monotonic)
        return ours is asyncio.get_running_loop()

    with Starting() as executor, SyncVerifier(issuer.accept(), http_client=issuer.client) as verifier:
        assert verifier.verify(issuer.mint("ann")).user_id == "ann"
        assert verifier.run(in_a_thread())
    assert set(seen) == {None}


def test_closing_ends_the_thread_and_a_later_call_starts_another(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    verifier = SyncVerifier(issuer.accept(), http_client=issuer.client, clock=clock)
    verifier.close()
    assert code(verifier, issuer.mint("ann")) == "ann"
    verifier.close()
    verifier.close()
    assert not [one for one in threading.enumerate() if one.name == "authkit-verifier"]
    assert code(verifier, issuer.mint("ben")) == "ben"
    verifier.close()


def test_calls_in_progress_end_while_the_verifier_closes(issuer: FakeIssuer, clock: FakeClock) -> None:
    verifier = SyncVerifier(issuer.accept(), http_client=issuer.client, clock=clock)
    refused = issuer.mint_forged()
    done = threading.Event()

    def work(_: int) -> int:
        calls = 0
        while not done.is_set() or not calls:
            assert code(verifier, refused) in {"invalid_token", "keys_unavailable"}
            calls += 1
        return calls

    with ThreadPoolExecutor(4) as threads:
        running = threads.map(work, range(4))
        for _ in range(50):
            time.sleep(0.002)
            verifier.close()
        done.set()
        assert all(calls > 0 for calls in running)  # a call that was dropped would never end
    verifier.close()


def test_no_call_waits_for_a_thread_that_could_not_be_started(
    verifier: SyncVerifier, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as at_the_limit:
        at_the_limit.setattr(threading.Thread, "start", limited)
        with pytest.raises(RuntimeError, match="can't start"):
            verifier.verify(issuer.mint("ann"))
    answers: list[str] = []
    later = threading.Thread(target=lambda: answers.append(code(verifier, issuer.mint("ann"))), daemon=True)
    later.start()
    later.join(30)
    assert answers == ["ann"]


def test_a_call_on_its_own_loop_is_refused_and_errors_of_the_host_are_not_hidden(
    verifier: SyncVerifier, issuer: FakeIssuer
) -> None:
    async def inside() -> None:
        verifier.verify(issuer.mint("ann"))

    with pytest.raises(RuntimeError, match="await its asynchronous verifier"):
        verifier.run(inside())

    def broken() -> float:
        raise RuntimeError("a clock of the host")

    token = issuer.mint("ann")
    assert code(verifier, token) == "ann"
    verifier.asynchronous._cache._clock = broken
    with pytest.raises(RuntimeError, match="a clock of the host"):
        verifier.verify(token)


# --- WSGI -------------------------------------------------------------------------------------------------


def plain(environ: Any, start_response: Any) -> list[bytes]:
    caller = principal_of(environ)
    if environ["PATH_INFO"] == "/staff":
        check(environ, require_role("staff"))
    start_response("200 OK", [("content-type", "text/plain")])
    assert (environ["authkit"] is None) == (caller is None)
    return [b"" if caller is None else caller.identity.encode()]


def ask(app: Any, path: str = "/", method: str = "GET", **headers: str) -> httpx.Response:
    with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://app.test") as client:
        return client.request(method, path, headers=headers)


def test_wsgi_lets_a_valid_token_through_and_refuses_as_asgi_does(
    verifier: SyncVerifier, issuer: FakeIssuer
) -> None:
    app = AuthMiddleware(plain, verifier, exclude=["/open"], scopes=["read"])
    for _ in range(2):  # new, then cached
        answer = ask(app, **issuer.bearer("ann"))
        assert (answer.status_code, answer.text) == (200, "ann")
    missing = ask(app)
    assert missing.status_code == 401
    assert missing.headers["www-authenticate"] == 'Bearer realm="authkit", scope="read"'
    assert ask(app, "/open").status_code == 200
    assert ask(app, "/open/../x").status_code == 401
    assert ask(app, **issuer.bearer(aud="other")).json()["error"] == "bad_audience"
    assert ask(app, authorization="Bearer a, Bearer b").status_code == 400
    assert ask(app, method="HEAD").content == b""
    assert ask(app, "/staff", **issuer.bearer("ann")).status_code == 403
    assert ask(app, "/staff", **issuer.bearer("ann", roles=["staff"])).status_code == 200
    preflight = {"origin": "https://x.test", "access-control-request-method": "GET"}
    assert ask(app, method="OPTIONS", **preflight).status_code == 200
    issuer.break_down()
    fresh = SyncVerifier(issuer.accept(), http_client=issuer.client, clock=issuer.clock)
    unavailable = ask(AuthMiddleware(plain, fresh), **issuer.bearer())
    fresh.close()
    assert (unavailable.status_code, "retry-after" in unavailable.headers) == (503, True)
    optional = AuthMiddleware(plain, verifier, required=False)
    assert (ask(optional).status_code, ask(optional, **issuer.bearer(aud="x")).status_code) == (200, 401)


def late(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    check(environ, require_role("staff"))
    return [b"staff"]


def streaming(environ: Any, start_response: Any) -> Iterator[bytes]:
    check(environ, require_role("staff"))
    start_response("200 OK", [("content-type", "text/plain")])
    yield b"staff"


@pytest.mark.parametrize("app", [late, streaming])
def test_a_denial_replaces_a_response_that_was_not_sent(
    verifier: SyncVerifier, issuer: FakeIssuer, app: Any
) -> None:
    server = make_server("127.0.0.1", 0, AuthMiddleware(app, verifier), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
            assert client.get("/", headers=issuer.bearer("ann")).status_code == 403
            assert client.get("/", headers=issuer.bearer("ann", roles=["staff"])).text == "staff"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_wsgi_counts_a_token_once_and_reads_dpop_proofs(verifier: SyncVerifier, issuer: FakeIssuer) -> None:
    app, client = AuthMiddleware(plain, verifier), FakeClient()
    headers = issuer.bearer("ann")
    for _ in range(3):
        assert ask(app, **headers).status_code == 200
    tokens = verifier.counters()[issuer.issuer]["tokens"]
    assert (tokens["accepted"], tokens["accepted_from_cache"]) == (1, 2)
    bound = issuer.mint("ann", cnf=client.cnf)
    shown = dict(client.headers(bound, "GET", "http://app.test/"))
    assert ask(app, **shown).text == "ann"
    replayed = ask(app, **shown)
    assert (replayed.status_code, replayed.json()["error"]) == (401, "invalid_dpop_proof")
    assert replayed.headers["www-authenticate"].startswith("DPoP ")
    assert ask(app, authorization=f"Bearer {bound}").status_code == 401
    assert code(verifier, bound) == "invalid_token"


class Records:
    def __init__(self) -> None:
        self.roles: tuple[str, ...] = ("admin",)
        self.allowed = True

    async def enrich(self, user_id: str) -> Enrichment:
        return Enrichment(allowed=self.allowed, roles=self.roles)


def test_wsgi_asks_the_records_and_guards_that_wait(verifier: SyncVerifier, issuer: FakeIssuer) -> None:
    records = Records()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        check(environ, require_admin())
        start_response("204 No Content", [])
        return []

    wrapped = AuthMiddleware(app, verifier, enrichment=records)
    headers = issuer.bearer("ann")
    assert ask(wrapped, **headers).status_code == 204
    records.roles = ()
    assert ask(wrapped, **headers).status_code == 403
    records.allowed = False
    assert ask(wrapped, **issuer.bearer("ben")).json()["error"] == "user_disabled"


def test_a_check_without_the_middleware_says_so() -> None:
    with pytest.raises(RuntimeError, match="AuthMiddleware"):
        check({}, require_role("staff"))
    with pytest.raises(TypeError, match="wraps a WSGI application"):
        AuthMiddleware(None, None)  # type: ignore[arg-type]
