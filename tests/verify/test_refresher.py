from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from authkit_verify import TokenError, Verifier
from authkit_verify._jwks.discovery import Location
from authkit_verify._jwks.fetch_limits import NEGATIVE_SIZE
from authkit_verify._jwks.key_set_cache import KeySetCache
from authkit_verify._jwks.refresher import Origin, Refresher
from authkit_verify.config.http_client import HttpClient
from authkit_verify.testing import FakeIssuer, FakeKey
from fakes.clock import FakeClock
from fakes.until import until

pytestmark = pytest.mark.virtual_time


async def code(verifier: Verifier, token: str) -> str:
    with pytest.raises(TokenError) as caught:
        await verifier.verify(token)
    return caught.value.code


async def accepted(verifier: Verifier, issuer: FakeIssuer) -> bool:
    try:
        await verifier.verify(issuer.mint())
    except TokenError:
        return False
    return True


async def source(verifier: Verifier, issuer: FakeIssuer) -> str:
    return (await verifier.authenticate(issuer.mint())).keys.source


async def settle() -> None:
    """Let a background fetch that needs no network end."""
    for _ in range(50):
        await asyncio.sleep(0)


def remote(
    answer: Callable[[httpx.Request], httpx.Response], clock: FakeClock, *, random_unit: float = 0.5
) -> Refresher:
    """Keys from an address whose answers the test writes itself."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))

    async def locate(_: HttpClient) -> Location:
        return Location("https://i.test/jwks.json")

    @asynccontextmanager
    async def client() -> AsyncGenerator[HttpClient]:
        yield http

    origin = Origin(issuer="https://i.test", locate=locate, client=client)
    cache = KeySetCache(clock, cache_ttl=300, max_stale=3600, random_unit=lambda: random_unit)
    return Refresher(origin, cache, clock)


async def test_fifty_first_requests_at_once_make_one_fetch(issuer: FakeIssuer) -> None:
    issuer.slow(0.02)
    async with issuer.verifier() as verifier:
        await asyncio.gather(*(verifier.verify(issuer.mint(f"user-{n}")) for n in range(50)))
    assert issuer.fetches == 1


async def test_a_waiter_that_is_cancelled_takes_no_other_with_it(issuer: FakeIssuer) -> None:
    issuer.slow(0.05)
    async with issuer.verifier() as verifier:
        waiters = [asyncio.ensure_future(verifier.verify(issuer.mint())) for _ in range(5)]
        await asyncio.sleep(0.01)
        waiters[0].cancel()
        results = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(not isinstance(result, BaseException) for result in results[1:])
    assert issuer.fetches == 1


async def test_a_rotation_right_after_a_fetch_verifies(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        issuer.rotate()
        await verifier.verify(issuer.mint())
        issuer.rotate()
        await verifier.verify(issuer.mint())
    assert issuer.fetches == 3
    assert issuer.requests[-1].headers["cache-control"] == "no-cache"


async def test_sixteen_rotations_thirty_seconds_apart_lose_nothing(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier() as verifier:
        for _ in range(16):
            await verifier.verify(issuer.mint())
            clock.advance(30)
            issuer.rotate(keep=False)


async def test_a_thousand_random_key_ids_cause_two_extra_fetches(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        for n in range(1000):
            clock.advance(0.0299)
            assert await code(verifier, issuer.mint(header={"kid": f"random-{n}"})) == "unknown_kid"
        assert issuer.fetches == 3
        await verifier.verify(issuer.mint())


async def test_random_key_ids_at_once_share_one_fetch(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        tokens = [issuer.mint(header={"kid": f"random-{n}"}) for n in range(1000)]
        results = await asyncio.gather(*map(verifier.verify, tokens), return_exceptions=True)
    assert {getattr(result, "code", None) for result in results} == {"unknown_kid"}
    assert issuer.fetches <= 3


async def test_an_id_that_was_not_there_is_looked_for_again_after_thirty_seconds(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        token = issuer.mint(header={"kid": "later"})
        for _ in range(3):
            assert await code(verifier, token) == "unknown_kid"
        assert issuer.fetches == 2
        clock.advance(30)
        assert await code(verifier, token) == "unknown_kid"
        assert issuer.fetches == 3


async def test_any_refresh_forgets_which_ids_were_not_there(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with issuer.verifier(cache_ttl=10) as verifier:
        await verifier.verify(issuer.mint())
        assert await code(verifier, issuer.mint(header={"kid": "key-2"})) == "unknown_kid"
        clock.advance(9)
        await verifier.verify(issuer.mint())
        await settle()
        assert issuer.rotate().kid == "key-2"
        await verifier.verify(issuer.mint())


async def test_ids_that_were_not_there_are_remembered_within_bounds(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        remote = next(iter(verifier._issuers.accepted.values())).keys._remote
        assert remote is not None
        for n in range(3 * NEGATIVE_SIZE):
            remote.cache.mark_absent(f"kid-{n}")
        assert len(remote.cache._absent) <= NEGATIVE_SIZE


async def test_keys_are_renewed_in_the_background_before_they_are_old(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        clock.advance(200)
        await verifier.verify(issuer.mint())
        await settle()
        assert issuer.fetches == 1
        clock.advance(70)
        assert (await verifier.authenticate(issuer.mint())).keys.age == 270
        await settle()
        assert issuer.fetches == 2
        assert (await verifier.authenticate(issuer.mint())).keys.age == 0


async def test_an_outage_admits_every_genuine_token_until_max_stale_is_over_and_no_user_waits(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier(cache_ttl=300, max_stale=3600) as verifier:
        await verifier.verify(issuer.mint())
        issuer.slow(30)  # a caller that waited for the network would time this test out
        for _ in range(38):
            clock.advance(100)
            assert await source(verifier, issuer) in {"fresh", "stale"}
        assert await source(verifier, issuer) == "stale"
        await verifier.aclose()
        issuer.recover()
        issuer.break_down()
        clock.advance(101)
        assert await code(verifier, issuer.mint()) == "keys_unavailable"
        issuer.recover()
        clock.advance(61)
        assert await source(verifier, issuer) == "fresh"


async def test_failures_are_spaced_by_the_back_off(issuer: FakeIssuer, clock: FakeClock) -> None:
    issuer.break_down()
    async with issuer.verifier() as verifier:
        for _ in range(21):
            with pytest.raises(TokenError) as caught:
                await verifier.verify(issuer.mint())
            assert caught.value.code == "keys_unavailable"
            assert caught.value.retry_after is not None
            assert caught.value.retry_after <= 1
        assert len(issuer.requests) == 2  # one try: both documents of metadata
        issuer.recover()
        clock.advance(1)
        await verifier.verify(issuer.mint())


async def test_an_unknown_id_in_an_outage_is_not_called_unknown(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        known = issuer.mint()
        issuer.rotate()
        issuer.break_down()
        for _ in range(5):
            assert await code(verifier, issuer.mint()) == "keys_unavailable"
        assert issuer.fetches == 3  # failures count: the bucket holds two
        assert (await verifier.authenticate(known)).keys.source == "fresh"  # and age nothing


@pytest.mark.parametrize("body", [b'{"keys":[]}', b"<html>", b"", b'{"keys":[{"kty":"oct"}]}', b"{}"])
async def test_good_keys_are_never_replaced_by_an_unusable_set(
    issuer: FakeIssuer, clock: FakeClock, body: bytes
) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        issuer.publish(body)
        clock.advance(280)
        await verifier.verify(issuer.mint())
        await settle()
        assert await source(verifier, issuer) == "last_known_good"
        clock.advance(300 + 3600)
        assert await code(verifier, issuer.mint()) == "keys_unavailable"


async def test_a_withdrawn_key_stops_verifying_at_the_next_fetch(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier() as verifier:
        old = issuer.mint(lifetime=9999)
        await verifier.verify(old)
        issuer.rotate(keep=False)
        await verifier.verify(issuer.mint())
        assert await code(verifier, old) == "unknown_kid"


async def test_an_unchanged_set_is_not_sent_again_and_is_fresh_again(clock: FakeClock) -> None:
    body = json.dumps({"keys": [FakeKey.generate("one", "ES256").jwk()]}).encode()
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("if-none-match"))
        if seen[-1] == '"one"':
            return httpx.Response(304)
        return httpx.Response(200, content=body, headers={"ETag": '"one"', "Cache-Control": "max-age=90"})

    keys = remote(answer, clock)
    await keys.load()
    before, _ = keys.usable() or (None, None)
    clock.advance(85)
    keys.usable()
    await settle()
    after, state = keys.usable() or (None, None)
    assert seen == [None, '"one"']
    assert after is before  # nothing was read again, and verified tokens stay remembered
    assert state is not None
    assert (state.source, state.age) == ("fresh", 0)
    assert keys.cache.refresh_in <= 90 * 0.88  # a 304 without cache headers leaves the lifetime as it was


async def test_the_mark_of_an_unusable_answer_is_not_kept(clock: FakeClock) -> None:
    good = json.dumps({"keys": [FakeKey.generate("one", "ES256").jwk()]}).encode()
    answers = [(good, '"good"'), (b'{"keys":[]}', '"empty"'), (good, '"good"')]
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("if-none-match"))
        body, mark = answers[len(seen) - 1]
        return httpx.Response(200, content=body, headers={"ETag": mark})

    keys = remote(answer, clock)
    for _ in range(3):
        clock.advance(290)
        await keys.load()
    assert seen == [None, '"good"', '"good"']


async def test_verifiers_that_started_together_do_not_refresh_together(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    due = []
    for unit in (0.0, 0.5, 1.0):
        keys = remote(lambda _: httpx.Response(200, content=issuer.document()), clock, random_unit=unit)
        await keys.load()
        due.append(keys.cache.refresh_in)
    assert due == [pytest.approx(300 * 0.8 * share) for share in (0.9, 1.0, 1.1)]


async def test_a_key_replaced_under_its_own_id_is_found_once_the_set_is_a_minute_old(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier() as verifier:
        kid = issuer.key.kid
        await verifier.verify(issuer.mint())
        issuer.keys = []
        issuer._made = 0
        issuer.rotate()
        assert issuer.key.kid == kid
        assert await code(verifier, issuer.mint()) == "invalid_token"
        assert issuer.fetches == 1
        clock.advance(61)
        await verifier.verify(issuer.mint())
        for _ in range(100):
            bad = issuer.mint()[:-4] + "AAAA"
            assert await code(verifier, bad) == "invalid_token"
        assert issuer.fetches == 2


async def test_a_request_waits_two_seconds_at_most_and_the_fetch_goes_on(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_verify._jwks.refresher.MAX_WAIT", 0.01)
    monkeypatch.setattr("authkit_verify._jwks.refresher.Refresher.load.__kwdefaults__", {"wait": 0.01})
    issuer.slow(0.3)
    async with issuer.verifier() as verifier:
        assert await code(verifier, issuer.mint()) == "keys_unavailable"
        await until(lambda: accepted(verifier, issuer))
    assert issuer.fetches == 1


async def test_an_unknown_id_is_not_called_unknown_while_the_fetch_goes_on(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_verify._jwks.refresher.MAX_WAIT", 0.01)
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        issuer.rotate()
        issuer.slow(0.3)
        assert await code(verifier, issuer.mint()) == "keys_unavailable"
        await until(lambda: accepted(verifier, issuer))
    assert issuer.fetches == 2


async def test_a_key_that_came_while_a_refresh_was_under_way_is_found(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        clock.advance(280)
        before = issuer.document()
        issuer.publish(before)
        issuer.slow(0.2)
        await verifier.verify(issuer.mint())  # starts the refresh, which brings the set of this moment
        issuer.rotate()
        await asyncio.sleep(0.001)
        waiter = asyncio.ensure_future(verifier.verify(issuer.mint()))
        await asyncio.sleep(0.3)  # within the second fetch, from 0.2 to 0.4 s, on a busy machine too
        issuer.recover()
        await waiter
    assert issuer.requests[-1].headers["cache-control"] == "no-cache"


async def test_a_cache_on_the_way_cannot_hide_a_new_key_from_the_first_request(issuer: FakeIssuer) -> None:
    cached = issuer.document()
    issuer.rotate()

    def answer(request: httpx.Request) -> httpx.Response:
        fresh = request.headers.get("cache-control") == "no-cache"
        return httpx.Response(200, content=issuer.document() if fresh else cached)

    config = issuer.verifier().config
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        await Verifier(config, http_client=http, clock=issuer.clock).verify(issuer.mint())


async def test_a_fetch_that_drips_without_end_is_given_up(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_verify._jwks.refresher.TOTAL_TIMEOUT", 0.02)
    issuer.slow(30)
    async with issuer.verifier() as verifier:
        assert await code(verifier, issuer.mint()) == "keys_unavailable"
        assert verifier.health()["issuers"][issuer.issuer]["failures"] == 1


async def test_closing_stops_a_fetch_under_way(issuer: FakeIssuer) -> None:
    issuer.slow(30)
    verifier = issuer.verifier()
    waiter = asyncio.ensure_future(verifier.verify(issuer.mint()))
    await until(lambda: bool(issuer.requests))
    await verifier.aclose()
    with pytest.raises(TokenError):
        await waiter


async def test_closing_while_an_unknown_id_is_looked_for_calls_nothing_unknown(issuer: FakeIssuer) -> None:
    verifier = issuer.verifier()
    await verifier.verify(issuer.mint())
    issuer.rotate()
    issuer.slow(30)
    before = len(issuer.requests)
    waiter = asyncio.ensure_future(code(verifier, issuer.mint()))
    await until(lambda: len(issuer.requests) > before)
    await verifier.aclose()
    assert await waiter == "keys_unavailable"


def test_a_verifier_outlives_an_event_loop(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    verifier = issuer.verifier()
    for _ in range(2):
        asyncio.run(verifier.authenticate(issuer.mint()))
        clock.advance(290)
    assert issuer.fetches >= 1


async def test_a_private_half_published_later_raises_the_alarm_once(
    issuer: FakeIssuer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    keys = json.loads(issuer.document())["keys"]
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        issuer.publish(json.dumps({"keys": [keys[0] | {"d": "AAAA"}]}).encode())
        for _ in range(3):
            clock.advance(280)
            await verifier.verify(issuer.mint())
            await settle()
    alarms = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(alarms) == 1
    assert "private half" in alarms[0].message
