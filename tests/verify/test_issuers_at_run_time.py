"""Issuers that are added and removed while the verifier runs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import AcceptConfig, AuthMiddleware, IssuerAccept, TokenError, Verifier
from authkit_verify._policy.proof.dpop_proof import ProofChecker
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock
from fakes.patience import PATIENCE
from fakes.verdicts import accepted_or_code as outcome

pytestmark = pytest.mark.virtual_time

Connect = Callable[..., Any]
Pair = tuple[FakeIssuer, FakeIssuer, Verifier]


@pytest.fixture
def pair(clock: FakeClock) -> Pair:
    """Two issuers, and a verifier that accepts the first one and reaches both."""
    first = FakeIssuer("https://one.test", clock=clock)
    second = FakeIssuer("https://two.test", clock=clock)
    client = FakeIssuer.client_for(first, second)
    return first, second, Verifier(AcceptConfig(issuers=[first.accept()]), client, clock)


async def test_an_added_issuer_is_accepted_from_the_next_token_on(pair: Pair) -> None:
    first, second, verifier = pair
    assert await outcome(verifier, second.mint()) == "bad_issuer"
    verifier.add_issuer(second.accept())
    assert second.fetches == 0
    assert await outcome(verifier, second.mint()) == "accepted"
    assert await outcome(verifier, first.mint()) == "accepted"
    assert [accept.issuer for accept in verifier.issuers] == [first.issuer, second.issuer]
    assert [accept.issuer for accept in verifier.config.issuers] == [first.issuer]


async def test_an_added_issuer_brings_its_own_rules_and_algorithms(clock: FakeClock) -> None:
    first = FakeIssuer("https://one.test", clock=clock, algorithm="EdDSA")
    second = FakeIssuer("https://two.test", clock=clock, algorithm="ES256")
    client = FakeIssuer.client_for(first, second)
    verifier = Verifier(first.accept(algorithms=["EdDSA"]), client, clock)
    assert await outcome(verifier, second.mint()) == "disallowed_alg"
    verifier.add_issuer(second.accept(algorithms=["ES256"], required_scopes=["read"]))
    assert await outcome(verifier, second.mint()) == "insufficient_scope"
    await verifier.remove_issuer(second.issuer)
    assert await outcome(verifier, second.mint()) == "disallowed_alg"


async def test_an_issuer_is_not_added_twice_and_keeps_its_rules(pair: Pair) -> None:
    first, _second, verifier = pair
    with pytest.raises(ValueError, match="accepted already"):
        verifier.add_issuer(first.accept(any_audience=True, audiences=()))
    assert await outcome(verifier, first.mint(aud="another")) == "bad_audience"


async def test_an_issuer_that_requires_dpop_is_added_only_where_refusals_announce_it(pair: Pair) -> None:
    _first, second, verifier = pair
    with pytest.raises(ValueError, match=r"Verifier\(dpop=DPoP\(\)\)"):
        verifier.add_issuer(second.accept(dpop="required"))
    assert second.issuer not in {accept.issuer for accept in verifier.issuers}


async def test_a_cached_token_of_a_removed_issuer_is_refused_at_once(pair: Pair) -> None:
    first, second, verifier = pair
    token, other = first.mint(), second.mint()
    verifier.add_issuer(second.accept())
    assert [await outcome(verifier, token), await outcome(verifier, other)] == ["accepted"] * 2
    await verifier.remove_issuer(first.issuer)
    assert verifier.recall(token) is None
    assert await outcome(verifier, token) == "bad_issuer"
    assert verifier.recall(other) is not None


async def test_pinned_keys_of_a_removed_issuer_are_not_used(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    verifier = issuer.verifier(pinned_pems=[issuer.key.pem()], pinned_only=True)
    token = issuer.mint()
    assert await outcome(verifier, token) == "accepted"
    await verifier.remove_issuer(issuer.issuer)
    assert await outcome(verifier, token) == "bad_issuer"
    assert await outcome(verifier, issuer.mint("another")) == "bad_issuer"


async def test_a_verification_that_waits_for_keys_fails_when_its_issuer_is_removed(pair: Pair) -> None:
    first, _second, verifier = pair
    first.slow(30)
    waiting = [asyncio.create_task(outcome(verifier, first.mint(str(number)))) for number in range(20)]
    await asyncio.sleep(0.02)
    async with asyncio.timeout(PATIENCE):
        await verifier.remove_issuer(first.issuer)
        assert set(await asyncio.gather(*waiting)) == {"bad_issuer"}


async def test_a_verification_that_waits_for_a_new_key_fails_and_starts_no_other_fetch(
    pair: Pair, clock: FakeClock
) -> None:
    first, _second, verifier = pair
    assert await outcome(verifier, first.mint()) == "accepted"
    first.rotate()
    first.slow(30)
    clock.advance(290)  # a refresh is due; the token waits for it, and would then ask again
    waiting = asyncio.create_task(outcome(verifier, first.mint()))
    await asyncio.sleep(0.02)
    fetches = first.fetches
    await verifier.remove_issuer(first.issuer)
    first.recover()
    assert await asyncio.wait_for(waiting, PATIENCE) == "bad_issuer"
    assert first.fetches == fetches


async def test_an_issuer_that_is_removed_during_the_check_of_a_proof_is_refused(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _second, verifier = pair
    token = first.mint(cnf={"jkt": "a"})

    async def remove(*_: object) -> None:
        if first.issuer in verifier.health()["issuers"]:
            await verifier.remove_issuer(first.issuer)

    monkeypatch.setattr(ProofChecker, "check", remove)
    assert await outcome(verifier, token) == "bad_issuer"
    verifier.add_issuer(first.accept())
    monkeypatch.setattr(ProofChecker, "check", lambda *_: asyncio.sleep(0))
    assert await outcome(verifier, token) == "accepted"
    entry = verifier._cache.get(token, bound=True)
    assert entry is not None
    monkeypatch.setattr(ProofChecker, "check", remove)
    with pytest.raises(TokenError, match="bad_issuer"):
        await verifier._recall_bound(entry, token, None)  # type: ignore[arg-type]


async def test_an_issuer_that_is_added_again_starts_with_new_keys(pair: Pair) -> None:
    first, _second, verifier = pair
    token = first.mint()
    assert await outcome(verifier, token) == "accepted"
    held = await verifier.authenticate(token)
    await verifier.remove_issuer(first.issuer)
    assert not await verifier.confirmed(first.issuer, held.key_set, 1e9)
    first.rotate(keep=False)
    verifier.add_issuer(first.accept())
    assert not await verifier.confirmed(first.issuer, held.key_set, 1e9)
    assert await outcome(verifier, token) == "unknown_kid"
    assert await outcome(verifier, first.mint()) == "accepted"


async def test_health_and_counters_list_only_accepted_issuers(pair: Pair) -> None:
    first, second, verifier = pair
    verifier.add_issuer(second.accept())
    await verifier.warm()
    assert set(verifier.health()["issuers"]) == {first.issuer, second.issuer}
    await verifier.remove_issuer(first.issuer)
    assert set(verifier.health()["issuers"]) == {second.issuer}
    assert set(verifier.counters()) == {second.issuer, "unknown"}


async def test_removing_the_last_issuer_refuses_every_token(pair: Pair) -> None:
    first, _second, verifier = pair
    await verifier.remove_issuer(first.issuer)
    assert await outcome(verifier, first.mint()) == "bad_issuer"
    assert (await verifier.explain(first.mint())).code == "bad_issuer"
    assert verifier.issuers == ()


async def test_an_issuer_that_is_not_accepted_cannot_be_removed(pair: Pair) -> None:
    first, _second, verifier = pair
    with pytest.raises(ValueError, match="not accepted"):
        await verifier.remove_issuer(first.issuer + "/")
    assert await outcome(verifier, first.mint()) == "accepted"


async def test_the_metadata_of_the_resource_follows_the_issuers(pair: Pair, connect: Connect) -> None:
    first, second, verifier = pair

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    guarded = AuthMiddleware(app, verifier, resource="https://api.test/mcp")

    async def servers() -> Any:
        answer = await connect(guarded, path="/.well-known/oauth-protected-resource/mcp").run()
        return json.loads(answer.body)["authorization_servers"]

    verifier.add_issuer(second.accept())
    assert await servers() == [first.issuer, second.issuer]
    await verifier.remove_issuer(first.issuer)
    assert await servers() == [second.issuer]


async def test_a_fetch_of_another_event_loop_ends_with_its_issuer(pair: Pair) -> None:
    first, _second, verifier = pair
    first.slow(3600)
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(outcome(verifier, first.mint()))))
    thread.start()
    await asyncio.sleep(0.3)
    assert thread.is_alive()
    await verifier.remove_issuer(first.issuer)
    await asyncio.to_thread(thread.join, PATIENCE)
    assert results == ["bad_issuer"]


def test_threads_that_add_and_remove_lose_no_issuer(pair: Pair) -> None:
    _first, _second, verifier = pair

    def work(name: str) -> None:
        for number in range(100):
            verifier.add_issuer(IssuerAccept(issuer=f"https://{name}{number}.test", audiences=["api"]))
            if number % 2:
                asyncio.run(verifier.remove_issuer(f"https://{name}{number}.test"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {f"https://{name}{number}.test" for name in "abcd" for number in range(0, 100, 2)}
    assert {accept.issuer for accept in verifier.issuers} == kept | {"https://one.test"}


async def test_what_was_loaded_while_an_issuer_was_added_goes_with_it() -> None:
    issuer, asked, gate = FakeIssuer(), list[str](), asyncio.Event()
    table = {issuer.issuer: issuer.accept()}

    async def load(name: str) -> IssuerAccept | None:
        asked.append(name)
        found = table.get(name)
        if len(asked) == 1:
            await gate.wait()
        return found

    verifier = Verifier(AcceptConfig(issuers=[]), http_client=issuer.client, issuer_loader=load)
    first = asyncio.create_task(verifier.verify(issuer.mint("ann")))
    while not asked:
        await asyncio.sleep(0)
    verifier.add_issuer(issuer.accept())
    gate.set()
    await first
    table.clear()
    await verifier.remove_issuer(issuer.issuer)
    with pytest.raises(TokenError, match="bad_issuer"):
        await verifier.verify(issuer.mint("ann"))
