"""Answers that event loops and threads share: one loop per call, a loop that ends early, many threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest

from authkit_verify import SyncVerifier, TokenError, Verifier
from authkit_verify.testing import FakeIssuer
from authkit_verify.wsgi import AuthMiddleware
from fakes.clock import FakeClock
from fakes.introspection import asked, judge
from fakes.verdicts import identity_or_code as outcome


@pytest.mark.parametrize("slow", [0.0, 0.02])
def test_a_loop_for_each_call_shares_the_answers(clock: FakeClock, slow: float) -> None:
    issuer = FakeIssuer(clock=clock)
    issuer.slow(slow)
    verifier = judge(issuer)
    token = issuer.mint_opaque("ann")
    for _ in range(3):
        assert asyncio.run(outcome(verifier, token)) == "ann"
    assert asked(issuer) == 1
    issuer.revoke(token)
    clock.advance(31)
    for _ in range(20):
        assert asyncio.run(outcome(verifier, token)) == "token_inactive"
        clock.advance(6)
    asking = verifier._issuers.accepted[issuer.issuer].introspector
    assert asking is not None
    assert len(asking._requests) <= 2, "loops that ended are forgotten"


async def test_a_request_that_began_before_a_revocation_does_not_answer_for_a_caller_after_it(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def looks_and_answers_later(request: httpx.Request) -> httpx.Response:
        response = await issuer.respond(request)
        begun.set()
        await go_on.wait()
        return response

    asked_anew = issuer.introspection(max_ttl=0.0, url="https://issuer.test/introspect")
    client = httpx.AsyncClient(transport=httpx.MockTransport(looks_and_answers_later))
    async with Verifier(issuer.accept(introspection=asked_anew, http_client=client), clock=clock) as verifier:
        token = issuer.mint_opaque("ann")
        before = asyncio.create_task(outcome(verifier, token))
        await begun.wait()
        issuer.revoke(token)
        clock.advance(0.1)
        after = [asyncio.create_task(outcome(verifier, token)) for _ in range(20)]
        await asyncio.sleep(0)
        go_on.set()
        assert await before == "ann"
        assert set(await asyncio.gather(*after)) == {"token_inactive"}
    assert asked(issuer) == 2


def test_a_caller_that_gives_up_with_its_loop_leaves_nothing_behind(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    verifier = judge(issuer)
    token = issuer.mint_opaque("ann")
    issuer.slow(5)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await verifier.verify(token)

    asyncio.run(impatient())
    issuer.recover()
    assert asyncio.run(outcome(verifier, token)) == "ann"
    assert verifier.health()["introspection"][issuer.issuer]["failures"] == 0


def test_threads_share_a_synchronous_verifier(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    accept = issuer.accept(introspection=issuer.introspection())
    token, found = issuer.mint_opaque("ann"), list[str]()
    with SyncVerifier(accept, issuer.client, clock) as verifier:
        threads = [
            threading.Thread(target=lambda: found.append(verifier.verify(token).user_id)) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (found, asked(issuer)) == (["ann"] * 20, 1)
        assert verifier.recall(token) is not None
        issuer.revoke(token)
        clock.advance(31)
        assert verifier.recall(token) is None
        with pytest.raises(TokenError, match="token_inactive"):
            verifier.verify(token)


def test_a_wsgi_application_takes_opaque_tokens_until_they_are_revoked(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    accept = issuer.accept(introspection=issuer.introspection())
    token, statuses = issuer.mint_opaque("ann"), list[str]()

    def hello(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return [environ["authkit"].user_id.encode()]

    with SyncVerifier(accept, issuer.client, clock) as verifier:
        app = AuthMiddleware(hello, verifier)

        def get() -> bytes:
            environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": f"Bearer {token}"}
            return b"".join(app(environ, lambda status, *_: statuses.append(status)))

        assert [get(), get()] == [b"ann", b"ann"]
        issuer.revoke(token)
        clock.advance(31)
        assert b"token_inactive" in get()
        issuer.break_down()
        clock.advance(31)
        assert b"introspection_unavailable" in get()
    assert statuses == ["200 OK", "200 OK", "401 Unauthorized", "503 Service Unavailable"]
    assert asked(issuer) == 2
