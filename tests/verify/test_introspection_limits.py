"""How often an issuer is asked: answers that count, one request per token, and pauses after failures."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback

import httpx
import pytest

from authkit_verify import Event, Introspection, TokenError, Verifier
from authkit_verify._policy.introspection.answers import Answer, Answers, Failure
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock
from fakes.gather import gather
from fakes.introspection import asked, judge
from fakes.until import until
from fakes.verdicts import identity_or_code as outcome

pytestmark = pytest.mark.virtual_time

# --- how long an answer counts ----------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "opaque"), [("opaque", True), ("always", True), ("jwt", False)])
async def test_a_revoked_token_is_refused_after_max_ttl_at_the_latest(
    issuer: FakeIssuer, clock: FakeClock, mode: str, *, opaque: bool
) -> None:
    async with judge(issuer, mode=mode, max_ttl=20.0) as verifier:
        token = issuer.mint_opaque("ann") if opaque else issuer.mint("ann")
        for _ in range(5):
            assert await outcome(verifier, token) == "ann"
        issuer.revoke(token)
        clock.advance(19.9)
        assert verifier.recall(token) is not None
        assert (await outcome(verifier, token), asked(issuer)) == ("ann", 1)
        clock.advance(0.1)
        assert verifier.recall(token) is None
        assert (await outcome(verifier, token), asked(issuer)) == ("token_inactive", 2)


async def test_an_answer_counts_from_the_request_and_not_from_its_arrival(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    def slowly(_: str) -> httpx.Response:
        clock.advance(8)
        return httpx.Response(200, json={"active": True, "sub": "ann", "aud": "api", "exp": clock() + 900})

    issuer.endpoint.answer = slowly
    async with judge(issuer, max_ttl=10.0) as verifier:
        assert await outcome(verifier, "token-of-ann") == "ann"
        clock.advance(2)
        assert verifier.recall("token-of-ann") is None


async def test_no_answer_counts_beyond_the_expiry_of_the_token(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with judge(issuer, max_ttl=900.0) as verifier:
        token = issuer.mint_opaque("ann", lifetime=10)
        assert await outcome(verifier, token) == "ann"
        clock.advance(71)  # with the skew
        assert await outcome(verifier, token) == "token_expired"
        assert asked(issuer) == 1


@pytest.mark.parametrize("mode", ["opaque", "jwt"])
async def test_max_ttl_zero_asks_about_each_request(issuer: FakeIssuer, mode: str) -> None:
    async with judge(issuer, mode=mode, max_ttl=0.0) as verifier:
        token = issuer.mint_opaque("ann") if mode == "opaque" else issuer.mint("ann")
        for _ in range(3):
            assert await outcome(verifier, token) == "ann"
        assert asked(issuer) == 3
        issuer.revoke(token)
        assert await outcome(verifier, token) == "token_inactive"


async def test_an_inactive_token_is_asked_about_again_after_negative_ttl(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with judge(issuer, negative_ttl=5.0) as verifier:
        for _ in range(50):
            assert await outcome(verifier, "not-yet-known") == "token_inactive"
        assert asked(issuer) == 1
        issuer.endpoint.opaque["not-yet-known"] = {"sub": "ann", "aud": "api", "exp": clock() + 60}
        clock.advance(5)
        assert await outcome(verifier, "not-yet-known") == "ann"


async def test_the_clock_of_the_wall_cannot_lengthen_an_answer(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, ages = FakeIssuer(clock=clock), [0.0]
    async with judge(issuer) as verifier:
        asking = verifier._issuers.accepted[issuer.issuer].introspector
        assert asking is not None
        for part in (asking, asking._answers, asking._circuit):
            monkeypatch.setattr(part, "_clock", lambda: ages[0])
        token = issuer.mint_opaque("ann")
        assert await outcome(verifier, token) == "ann"
        ages[0] += 31  # while the wall clock was set back
        assert verifier.recall(token) is None


async def test_without_a_cache_of_tokens_the_answers_are_still_kept(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    accept = issuer.accept(introspection=issuer.introspection())
    async with Verifier(accept, issuer.client, clock, cache_entries=0) as verifier:
        token = issuer.mint_opaque("ann")
        for _ in range(5):
            assert await outcome(verifier, token) == "ann"
    assert asked(issuer) == 1


def test_answers_are_bounded_and_inactive_ones_push_no_active_one_out(clock: FakeClock) -> None:
    answers = Answers(clock, 100)
    answers.put(b"good", Answer({"sub": "ann"}, clock(), clock() + 60))
    for n in range(10_000):
        answers.put(b"bad-%d" % n, Answer(None, clock(), clock() + 60))
    assert answers.get(b"good") is not None
    assert len(answers._refused) <= 100
    for n in range(10_000):
        answers.put(b"new-%d" % n, Answer({"sub": "x" * 100}, clock(), clock() + 60))
    assert len(answers._active) <= 100
    large = Answer({"sub": "x" * 9_000_000}, clock(), clock() + 60)
    for n in range(20):
        answers.put(b"large-%d" % n, large)
    assert len(answers._active) <= 2
    answers.put(b"late", Failure(clock()))
    assert answers.get(b"late") is None


def test_the_memory_grows_with_answers_that_count(clock: FakeClock) -> None:
    answers = Answers(clock, 32_768)
    for n in range(400):
        answers.put(b"good-%d" % n, Answer({"sub": "ann"}, clock(), clock() + 50))
        answers.put(b"bad-%d" % n, Answer(None, clock(), clock() + 10))
        clock.advance(1)
    assert 50 <= len(answers._active) <= 101
    assert 10 <= len(answers._refused) <= 21
    assert answers.get(b"good-351") is not None


async def test_no_raw_token_is_kept_with_the_answers(issuer: FakeIssuer) -> None:
    verifier = judge(issuer)
    assert await outcome(verifier, "an-unknown-opaque-token") == "token_inactive"
    asking = verifier._issuers.accepted[issuer.issuer].introspector
    assert asking is not None
    kept = repr([asking._answers._refused._young, asking._requests])
    assert kept.count("Answer(") == 1
    assert "an-unknown-opaque-token" not in kept


# --- one request for each token ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["opaque", "jwt"])
async def test_a_hundred_calls_at_once_are_one_request(issuer: FakeIssuer, mode: str) -> None:
    issuer.slow(0.02)
    async with judge(issuer, mode=mode) as verifier:
        token = issuer.mint_opaque("ann") if mode == "opaque" else issuer.mint("ann")
        assert set(await gather(*[lambda: outcome(verifier, token)] * 100)) == {"ann"}
        assert set(await gather(*[lambda: outcome(verifier, "unknown")] * 100)) <= {
            "token_inactive",
            "invalid_token",
        }
    assert asked(issuer) == (2 if mode == "opaque" else 1)


async def test_the_metadata_is_read_once_for_many_tokens_at_once(issuer: FakeIssuer) -> None:
    issuer.slow(0.02)
    tokens = [issuer.mint_opaque(f"user-{n}") for n in range(50)]
    async with judge(issuer) as verifier:
        found = await gather(*[lambda token=token: outcome(verifier, token) for token in tokens])
    assert found == [f"user-{n}" for n in range(50)]
    assert len(issuer.requests) - asked(issuer) == 1


async def test_no_more_requests_run_at_once_than_allowed(issuer: FakeIssuer) -> None:
    running = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return await issuer.respond(request)

    accept = issuer.accept(
        introspection=issuer.introspection(max_concurrent=3, url="https://issuer.test/introspect"),
        http_client=httpx.AsyncClient(transport=httpx.MockTransport(answer)),
    )
    tokens = [issuer.mint_opaque(f"user-{n}") for n in range(30)]
    async with Verifier(accept) as verifier:
        assert len(set(await gather(*[lambda t=t: outcome(verifier, t) for t in tokens]))) == 30
    assert most == 3


async def test_a_flood_of_tokens_is_refused_before_it_piles_up(issuer: FakeIssuer) -> None:
    issuer.slow(5)
    terms = {"max_concurrent": 1, "timeout": 0.2, "url": "https://issuer.test/introspect"}
    async with judge(issuer, **terms) as verifier:
        found = await gather(*[lambda n=n: outcome(verifier, f"token-{n}") for n in range(500)])
        assert set(found) == {"introspection_unavailable"}
        assert len(issuer.requests) <= 2


async def test_a_cancelled_caller_leaves_the_request_to_the_others(issuer: FakeIssuer) -> None:
    issuer.slow(0.05)
    token = issuer.mint_opaque("ann")
    async with judge(issuer) as verifier:
        first = asyncio.create_task(outcome(verifier, token))
        second = asyncio.create_task(outcome(verifier, token))
        await asyncio.sleep(0.01)
        first.cancel()
        assert await second == "ann"
    assert asked(issuer) == 1


async def test_removing_an_issuer_ends_its_requests_and_its_cached_tokens(issuer: FakeIssuer) -> None:
    known = issuer.mint_opaque("ann")
    verifier = judge(issuer)
    await verifier.verify(known)
    issuer.slow(5)
    waiting = asyncio.create_task(outcome(verifier, issuer.mint_opaque("bob")))
    await until(lambda: len(issuer.requests) == 3)
    await verifier.remove_issuer(issuer.issuer)
    assert verifier.recall(known) is None
    assert await waiting == "bad_issuer"


async def test_closing_cancels_what_is_running(issuer: FakeIssuer) -> None:
    verifier = judge(issuer)
    issuer.slow(5)
    waiting = asyncio.create_task(outcome(verifier, "token"))
    await until(lambda: len(issuer.requests) == 1)
    await verifier.aclose()
    assert await waiting == "introspection_unavailable"


# --- failures ---------------------------------------------------------------------------------------------


async def test_after_a_failure_no_token_is_asked_about_until_the_pause_is_over(
    issuer: FakeIssuer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    accept = issuer.accept(introspection=issuer.introspection(url="https://issuer.test/introspect?x=secret"))
    verifier = Verifier(accept, issuer.client, clock, on_event=events.append)
    issuer.break_down(503)
    pauses = []
    for round_ in range(6):
        for n in range(20):
            with pytest.raises(TokenError) as caught:
                await verifier.verify(f"token-{round_}-{n}")
            assert caught.value.code == "introspection_unavailable"
        assert len(issuer.requests) == round_ + 1
        pauses.append(caught.value.retry_after)
        assert 0 < pauses[-1] <= 60
        clock.advance(pauses[-1] + 0.001)
    health = verifier.health()["introspection"][issuer.issuer]
    assert health["failures"] == 6
    assert health["last_error"] == "https://issuer.test/introspect: the response has status 503"
    lines = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [str(one.message) for one in lines if "https://issuer.test/introspect: " in one.message]
    assert len(lines) == 1
    assert "secret" not in caplog.text
    assert [one.kind for one in events] == ["introspection_failed"] * 6
    issuer.recover()
    assert await outcome(verifier, issuer.mint_opaque("ann")) == "ann"
    assert verifier.health()["introspection"][issuer.issuer]["last_error"] is None
    counted = verifier.counters()[issuer.issuer]
    assert (counted["introspections"], counted["introspection_failures"]) == (1, 6)
    assert counted["tokens"]["introspection_unavailable"] == 120


async def test_the_first_requests_after_an_outage_go_one_by_one(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with judge(issuer, url="https://issuer.test/introspect") as verifier:
        issuer.break_down(503)
        assert await outcome(verifier, "token") == "introspection_unavailable"
        clock.advance(61)
        issuer.slow(0.01)
        found = await gather(*[lambda n=n: outcome(verifier, f"token-{n}") for n in range(40)])
        assert set(found) == {"introspection_unavailable"}
        assert len(issuer.requests) == 2
        clock.advance(61)
        issuer.recover()
        tokens = [issuer.mint_opaque(f"user-{n}") for n in range(40)]
        found = await gather(*[lambda t=t: outcome(verifier, t) for t in tokens])
        assert found == [f"user-{n}" for n in range(40)]


async def test_the_pause_that_an_endpoint_asks_for_is_kept(issuer: FakeIssuer, clock: FakeClock) -> None:
    issuer.endpoint.answer = lambda _: httpx.Response(429, headers={"retry-after": "30"})
    async with judge(issuer) as verifier:
        for n in range(29):
            assert await outcome(verifier, f"token-{n}") == "introspection_unavailable"
            clock.advance(1)
        assert asked(issuer) == 1


@pytest.mark.parametrize("status", [400, 403, 413, 500])
async def test_a_token_that_the_endpoint_cannot_digest_puts_off_no_other_token(
    issuer: FakeIssuer, clock: FakeClock, status: int
) -> None:
    async with judge(issuer) as verifier:
        good = issuer.mint_opaque("ann")
        issuer.endpoint.answer = lambda _: httpx.Response(status)
        for _ in range(5):
            assert await outcome(verifier, "poison") == "introspection_unavailable"
        assert asked(issuer) == 1, "it is put off itself"
        issuer.endpoint.answer = None
        assert await outcome(verifier, good) == "ann"
        clock.advance(2)
        assert await outcome(verifier, "poison") == "token_inactive"


async def test_an_outage_refuses_no_token_whose_answer_counts_and_accepts_none_whose_answer_does_not(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    async with judge(issuer, mode="always") as verifier:
        tokens = [issuer.mint_opaque("ann"), issuer.mint("ann")]
        for token in tokens:
            assert await outcome(verifier, token) == "ann"
        issuer.break_down()
        assert [await outcome(verifier, token) for token in tokens] == ["ann", "ann"]
        clock.advance(30)
        for token in tokens:
            assert await outcome(verifier, token) == "introspection_unavailable"


async def test_an_endpoint_that_moved_is_found_again(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with judge(issuer) as verifier:
        assert await outcome(verifier, issuer.mint_opaque("ann")) == "ann"
        issuer.endpoint.urls = {httpx.URL("https://issuer.test/v2/introspect")}
        issuer.endpoint.url = "https://issuer.test/v2/introspect"
        assert await outcome(verifier, issuer.mint_opaque("bob")) == "introspection_unavailable"
        clock.advance(61)
        assert await outcome(verifier, issuer.mint_opaque("cy")) == "cy"


async def test_warm_finds_the_endpoint_and_an_issuer_without_keys_is_then_ready(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    issuer.metadata = {"jwks_uri": None}
    issuer.publish(b"none")
    verifier = judge(issuer)
    assert not verifier.health()["ready"]
    health = await verifier.warm()
    assert health["issuers"][issuer.issuer]["source"] is None
    assert health["introspection"][issuer.issuer]["url"] == "https://issuer.test/introspect"
    assert health["ready"]
    assert await outcome(verifier, issuer.mint_opaque("ann")) == "ann"


async def test_metadata_without_an_endpoint_is_named_with_the_remedy(issuer: FakeIssuer) -> None:
    issuer.metadata = {"introspection_endpoint": None}
    async with judge(issuer) as verifier:
        assert await outcome(verifier, "token") == "introspection_unavailable"
        error = verifier.health()["introspection"][issuer.issuer]["last_error"]
    assert error is not None
    assert "no introspection_endpoint" in error
    assert "set Introspection.url" in error


# --- secrets ----------------------------------------------------------------------------------------------


async def test_no_error_leads_to_the_credentials_or_to_the_request(issuer: FakeIssuer) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("broken", request=request)

    accept = issuer.accept(
        introspection=issuer.introspection(),
        http_client=httpx.AsyncClient(transport=httpx.MockTransport(fail)),
    )
    with pytest.raises(TokenError) as caught:
        await Verifier(accept).verify("an-opaque-token")
    error: BaseException | None = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(accept)
    assert issuer.endpoint.client_secret not in told
    assert issuer.endpoint.client_secret not in repr(accept.introspection)
    assert "an-opaque-token" not in repr(caught.value) + str(caught.value)


def test_the_settings_can_be_compared_and_pickled() -> None:
    settings = Introspection(client_id="a", client_secret="b", token_prefixes=["x"])
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert hash(settings) == hash(Introspection(client_id="a", client_secret="b", token_prefixes=("x",)))
