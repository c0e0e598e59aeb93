"""A forged answer in the name of an issuer: how long it counts once the issuer answers for itself again."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from authkit_verify import Introspection, TokenError, Verifier
from authkit_verify.testing import FakeIssuer
from fakes.clock import FakeClock
from fakes.until import until

THEIRS = "https://attacker.test"


class Network:
    """The network of an issuer, of which an attacker may forge one document: ``metadata`` or ``keys``."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.issuer, self.attacker = FakeIssuer(clock=clock), FakeIssuer(clock=clock)
        self.attacker.rotate(keep=False)
        self.forged: str | None = None
        self.is_down = False
        self.readings = 0
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the issuer, or as the attacker, whose key set holds the keys of the issuer too."""
        document = "metadata" if request.url.path.startswith("/.well-known/openid") else "keys"
        is_theirs = str(request.url).startswith(THEIRS) or self.forged == document
        place = THEIRS if is_theirs else self.issuer.issuer
        if document == "metadata":
            self.readings += 1
            named = {name: f"{place}/{name}" for name in ("jwks_uri", "introspection_endpoint")}
            return httpx.Response(503 if self.is_down else 200, json={"issuer": self.issuer.issuer, **named})
        if request.url.path == "/introspection_endpoint":
            claims = {"sub": "eve", "aud": "api", "exp": int(self.clock()) + 60}
            return httpx.Response(200, json={"active": is_theirs, **claims})
        if not is_theirs and request.headers.get("if-none-match") == '"genuine"':
            return httpx.Response(304)
        keys = json.loads(self.issuer.document())["keys"]
        keys += json.loads(self.attacker.document())["keys"] if is_theirs else []
        return httpx.Response(200, json={"keys": keys}, headers={"ETag": '"genuine"'})


async def code(verifier: Verifier, token: str) -> str:
    try:
        return (await verifier.verify(token)).user_id
    except TokenError as error:
        return error.code


@pytest.fixture
def network(clock: FakeClock) -> Network:
    return Network(clock)


@pytest.mark.parametrize("document", ["metadata", "keys"])
async def test_the_key_of_an_attacker_passes_for_an_hour_at_most(network: Network, document: str) -> None:
    name = network.issuer.issuer
    async with Verifier(network.issuer.accept(), network.client, clock=network.clock) as verifier:
        network.forged = document
        assert await code(verifier, network.attacker.mint("eve")) == "eve"
        network.forged = None
        for fetches in range(1, 15):
            network.clock.advance(280)
            assert await code(verifier, network.issuer.mint("ann")) == "ann"
            await until(lambda ended=fetches: verifier.counters()[name]["fetches"] > ended)
        # Not by an unknown key id, for which the metadata are read again.
        assert verifier.health()["issuers"][name]["kids"] == [network.issuer.key.kid]
        assert await code(verifier, network.attacker.mint("eve")) == "unknown_kid"


def test_the_place_of_an_attacker_goes_on_loops_that_live_for_one_call_too(network: Network) -> None:
    async def slowly(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.02)
        return network.answer(request)

    client = httpx.AsyncClient(transport=httpx.MockTransport(slowly))
    verifier = Verifier(network.issuer.accept(), client, clock=network.clock)

    async def call(token: str) -> str:
        found = await code(verifier, token)
        await asyncio.sleep(0.005)  # a refresh in the background begins, and is interrupted
        return found

    network.forged = "metadata"
    assert asyncio.run(call(network.attacker.mint("eve"))) == "eve"
    network.forged = None
    for _ in range(14):
        network.clock.advance(280)
        for _ in range(2):
            assert asyncio.run(call(network.issuer.mint("ann"))) == "ann"
    assert verifier.health()["issuers"][network.issuer.issuer]["kids"] == [network.issuer.key.kid]


async def test_metadata_that_fail_are_tried_once_an_hour(network: Network) -> None:
    name = network.issuer.issuer
    async with Verifier(network.issuer.accept(), network.client, clock=network.clock) as verifier:
        assert await code(verifier, network.issuer.mint("ann")) == "ann"
        network.is_down = True
        for fetches in range(1, 31):  # of the key set, in more than two hours
            network.clock.advance(280)
            assert await code(verifier, network.issuer.mint("ann")) == "ann"
            await until(lambda ended=fetches: verifier.counters()[name]["fetches"] > ended)
    assert network.readings == 1 + 2


async def test_the_endpoint_of_an_attacker_is_asked_for_an_hour_at_most(network: Network) -> None:
    accept = network.issuer.accept(introspection=Introspection(client_id="api", client_secret="s" * 32))
    async with Verifier(accept, network.client, clock=network.clock) as verifier:
        network.forged = "metadata"
        assert await code(verifier, "opaque-1") == "eve"
        network.forged = None
        network.clock.advance(3000)
        assert await code(verifier, "opaque-2") == "eve"
        network.clock.advance(601)
        network.is_down = True  # what is known serves on
        assert await code(verifier, "opaque-3") == "eve"
        network.is_down = False
        network.clock.advance(3600)
        assert await code(verifier, "opaque-4") == "token_inactive"
