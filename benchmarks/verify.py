"""How fast tokens are verified, beside the bare signature and PyJWT, in one interleaved run.

    python benchmarks/verify.py [rounds]

Every candidate takes its turn in random order inside each round. Ratios are medians of the ratio inside each
round: the machine's own drift cancels out, so trust them before the microseconds.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt

from authkit_verify import AcceptConfig, TokenError, Verifier
from authkit_verify.algorithms import ALGORITHMS
from authkit_verify.compact import split
from authkit_verify.testing import FakeIssuer, FakeKey

TOKENS = 64
PYJWT = f"PyJWT {jwt.__version__}"
CLAIMS: dict[str, Any] = {
    "aud": ["api", "https://api.example.test"], "sid": "4b1f6f2e-7b1c-4f5e-9a53-0f0d6f9a2c11",
    "email": "somebody@example.test", "email_verified": True, "username": "somebody",
    "discord_username": "somebody#1234", "org": "acme", "roles": ["owner", "admin", "member"],
    "entitlements": ["alpha", "beta", "gold", "silver", "bronze"],
}  # fmt: skip
Candidate = Callable[[], Awaitable[None]]


def verifier(issuer: FakeIssuer, *, cache: int) -> Verifier:
    config = AcceptConfig(issuers=[issuer.accept()], algorithms=[issuer.algorithm])
    return Verifier(config, http_client=issuer.client, cache_entries=cache)


def fresh(tokens: list[str]) -> list[str]:
    """Return equal tokens in new objects: a reused one keeps its hash and would flatter a look-up."""
    return [token[:1] + token[1:] for token in tokens]


def accepts(judge: Verifier, tokens: list[str]) -> Candidate:
    async def run() -> None:
        for token in fresh(tokens):
            await judge.verify(token)

    return run


def refuses(judge: Verifier, tokens: list[str]) -> Candidate:
    async def run() -> None:
        for token in tokens:
            try:
                await judge.verify(token)
            except TokenError:
                continue
            raise AssertionError("accepted")

    return run


def opponents(issuer: FakeIssuer, tokens: list[str]) -> dict[str, Candidate]:
    public: Any = issuer.key.private_key.public_key()
    check = ALGORITHMS[issuer.algorithm]
    parts = [split(token) for token in tokens]
    table = dict.fromkeys(tokens, 1)

    async def look_up() -> None:
        for token in fresh(tokens):
            table[token]

    async def raw() -> None:
        for one in parts:
            check(public, one.signed, one.signature)

    async def pyjwt() -> None:
        for token in tokens:
            jwt.decode(token, public, [issuer.algorithm], audience="api", issuer=issuer.issuer)

    return {"dictionary look-up": look_up, "bare signature": raw, PYJWT: pyjwt}


def candidates(issuer: FakeIssuer, tokens: list[str]) -> dict[str, Candidate]:
    hot, cold = verifier(issuer, cache=1000), verifier(issuer, cache=0)
    wrong = [token[:-8] + "AAAAAAAA" for token in tokens]
    stranger = FakeKey("stranger", issuer.algorithm, issuer.key.private_key)
    unknown = [issuer.mint(key=stranger, **CLAIMS) for _ in tokens]
    return opponents(issuer, tokens) | {
        "authkit, seen before": accepts(hot, tokens),
        "authkit, new": accepts(cold, tokens),
        "refuse a bad signature": refuses(cold, wrong),
        "refuse an unknown key id": refuses(cold, unknown),
        "refuse 60 KB": refuses(cold, ["A" * 60_000] * TOKENS),
    }


async def measure(alg: str, rounds: int) -> None:
    issuer = FakeIssuer(algorithm=alg)
    tokens = [issuer.mint(f"user-{n}", **CLAIMS) for n in range(TOKENS)]
    entries = candidates(issuer, tokens)
    times: dict[str, list[float]] = {name: [] for name in entries}
    for name in entries:
        await entries[name]()
    for _ in range(rounds):
        for name in random.sample(list(entries), len(entries)):
            start = time.perf_counter()
            await entries[name]()
            times[name].append((time.perf_counter() - start) / TOKENS * 1e6)
    print(f"\n{alg}, {len(tokens[0])} characters, {TOKENS} live tokens, {rounds} rounds")
    print(f"{'':28}{'median us':>10}{'x bare':>9}{'PyJWT is x':>12}")
    bare, other = times["bare signature"], times[PYJWT]
    for name, values in times.items():
        to_bare = statistics.median(a / b for a, b in zip(values, bare, strict=True))
        to_other = statistics.median(b / a for a, b in zip(values, other, strict=True))
        print(f"{name:28}{statistics.median(values):10.2f}{to_bare:9.3f}{to_other:12.2f}")
    await issuer.client.aclose()


async def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 41
    for alg in ("RS256", "ES256", "EdDSA"):
        await measure(alg, rounds)


if __name__ == "__main__":
    asyncio.run(main())
