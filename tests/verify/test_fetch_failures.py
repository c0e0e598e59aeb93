"""Why keys could not be fetched: once in the log, in health, and with the pause that the issuer asks for."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

import httpx
import pytest

from authkit_verify import TokenError, Verifier
from authkit_verify._jwks.fetch import fetch
from authkit_verify._jwks.fetch_error import FetchError
from authkit_verify._jwks.key_set_cache import KeySetCache
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock


async def code(verifier: Verifier, token: str) -> str:
    with pytest.raises(TokenError) as caught:
        await verifier.verify(token)
    return caught.value.code


@pytest.mark.parametrize("with_keys", [False, True])
async def test_a_key_server_that_asks_for_a_pause_gets_it(clock: FakeClock, *, with_keys: bool) -> None:
    issuer = FakeIssuer(clock=clock)
    asked: list[float] = []
    busy = not with_keys

    def answer(_: httpx.Request) -> httpx.Response:
        asked.append(clock())
        if busy:
            return httpx.Response(429, headers={"retry-after": "30"})
        return httpx.Response(200, content=issuer.document())

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with Verifier(issuer.verifier().config, http_client=http, clock=clock) as verifier:
        if with_keys:
            await verifier.verify(issuer.mint())
            busy = True
            asked.clear()
        for n in range(29):
            assert await code(verifier, issuer.mint(header={"kid": f"new-{n}"})) == "keys_unavailable"
            await asyncio.sleep(0)
            clock.advance(1)
        # With keys, their last known URL is asked as well: another host may have them.
        assert len(asked) == 1 + with_keys
        busy = False
        clock.advance(2)
        await verifier.verify(issuer.mint())


async def test_the_cause_of_a_failure_is_in_the_log_and_in_health_once(
    issuer: FakeIssuer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def last_error() -> str | None:
        return verifier.health()["issuers"][issuer.issuer]["last_error"]

    def warnings() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        caplog.clear()
        return found

    async with issuer.verifier() as verifier:
        issuer.break_down(404)
        for _ in range(5):
            assert await code(verifier, issuer.mint()) == "keys_unavailable"
            clock.advance(61)
        where = "https://issuer.test/.well-known"
        assert last_error() == (
            f"{where}/jwks.json: the response has status 404; no metadata: {where}/openid-configuration: "
            f"the response has status 404; {where}/oauth-authorization-server: the response has status 404; "
            "set jwks_url"
        )
        (line,) = warnings()
        assert "https://issuer.test/.well-known/jwks.json: the response has status 404" in line
        assert "authkit doctor" in line
        issuer.break_down(500)
        assert await code(verifier, issuer.mint()) == "keys_unavailable"
        (line,) = warnings()
        assert "500" in line
        issuer.recover()
        clock.advance(61)
        await verifier.verify(issuer.mint())
        assert last_error() is None
        issuer.publish(b'{"keys":[]}')
        clock.advance(310)
        await verifier.verify(issuer.mint())
        assert last_error() == "https://issuer.test/jwks.json: the key set holds no usable key"


async def test_the_cause_of_a_failed_discovery_names_both_documents(issuer: FakeIssuer) -> None:
    issuer.metadata = None
    async with issuer.verifier(discovery=True) as verifier:
        error = (await verifier.warm())["issuers"][issuer.issuer]["last_error"]
    assert error is not None
    for place in ("openid-configuration", "oauth-authorization-server"):
        assert f"https://issuer.test/.well-known/{place}: the response has status 404" in error


async def test_a_time_limit_is_named_as_the_cause(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_verify._jwks.refresher.TOTAL_TIMEOUT", 0.02)
    issuer.slow(30)
    async with issuer.verifier() as verifier:
        error = (await verifier.warm())["issuers"][issuer.issuer]["last_error"]
    assert error == "https://issuer.test: no answer within 0.02 s"


def test_no_response_of_a_key_server_raises_anything_but_a_failure_or_postpones_keys_for_long(
    rounds: Callable[[int], int], clock: FakeClock
) -> None:
    dice = random.Random(14)
    texts = [
        "",
        "0",
        "-1",
        "9" * 400,
        "\u0663",
        "1e9",
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "Wed, 99 Oct 99999",
        "a\0b",
    ]
    names = ["retry-after", "date", "age", "expires", "cache-control", "etag", "content-encoding", "location"]
    cache = KeySetCache(clock, cache_ttl=300, max_stale=3600)

    def answer(_: httpx.Request) -> httpx.Response:
        headers = {
            dice.choice(names): (
                dice.choice(["", "max-age=", "stale-if-error="]) + dice.choice(texts)
            ).encode()
            for _ in range(4)
        }
        return httpx.Response(dice.choice([200, 302, 304, 429, 503]), headers=headers, content=b"{}")

    delays: list[float] = []

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            for _ in range(rounds(20_000)):
                try:
                    assert (await fetch(http, "https://i.test/k", etag='"1"')).body in {b"{}", None}
                except FetchError as failure:
                    delays.append(cache.fail("failed", failure.retry_after))

    asyncio.run(run())
    assert 0.5 <= min(delays) < max(delays) <= 60
