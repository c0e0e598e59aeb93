from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from authkit_verify import AcceptConfig, Event, IssuerAccept, TokenError, Verifier
from authkit_verify.testing import FakeIssuer, FakeKey
from fakes.clock import FakeClock


class Heard(list[Event]):
    """Every event, in order."""

    def kinds(self) -> list[str]:
        """Return the kinds since the last call."""
        kinds = [event.kind for event in self]
        self.clear()
        return kinds


def listened(issuer: FakeIssuer, heard: Any, **terms: Any) -> Verifier:
    config = AcceptConfig(issuers=[issuer.accept(**terms)], algorithms=("ES256",))
    return Verifier(config, issuer.client, issuer.clock, on_event=heard.append)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def refuse(verifier: Verifier, token: str) -> None:
    with pytest.raises(TokenError):
        await verifier.verify(token)


async def test_a_fetch_says_whether_the_keys_are_new(issuer: FakeIssuer, clock: FakeClock) -> None:
    heard = Heard()
    async with listened(issuer, heard) as verifier:
        token = issuer.mint(lifetime=9999)
        await verifier.verify(token)
        assert heard == [Event(kind="keys_fetched", issuer=issuer.issuer, detail="new keys", at=clock())]
        clock.advance(290)
        await verifier.verify(token)
        await settle()
        issuer.rotate()
        clock.advance(290)
        await verifier.verify(token)
        await settle()
        assert [event.detail for event in heard] == ["new keys", "the same keys", "new keys"]


async def test_keys_that_were_not_modified_are_reported_as_that(issuer: FakeIssuer, clock: FakeClock) -> None:
    heard = Heard()
    issuer.headers = {"etag": '"1"'}
    async with listened(issuer, heard) as verifier:
        await verifier.verify(issuer.mint())
        issuer.break_down(304)
        clock.advance(290)
        await verifier.verify(issuer.mint())
        await settle()
    assert [event.detail for event in heard] == ["new keys", "not modified"]


async def test_an_outage_tells_of_failures_and_once_for_each_of_stale_keys(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    heard = Heard()
    async with listened(issuer, heard) as verifier:
        token = issuer.mint(lifetime=9999)
        await verifier.verify(token)
        issuer.break_down(502)
        clock.advance(310)
        for _ in range(5):
            await verifier.verify(token)
        await settle()
        assert heard.kinds() == ["keys_fetched", "fetch_failed", "stale_keys_used"]
        for _ in range(5):
            await verifier.verify(token)
            await verifier.verify(issuer.mint())
        assert heard.kinds() == []
        clock.advance(61)
        await verifier.verify(token)
        await settle()
        assert "502" in next(event.detail for event in heard if event.kind == "fetch_failed")


async def test_an_unusable_set_is_reported_and_that_the_last_good_one_answers(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    heard = Heard()
    async with listened(issuer, heard) as verifier:
        await verifier.verify(issuer.mint())
        issuer.publish(b'{"keys":[]}')
        clock.advance(290)
        await verifier.verify(issuer.mint())
        await settle()
        await verifier.verify(issuer.mint())
        await verifier.verify(issuer.mint())
    assert heard.kinds() == ["keys_fetched", "keys_refused", "last_known_good_used"]


async def test_unknown_key_ids_are_reported_when_they_cause_a_fetch_and_once_when_there_are_too_many(
    issuer: FakeIssuer, clock: FakeClock
) -> None:
    heard = Heard()
    async with listened(issuer, heard) as verifier:
        await verifier.warm()
        heard.clear()
        for n in range(20):
            await refuse(verifier, issuer.mint(key=FakeKey(f"SECRET-{n}", "ES256", issuer.key.private_key)))
        kinds = heard.kinds()
        assert kinds == ["keys_refetched", "keys_fetched"] * 2 + ["refetch_limited"]
        clock.advance(31)
        for n in range(20):
            await refuse(verifier, issuer.mint(key=FakeKey(f"other-{n}", "ES256", issuer.key.private_key)))
        assert "SECRET" not in repr(heard)
        assert heard.kinds() == ["keys_refetched", "keys_fetched", "refetch_limited"]


async def test_what_is_wrong_with_a_key_set_is_reported_once(issuer: FakeIssuer, clock: FakeClock) -> None:
    heard = Heard()
    twin = FakeKey.generate(issuer.key.kid, "ES256")
    issuer.publish(json.dumps({"keys": [issuer.key.jwk() | {"d": "AQ"}, twin.jwk()]}).encode())
    async with listened(issuer, heard) as verifier:
        await verifier.verify(issuer.mint())
        assert sorted(heard.kinds()) == ["keys_fetched", "private_key_published", "repeated_kid"]
        clock.advance(290)
        await verifier.verify(issuer.mint())
        await settle()
        assert heard.kinds() == ["keys_fetched"]


async def test_every_token_that_a_pin_admits_is_reported(issuer: FakeIssuer) -> None:
    heard = Heard()
    pin = FakeKey.generate("old", "ES256")
    issuer.break_down()
    async with listened(issuer, heard, pinned_pems=[pin.pem()]) as verifier:
        await verifier.warm()
        heard.clear()
        token = issuer.mint(key=pin)
        await verifier.verify(token)
        await verifier.verify(token)
        await verifier.verify(issuer.mint("other", key=pin))
    assert heard.kinds() == ["pinned_key_used"] * 2


async def test_a_listener_that_raises_disturbs_nothing_and_is_logged_once(
    issuer: FakeIssuer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(event.kind)

    config = AcceptConfig(issuers=[issuer.accept()], algorithms=("ES256",))
    async with Verifier(config, issuer.client, clock, on_event=broken) as verifier:
        with caplog.at_level(logging.ERROR, "authkit_verify"):
            for n in range(4):
                await verifier.verify(issuer.mint(f"user-{n}", lifetime=9999))
                clock.advance(290)
                await settle()
    assert issuer.fetches > 1
    assert [record.message[:8] for record in caplog.records] == ["on_event"]


def test_a_listener_that_would_have_to_be_awaited_is_refused() -> None:
    async def later(event: Event) -> None:
        """Never run."""

    config = AcceptConfig(issuers=[IssuerAccept(issuer="https://i.test", audiences=["api"])])
    with pytest.raises(ValueError):
        Verifier(config, on_event=later)  # type: ignore[arg-type]
