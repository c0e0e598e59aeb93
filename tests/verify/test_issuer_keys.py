from __future__ import annotations

from typing import Any

import httpx
import pytest

from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify._jose.keys import MAX_CANDIDATES
from authkit_verify.testing import FakeIssuer, FakeKey
from fakes.clock import FakeClock


async def code(verifier: Verifier, token: str) -> str:
    with pytest.raises(TokenError) as caught:
        await verifier.verify(token)
    return caught.value.code


async def test_a_pin_answers_only_while_no_key_set_is_usable(issuer: FakeIssuer, clock: FakeClock) -> None:
    pin = FakeKey.generate("old", "ES256")
    issuer.break_down()
    async with issuer.verifier(pinned_pems=[pin.pem()]) as verifier:
        verified = await verifier.authenticate(issuer.mint(key=pin))
        assert (verified.keys.source, verified.keys.age) == ("pinned", 0.0)
        issuer.recover()
        clock.advance(1)
        await verifier.authenticate(issuer.mint(key=pin))  # this one starts the refresh
        await verifier.warm()
        assert (await verifier.authenticate(issuer.mint())).keys.source == "fresh"
        assert await code(verifier, issuer.mint(key=pin)) == "unknown_kid"


async def test_a_pin_is_no_way_in_before_the_first_fetch_was_tried(issuer: FakeIssuer) -> None:
    pin = FakeKey.generate("old", "ES256")
    async with issuer.verifier(pinned_pems=[pin.pem()]) as verifier:
        assert await code(verifier, issuer.mint(key=pin)) == "unknown_kid"


async def test_stale_keys_come_before_pins(issuer: FakeIssuer, clock: FakeClock) -> None:
    pin = FakeKey.generate("old", "ES256")
    async with issuer.verifier(pinned_pems=[pin.pem()]) as verifier:
        await verifier.verify(issuer.mint())
        issuer.break_down()
        clock.advance(1000)
        assert (await verifier.authenticate(issuer.mint())).keys.source == "stale"
        assert await code(verifier, issuer.mint(key=pin)) == "keys_unavailable"


async def test_a_pin_ends_when_it_is_set_to(issuer: FakeIssuer, clock: FakeClock) -> None:
    pin = FakeKey.generate("old", "ES256")
    issuer.break_down()
    async with issuer.verifier(pinned_pems=[pin.pem()], pinned_until=clock() + 100) as verifier:
        await verifier.verify(issuer.mint(key=pin))
        clock.advance(100)
        assert await code(verifier, issuer.mint(key=pin)) == "keys_unavailable"


def pinned(issuer: FakeIssuer, *pins: Any) -> Verifier:
    accept = IssuerAccept(
        issuer=issuer.issuer, audiences=[issuer.audience], pinned_pems=pins, pinned_only=True
    )
    return Verifier(AcceptConfig(issuers=[accept], algorithms=["ES256"]), issuer.client, issuer.clock)


async def test_pinned_only_never_asks_the_network(issuer: FakeIssuer) -> None:
    other = FakeKey.generate(issuer.key.kid, "ES256")
    async with pinned(issuer, issuer.key.pem()) as verifier:
        await verifier.verify(issuer.mint())
        await verifier.verify(issuer.mint(header={"kid": "any"}))
        await verifier.verify(issuer.mint(header={"kid": None}))
        assert await code(verifier, issuer.mint(key=other)) == "invalid_token"
        await verifier.warm()
    assert issuer.requests == []


async def test_a_pin_with_an_id_answers_for_that_id(issuer: FakeIssuer) -> None:
    other = FakeKey.generate("other", "ES256")
    async with pinned(issuer, (issuer.key.kid, issuer.key.pem()), ("other", other.pem())) as verifier:
        await verifier.verify(issuer.mint())
        await verifier.verify(issuer.mint(key=other))
        assert await code(verifier, issuer.mint(header={"kid": "unheard"})) == "unknown_kid"
        await verifier.verify(issuer.mint(key=other, header={"kid": None}))


async def test_a_token_without_an_id_is_tried_with_up_to_four_keys(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        while len(issuer.keys) < MAX_CANDIDATES:
            issuer.rotate()
        for key in issuer.keys:
            await verifier.verify(issuer.mint(key=key, header={"kid": None}))
        forged = issuer.mint(key=FakeKey.generate("none", "ES256"), header={"kid": None})
        assert await code(verifier, forged) == "invalid_token"
        issuer.rotate()
        await verifier.verify(issuer.mint())
        assert await code(verifier, issuer.mint(header={"kid": None})) == "missing_kid"


async def test_a_repeated_id_is_tried_until_a_key_fits(issuer: FakeIssuer) -> None:
    first = issuer.key
    for alg in ("ES256", "ES256", "EdDSA"):
        issuer.keys.append(FakeKey.generate(first.kid, alg))
    async with issuer.verifier() as verifier:
        for key in issuer.keys[:3]:
            await verifier.verify(issuer.mint(key=key))


async def test_a_key_that_does_not_fit_the_algorithm_is_not_tried(issuer: FakeIssuer) -> None:
    async with issuer.verifier(algorithms=["ES256", "ES384"]) as verifier:
        wrong = FakeKey.generate(issuer.key.kid, "ES384")
        assert await code(verifier, issuer.mint(key=wrong)) == "disallowed_alg"


async def test_the_key_set_can_be_found_by_discovery(issuer: FakeIssuer) -> None:
    async with issuer.verifier(discovery=True) as verifier:
        await verifier.verify(issuer.mint())
    paths = [request.url.path for request in issuer.requests]
    assert paths == ["/.well-known/openid-configuration", "/jwks.json"]


async def test_a_key_set_that_moved_is_found_when_a_key_id_is_missing(clock: FakeClock) -> None:
    issuer = FakeIssuer(clock=clock)
    old, path, broken = issuer.document(), "/old", False

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/.well-known/"):
            metadata = {"issuer": issuer.issuer, "jwks_uri": issuer.issuer + path}
            return httpx.Response(503) if broken else httpx.Response(200, json=metadata)
        return httpx.Response(200, content=old if request.url.path == "/old" else issuer.document())

    config = AcceptConfig(issuers=[issuer.accept(discovery=True)], algorithms=["ES256"])
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        verifier = Verifier(config, http, clock)
        await verifier.verify(issuer.mint())
        path = "/new"  # the old address goes on answering with the old set
        issuer.rotate()
        await verifier.verify(issuer.mint())
        broken = True  # the address that was true last still answers
        issuer.rotate()
        await verifier.verify(issuer.mint())
    await issuer.client.aclose()


async def test_warming_up_reports_and_never_raises(issuer: FakeIssuer) -> None:
    issuer.break_down()
    async with issuer.verifier() as verifier:
        assert verifier.health()["ready"] is False
        down = await verifier.warm()
        assert (down["ready"], down["issuers"][issuer.issuer]["failures"]) == (False, 1)
    issuer.recover()
    async with issuer.verifier() as verifier:
        up = await verifier.warm()
        assert up["ready"] is True
        state = up["issuers"][issuer.issuer]
        assert (state["source"], state["age"], state["kids"]) == ("fresh", 0.0, [issuer.key.kid])
        assert verifier.health()["issuers"][issuer.issuer]["next_refresh_in"] == pytest.approx(240, rel=0.11)
