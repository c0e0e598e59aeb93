"""Valid requests while keys are new, unavailable or requested by attackers.

    python benchmarks/outage.py

Each verifier fetches the keys of its own issuer over a real socket. A response takes 100 ms, as over the
internet (10 ms for a thousand of them). PyJWT's client is synchronous, so it runs as in an async application:
in threads, one for each concurrent request. "fetches" counts the requests for keys at the issuer.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType

from beside import pyjwts
from beside.breakable import KeyServer
from beside.rounds import short, table
from beside.tokens import AUDIENCE

from authkit_verify import AcceptConfig, Verifier

ALGORITHM = "ES256"
TTL, SHORT_TTL = 300.0, 1.0
"""Seconds that a key set is fresh; shorter in the outage, so that the run takes no five minutes."""
Verify = Callable[[str], Awaitable[object]]


@dataclass(slots=True)
class Outcome:
    accepted: int = 0
    refused: int = 0
    waits: list[float] = field(default_factory=list)

    async def ask(self, verify: Verify, token: str) -> None:
        start = time.perf_counter()
        try:
            await verify(token)
        except Exception:  # noqa: BLE001 - each library has errors of its own
            self.refused += 1
        else:
            self.accepted += 1
        self.waits.append((time.perf_counter() - start) * 1e3)


def ours(server: KeyServer, ttl: float) -> Verify:
    accept = server.issuer.accept(jwks_url=server.url + "/jwks.json", allow_http_loopback=True, cache_ttl=ttl)
    return Verifier(AcceptConfig(issuers=[accept], algorithms=[ALGORITHM]), cache_entries=0).verify


def pyjwt(module: ModuleType, server: KeyServer, ttl: float) -> Verify:
    client = module.PyJWKClient(server.url + "/jwks.json", lifespan=ttl)
    threads = ThreadPoolExecutor(64)

    def decode(token: str) -> object:
        key = client.get_signing_key_from_jwt(token).key
        return module.decode(token, key, [ALGORITHM], audience=AUDIENCE, issuer=server.issuer.issuer)

    async def verify(token: str) -> object:
        return await asyncio.get_running_loop().run_in_executor(threads, decode, token)

    return verify


async def stampede(server: KeyServer, verify: Verify) -> Outcome:
    outcome = Outcome()
    tokens = [server.issuer.mint(f"user-{n}") for n in range(50)]
    await asyncio.gather(*(outcome.ask(verify, token) for token in tokens))
    return outcome


async def outage(server: KeyServer, verify: Verify) -> Outcome:
    await verify(server.issuer.mint())
    server.down, server.fetches = True, 0
    await asyncio.sleep(SHORT_TTL * 1.2)
    outcome = Outcome()
    for n in range(100):
        await asyncio.sleep(0.005)  # as much as lies between requests; what is done behind them goes on
        await outcome.ask(verify, server.issuer.mint(f"user-{n}"))
    return outcome


async def rotation(server: KeyServer, verify: Verify) -> Outcome:
    await verify(server.issuer.mint())
    server.fetches = 0
    server.issuer.rotate()
    outcome = Outcome()
    for n in range(20):
        await outcome.ask(verify, server.issuer.mint(f"user-{n}"))
    return outcome


async def invented_key_ids(server: KeyServer, verify: Verify) -> Outcome:
    await verify(server.issuer.mint())
    server.fetches, server.delay = 0, 0.01
    outcome, noise = Outcome(), Outcome()
    for n in range(1000):
        await noise.ask(verify, server.issuer.mint(header={"kid": f"invented-{n}"}))
        if n % 10 == 0:
            await outcome.ask(verify, server.issuer.mint(f"user-{n}"))
    assert noise.accepted == 0
    return outcome


CASES: dict[str, Callable[[KeyServer, Verify], Awaitable[Outcome]]] = {
    "50 first requests at once": stampede,
    "100 after the keys' time, the issuer down": outage,
    "20 with a new key, right after a fetch": rotation,
    "100 among 1,000 invented key ids": invented_key_ids,
}


async def play(case: str, make: Callable[[KeyServer, float], Verify]) -> list[str]:
    with KeyServer(ALGORITHM) as server:
        server.delay = 0.1
        script = CASES[case]
        outcome = await script(server, make(server, SHORT_TTL if script is outage else TTL))
        await server.issuer.client.aclose()
    return [
        str(server.fetches), str(outcome.accepted), str(outcome.refused),
        short(statistics.median(outcome.waits)), short(max(outcome.waits)),
    ]  # fmt: skip


async def main() -> None:
    makers: dict[str, Callable[[KeyServer, float], Verify]] = {"authkit": ours}
    for name, module in pyjwts.versions().items():
        makers[f"{name} + PyJWKClient"] = partial(pyjwt, module)
    rows = [[case, name, *await play(case, makers[name])] for case in CASES for name in makers]
    print(
        table(
            ["valid requests", "verifier", "fetches", "accepted", "refused", "median ms", "slowest ms"],
            rows,
        )
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()  # the verifiers log the outage
    asyncio.run(main())
