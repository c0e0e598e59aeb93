from __future__ import annotations

from typing import Any

import pytest

from authkit_verify import AcceptConfig, TokenError, Verifier
from authkit_verify._telemetry.counters import UNKNOWN
from authkit_verify.testing import FakeIssuer, FakeKey
from fakes.clock import FakeClock


async def refuse(verifier: Verifier, token: Any) -> None:
    with pytest.raises(TokenError):
        await verifier.verify(token)


async def test_acceptances_are_counted_by_where_they_came_from(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        token = issuer.mint()
        for _ in range(3):
            await verifier.verify(token)
        await verifier.authenticate(token)
        await verifier.authenticate(issuer.mint("other"))
        assert verifier.counters()[issuer.issuer]["tokens"] == {"accepted": 2, "accepted_from_cache": 3}


async def test_refusals_are_counted_by_code_and_by_issuer_where_it_is_one_of_ours(
    issuer: FakeIssuer,
) -> None:
    async with issuer.verifier() as verifier:
        evil = FakeKey.generate(issuer.key.kid, "ES256")
        for _ in range(2):
            await refuse(verifier, issuer.mint(lifetime=-100))
        await refuse(verifier, issuer.mint(key=evil))
        await refuse(verifier, issuer.mint(iss="https://evil.test"))
        await refuse(verifier, "junk")
        await refuse(verifier, None)
        await refuse(verifier, issuer.mint(header={"alg": "none"}))
        counted = verifier.counters()
    ours = {"token_expired": 2, "invalid_token": 1}
    assert counted[issuer.issuer]["tokens"] == {"accepted": 0, "accepted_from_cache": 0} | ours
    unknown = {"bad_issuer": 1, "invalid_token": 2, "disallowed_alg": 1}
    assert counted[UNKNOWN]["tokens"] == {"accepted": 0, "accepted_from_cache": 0} | unknown


async def test_a_flood_of_strange_issuers_adds_no_label(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        for n in range(200):
            await refuse(verifier, issuer.mint(iss=f"https://evil-{n}.test", header={"kid": f"k{n}"}))
        counted = verifier.counters()
    assert set(counted) == {issuer.issuer, UNKNOWN}
    assert counted[UNKNOWN]["tokens"]["bad_issuer"] == 200


async def test_fetches_are_counted_with_how_they_ended(issuer: FakeIssuer, clock: FakeClock) -> None:
    async with issuer.verifier() as verifier:
        issuer.break_down()
        await refuse(verifier, issuer.mint())
        clock.advance(2)
        issuer.recover()
        await verifier.verify(issuer.mint())
        counted = verifier.counters()[issuer.issuer]
    assert (counted["fetches"], counted["fetch_failures"]) == (1, 1)
    assert counted["tokens"]["keys_unavailable"] == 1


async def test_a_snapshot_is_the_readers_own(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
        verifier.counters()[issuer.issuer]["tokens"]["accepted"] = 99
        verifier.counters().clear()
        assert verifier.counters()[issuer.issuer]["tokens"]["accepted"] == 1


async def test_a_verifier_of_pinned_keys_alone_counts_too(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    accept = issuer.accept(pinned_pems=[issuer.key.pem()], pinned_only=True)
    async with Verifier(AcceptConfig(issuers=[accept], algorithms=["ES256"]), clock=clock) as verifier:
        await verifier.verify(issuer.mint())
        counted = verifier.counters()[issuer.issuer]
        assert (counted["tokens"]["accepted"], counted["fetches"]) == (1, 0)
        assert verifier.health()["issuers"][issuer.issuer]["keys"] == 1
    await issuer.client.aclose()
