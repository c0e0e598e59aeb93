"""issuer_loader: issuers that the host returns for the iss of a token."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import (
    AcceptConfig,
    AuthMiddleware,
    DPoP,
    Enricher,
    Enrichment,
    IssuerAccept,
    SyncVerifier,
    TokenError,
    Verifier,
)
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock
from fakes.patience import PATIENCE
from fakes.verdicts import outcome

pytestmark = pytest.mark.virtual_time

Connect = Callable[..., Any]


class Directory:
    """A host's directory of issuers, which counts the questions."""

    def __init__(self, clock: FakeClock, *names: str) -> None:
        self.fakes = {name: FakeIssuer(f"https://{name}.test", clock=clock) for name in names}
        self.records = {fake.issuer: fake.accept() for fake in self.fakes.values()}
        self.client = FakeIssuer.client_for(*self.fakes.values())
        self.clock = clock
        self.asked: list[str] = []
        self.fault: Exception | None = None
        self.delay = 0.0

    async def load(self, issuer: str) -> IssuerAccept | None:
        self.asked.append(issuer)
        await asyncio.sleep(self.delay)
        if self.fault is not None:
            raise self.fault
        return self.records.get(issuer)

    def verifier(self, *configured: IssuerAccept, **terms: Any) -> Verifier:
        config = AcceptConfig(issuers=configured)
        return Verifier(config, self.client, self.clock, issuer_loader=self.load, **terms)

    def mint(self, name: str, **claims: Any) -> str:
        return self.fakes[name].mint(**claims)


@pytest.fixture
def directory(clock: FakeClock) -> Directory:
    return Directory(clock, "one", "two", "three")


async def test_an_unknown_issuer_is_loaded_once_however_many_tokens_come(directory: Directory) -> None:
    verifier = directory.verifier()
    directory.delay = 0.01
    sent = [directory.mint("one", jti=str(number)) for number in range(20)]
    found = await asyncio.gather(*(verifier.verify(one) for one in sent))
    assert {claims.issuer for claims in found} == {"https://one.test"}
    assert directory.asked == ["https://one.test"]
    assert directory.fakes["one"].fetches == 1


async def test_an_issuer_that_is_not_returned_is_refused_and_remembered(
    directory: Directory, clock: FakeClock
) -> None:
    verifier = directory.verifier()
    directory.records.clear()
    for _ in range(3):
        assert await outcome(verifier, directory.mint("one")) == "bad_issuer"
    assert directory.asked == ["https://one.test"]
    clock.advance(11)
    directory.records["https://one.test"] = directory.fakes["one"].accept()
    assert await outcome(verifier, directory.mint("one")) is None


async def test_configured_issuers_are_not_asked_about(directory: Directory) -> None:
    verifier = directory.verifier(directory.fakes["one"].accept(required_scopes=["read"]))
    assert await outcome(verifier, directory.mint("one")) == "insufficient_scope"
    assert directory.asked == []
    assert await outcome(verifier, directory.mint("two")) is None


async def test_a_loaded_issuer_has_the_rules_and_algorithms_of_its_record(
    directory: Directory, clock: FakeClock
) -> None:
    other = FakeIssuer("https://ed.test", clock=clock, algorithm="EdDSA")
    directory.records[other.issuer] = other.accept(algorithms=["EdDSA"], required_scopes=["read"])
    directory.records["https://one.test"] = directory.fakes["one"].accept(algorithms=["RS256"])
    client = FakeIssuer.client_for(other, *directory.fakes.values())
    config = AcceptConfig(issuers=[directory.fakes["two"].accept()], algorithms=["ES256"])
    verifier = Verifier(config, client, clock, issuer_loader=directory.load)
    assert await outcome(verifier, other.mint(scope="read")) is None
    assert await outcome(verifier, other.mint()) == "insufficient_scope"
    assert await outcome(verifier, directory.mint("one")) == "disallowed_alg"
    assert await outcome(verifier, directory.mint("three")) is None


# What ends
async def test_a_removal_takes_effect_within_the_time_of_the_loader(
    directory: Directory, clock: FakeClock
) -> None:
    verifier = directory.verifier(loader_ttl=100)
    sent = directory.mint("one")
    assert await outcome(verifier, sent) is None
    directory.records.clear()
    clock.advance(99)
    assert verifier.recall(sent) is not None
    clock.advance(2)
    assert verifier.recall(sent) is None
    assert await outcome(verifier, sent) == "bad_issuer"
    assert verifier.counters().keys() == {"unknown"}


async def test_an_issuer_that_has_not_changed_keeps_its_keys(directory: Directory, clock: FakeClock) -> None:
    verifier = directory.verifier(loader_ttl=10)
    for _ in range(5):
        assert await outcome(verifier, directory.mint("one")) is None
        directory.records = {fake.issuer: fake.accept() for fake in directory.fakes.values()}
        clock.advance(11)
    assert len(directory.asked) == 5
    assert directory.fakes["one"].fetches == 1


async def test_an_issuer_that_has_changed_gets_its_new_rules(directory: Directory, clock: FakeClock) -> None:
    verifier = directory.verifier(loader_ttl=10)
    sent = directory.mint("one")
    assert await outcome(verifier, sent) is None
    directory.records["https://one.test"] = directory.fakes["one"].accept(required_scopes=["read"])
    clock.advance(11)
    assert await outcome(verifier, sent) == "insufficient_scope"


async def test_the_least_recently_used_issuer_goes_with_its_cache(directory: Directory, caplog: Any) -> None:
    verifier = directory.verifier(max_loaded=2)
    first, second = directory.mint("one"), directory.mint("two")
    assert [await outcome(verifier, one) for one in (first, second)] == [None, None]
    await verifier.verify(directory.mint("one", jti="again"))  # used last
    assert await outcome(verifier, directory.mint("three")) is None
    assert [verifier.recall(one) is None for one in (first, second)] == [False, True]
    assert set(verifier.health()["issuers"]) == {"https://one.test", "https://three.test"}
    assert await outcome(verifier, second) is None
    assert directory.asked.count("https://two.test") == 2
    assert caplog.text.count("max_loaded if") == 1  # two have gone


async def test_a_flood_of_unknown_issuers_evicts_none_that_is_loaded(directory: Directory) -> None:
    verifier = directory.verifier(max_loaded=2)
    sent = directory.mint("one")
    assert await outcome(verifier, sent) is None
    for number in range(200):
        assert await outcome(verifier, directory.mint("two", iss=f"https://x{number}.test")) == "bad_issuer"
    assert verifier.recall(sent) is not None
    assert directory.asked.count("https://one.test") == 1


async def test_a_flood_of_slow_questions_refuses_no_issuer_that_was_loaded(
    directory: Directory, clock: FakeClock
) -> None:
    verifier = directory.verifier(loader_ttl=10)
    assert await outcome(verifier, directory.mint("one")) is None
    clock.advance(11)
    directory.delay = 0.2
    flood = [
        asyncio.create_task(outcome(verifier, directory.mint("two", iss=f"https://x{number}.test")))
        for number in range(150)
    ]
    await asyncio.sleep(0.05)
    assert await outcome(verifier, directory.mint("one")) is None
    found = await asyncio.gather(*flood)
    assert (found.count("bad_issuer"), found.count("issuer_check_unavailable")) == (100, 50)


async def test_a_loaded_issuer_that_is_removed_is_asked_about_with_its_next_token(
    directory: Directory,
) -> None:
    verifier = directory.verifier()
    sent = directory.mint("one")
    assert await outcome(verifier, sent) is None
    await verifier.remove_issuer("https://one.test")
    assert verifier.recall(sent) is None
    directory.records.pop("https://one.test")
    assert await outcome(verifier, sent) == "bad_issuer"
    with pytest.raises(ValueError, match="not accepted"):
        await verifier.remove_issuer("https://one.test")


async def test_an_answer_from_before_a_removal_does_not_count(directory: Directory) -> None:
    record = directory.records["https://two.test"]

    async def slow(issuer: str) -> IssuerAccept | None:
        found = record if not directory.asked else None  # read before the removal, and after it
        directory.asked.append(issuer)
        await asyncio.sleep(0.05)
        return found

    verifier = Verifier(AcceptConfig(issuers=[]), directory.client, directory.clock, issuer_loader=slow)
    waiting = asyncio.create_task(outcome(verifier, directory.mint("two")))
    await asyncio.sleep(0.02)
    with pytest.raises(ValueError, match="not accepted"):  # it is not loaded yet
        await verifier.remove_issuer("https://two.test")
    assert await waiting == "bad_issuer"


async def test_an_issuer_that_is_added_takes_the_place_of_the_loaded_one(directory: Directory) -> None:
    verifier = directory.verifier()
    sent = directory.mint("one")
    assert await outcome(verifier, sent) is None
    verifier.add_issuer(directory.fakes["one"].accept(required_scopes=["read"]))
    assert verifier.recall(sent) is None
    assert await outcome(verifier, sent) == "insufficient_scope"


async def test_a_verification_whose_issuer_is_evicted_meanwhile_may_be_repeated(
    directory: Directory,
) -> None:
    verifier = directory.verifier(max_loaded=1)
    directory.fakes["one"].slow(30)
    waiting = asyncio.create_task(outcome(verifier, directory.mint("one")))
    await asyncio.sleep(0.02)
    assert await outcome(verifier, directory.mint("two")) is None
    assert await asyncio.wait_for(waiting, PATIENCE) == "issuer_check_unavailable"  # and not: not accepted


# What fails


async def test_a_loader_that_fails_refuses_as_an_outage_and_is_logged_once(
    directory: Directory, caplog: pytest.LogCaptureFixture, connect: Connect
) -> None:
    verifier = directory.verifier()
    directory.fault = ConnectionError("no database")

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    answer = await connect(AuthMiddleware(app, verifier), token=directory.mint("one")).run()
    assert (answer.status, json.loads(answer.body)["error"]) == (503, "issuer_check_unavailable")
    assert await outcome(verifier, directory.mint("one")) == "issuer_check_unavailable"
    warnings = [line for line in caplog.records if line.levelno == logging.WARNING]
    assert [line.getMessage() for line in warnings] == [
        "issuer_loader failed; tokens that need its answer get 503"
    ]
    directory.fault = None
    assert await outcome(verifier, directory.mint("one")) is None


async def test_an_outage_ends_a_loaded_issuer_at_its_time(directory: Directory, clock: FakeClock) -> None:
    verifier = directory.verifier(loader_ttl=10)
    sent = directory.mint("one")
    assert await outcome(verifier, sent) is None
    directory.fault = OSError()
    clock.advance(11)
    assert await outcome(verifier, sent) == "issuer_check_unavailable"


async def test_a_loader_that_does_not_answer_is_an_outage(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authkit_verify._policy.lookup.TIMEOUT", 0.02)
    directory.delay = 30
    assert await outcome(directory.verifier(), directory.mint("one")) == "issuer_check_unavailable"


@pytest.mark.parametrize("answer", ["https://one.test", True, {"issuer": "https://one.test"}])
async def test_an_answer_of_another_type_is_an_outage(directory: Directory, answer: Any) -> None:
    directory.records["https://one.test"] = answer
    assert await outcome(directory.verifier(), directory.mint("one")) == "issuer_check_unavailable"


async def test_the_record_of_another_issuer_is_refused(
    directory: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = directory.verifier()
    for iss in ("https://one.test/", "https://ONE.test"):
        directory.records[iss] = directory.fakes["one"].accept()
        assert await outcome(verifier, directory.mint("one", iss=iss)) == "bad_issuer"
    assert caplog.text.count("returned another issuer") == 1


async def test_an_issuer_that_requires_dpop_is_loaded_only_where_refusals_announce_it(
    directory: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    directory.records["https://one.test"] = directory.fakes["one"].accept(dpop="required")
    assert await outcome(directory.verifier(), directory.mint("one")) == "issuer_check_unavailable"
    assert "needs Verifier(dpop=DPoP())" in caplog.text
    verifier = directory.verifier(dpop=DPoP())
    assert await outcome(verifier, directory.mint("one")) == "invalid_token"  # it is bound to no key


@pytest.mark.parametrize(
    "iss",
    [
        "", "x", "one.test", "ftp://one.test", "javascript:alert(1)", "https://", "https:///x",
        "https://one.test?x=1", "https://one.test/#f", "https://user@one.test", "https://one.test:port",
        "https://one.test:99999", "https://one.test/\n", "https://one.test/ x", " https://one.test",
        "https://one.test/{tenant}", "https://on\u0435.test", "https://one.test/\u0435", "https://[::1",
        "https://one.test/" + "a" * 500, "https://one.test\\evil", 'https://one.test/"', None,
        "https://one.test/a/../b", "https://one.test/.", "https://one.test/a%2f%2E%2e%5Cb", "https://one.test/%2e./b",
    ],
)  # fmt: skip
async def test_what_is_no_url_of_an_issuer_never_reaches_the_loader(directory: Directory, iss: Any) -> None:
    verifier = directory.verifier()
    assert await outcome(verifier, directory.mint("one", iss=iss)) == "bad_issuer"
    assert directory.asked == []


@pytest.mark.parametrize("iss", ["https://a-b.test:8443/.x/..z~", "http://127.0.0.1:8000", "https://[::1]/x"])
async def test_every_url_that_an_issuer_may_have_reaches_the_loader(directory: Directory, iss: str) -> None:
    await outcome(directory.verifier(), directory.mint("one", iss=iss))
    assert directory.asked == [iss]


async def test_a_malformed_token_never_reaches_the_loader(directory: Directory) -> None:
    verifier = directory.verifier()
    for bad in (
        "x.y.z",
        directory.mint("one")[:-900],
        directory.mint("one", iss=["https://one.test"]),
        directory.mint("one", header={"alg": "HS256"}),
    ):
        assert await outcome(verifier, bad) is not None
        assert not (await verifier.explain(bad)).accepted
    assert directory.asked == []


# The rest of the package


async def test_a_verifier_needs_an_issuer_or_a_loader() -> None:
    with pytest.raises(ValueError, match="issuer_loader"):
        Verifier(AcceptConfig(issuers=[]))


@pytest.mark.parametrize(
    "wrong",
    [{"loader_ttl": 0}, {"loader_ttl": float("inf")}, {"max_loaded": 0}, {"max_loaded": 1.5},
     {"issuer_loader": "x"}],
)  # fmt: skip
def test_limits_that_cannot_work_are_refused_at_start(directory: Directory, wrong: dict[str, Any]) -> None:
    terms = {"issuer_loader": directory.load}
    with pytest.raises(ValueError):
        Verifier(AcceptConfig(issuers=[]), **terms | wrong)


async def test_health_lists_loaded_issuers_and_is_ready_without_them(directory: Directory) -> None:
    verifier = directory.verifier(directory.fakes["two"].accept())
    await verifier.warm()
    directory.fakes["one"].break_down()
    assert await outcome(verifier, directory.mint("one")) == "keys_unavailable"
    health = verifier.health()
    assert health["ready"]
    assert health["issuers"]["https://one.test"]["source"] is None
    assert verifier.counters()["https://one.test"]["tokens"]["keys_unavailable"] == 1
    assert [accept.issuer for accept in verifier.issuers] == ["https://two.test"]


async def test_fresh_keys_of_a_loaded_issuer_can_be_confirmed(directory: Directory) -> None:
    verifier = directory.verifier()
    held = await verifier.authenticate(directory.mint("one"))
    assert await verifier.confirmed("https://one.test", held.key_set, 60)
    assert not await verifier.confirmed("https://two.test", held.key_set, 60)


async def test_explain_loads_as_verify_does_and_says_what_decides(directory: Directory) -> None:
    verifier = directory.verifier()
    assert (await verifier.explain(directory.mint("one"))).accepted
    expired = await verifier.explain(directory.mint("two", exp=1))
    assert expired.code == "token_expired"

    async def row(sent: str) -> Any:
        found = await verifier.explain(sent)
        return next(check for check in found.checks if check.name == "issuer")

    unknown = await row(directory.mint("one", iss="https://evil.test"))
    assert (unknown.outcome, unknown.code) == ("failed", "bad_issuer")
    assert "issuer_loader" in unknown.setting
    directory.fault = OSError()
    down = await row(directory.mint("three"))
    assert (down.outcome, down.code) == ("unknown", "issuer_check_unavailable")


async def test_records_of_users_name_their_issuers_where_further_ones_are_loaded(
    directory: Directory, connect: Connect
) -> None:
    class Source:
        async def enrich(self, user_id: str) -> Enrichment:
            return Enrichment(allowed=False)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    verifier = directory.verifier(directory.fakes["two"].accept())
    with pytest.raises(ValueError, match="several issuers"):
        AuthMiddleware(app, verifier, enrichment=Source())
    guarded = AuthMiddleware(app, verifier, enrichment=Enricher(Source(), issuers=["https://one.test"]))
    assert (await connect(guarded, token=directory.mint("one")).run()).status == 401
    assert (await connect(guarded, token=directory.mint("two")).run()).status == 204


async def test_live_checks_of_a_loaded_issuer_end_with_it(directory: Directory, clock: FakeClock) -> None:
    fake = directory.fakes["one"]
    directory.records[fake.issuer] = fake.accept(introspection=fake.introspection(mode="jwt"))
    verifier = directory.verifier(loader_ttl=5)
    sent = directory.mint("one")
    assert await outcome(verifier, sent) is None
    directory.records.clear()
    clock.advance(6)
    assert verifier.recall(sent) is None
    assert await outcome(verifier, sent) == "bad_issuer"


def test_a_verifier_without_asyncio_loads_as_well(directory: Directory) -> None:
    with SyncVerifier(
        AcceptConfig(issuers=[]), directory.client, directory.clock, issuer_loader=directory.load
    ) as verifier:
        sent = directory.mint("one")
        assert verifier.verify(sent).issuer == "https://one.test"
        assert verifier.recall(sent) is not None
        with pytest.raises(TokenError, match="bad_issuer"):
            verifier.verify(directory.mint("one", iss="https://evil.test"))


def test_a_loader_works_on_a_loop_for_each_call(directory: Directory) -> None:
    verifier = directory.verifier()
    for number in range(3):
        assert asyncio.run(outcome(verifier, directory.mint("one", jti=str(number)))) is None
    assert directory.asked == ["https://one.test"]


async def test_a_loaded_issuer_may_have_pinned_keys(directory: Directory) -> None:
    fake = directory.fakes["one"]
    directory.records[fake.issuer] = fake.accept(pinned_pems=[fake.key.pem()], pinned_only=True)
    verifier = directory.verifier(max_loaded=1)
    sent = directory.mint("one")
    assert await outcome(verifier, sent) is None
    assert await outcome(verifier, directory.mint("two")) is None
    assert verifier.recall(sent) is None
