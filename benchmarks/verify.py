"""How fast tokens are verified, beside the bare signature and other libraries, in one interleaved run.

    python benchmarks/verify.py [rounds]

"x bare" is the time over that of the bare signature of ``cryptography``; the last columns say how many times
as fast as PyJWT a line is. PyJWT comes in two versions: the newest tests its input character by character.
The exit status is 1 when a goal is missed.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import sys
import warnings
from typing import Literal

from beside import decoders, pyjwts
from beside.cold import WITH_BYTECODE
from beside.rounds import Candidate, Goal, Times, alternate, judged, ratio, short, table
from beside.tokens import ISSUER, fresh, mint

from authkit_verify import AcceptConfig, ClaimsMapping, IssuerAccept, TokenError, Verifier
from authkit_verify._jose.algorithms import ALGORITHMS
from authkit_verify._jose.compact import split
from authkit_verify.testing import FakeIssuer, FakeKey

Backend = Literal["cryptography", "fast"]

LIVE = 64
MANY = 16_000
TURNS = 8
"""Passes over the live tokens in one round, for candidates of less than a microsecond."""
BARE, LOOK_UP = "bare signature (cryptography)", "dictionary look-up"
SEEN, CROWD, NEW = "authkit, seen before", f"authkit, seen before, {MANY} live", "authkit, new"
NEW_FAST, NEW_MAPPED = "authkit[fast], new", "authkit, new, claims mapped and required"
FORGED, UNKNOWN, HUGE = "refuse a bad signature", "refuse an unknown key id", "refuse 60 KB"
OVER_BARE = {"RS256": 1.6, "ES256": 1.25, "EdDSA": 1.15}
PROMISED: dict[str, dict[str, tuple[float, float]]] = {
    "RS256": {
        "PyJWT 2.15.1": (120, 3), "PyJWT 2.10.1": (60, 1.35), "Authlib": (0, 1.4), "joserfc": (0, 1.8),
    },
    "ES256": {"PyJWT 2.15.1": (200, 1.6), "PyJWT 2.10.1": (130, 1.2)},
    "EdDSA": {"PyJWT 2.15.1": (200, 1.4), "PyJWT 2.10.1": (130, 1.08)},
}  # fmt: skip
"""How many times as fast as another library: with a token seen before, and with a new one."""


def verifier(
    issuer: FakeIssuer, *, cache: int, backend: Backend = "cryptography", accept: IssuerAccept | None = None
) -> Verifier:
    issuers = [accept or issuer.accept()]
    config = AcceptConfig(issuers=issuers, algorithms=[issuer.algorithm], signature_backend=backend)
    return Verifier(config, http_client=issuer.client, cache_entries=cache)


def accepts(judge: Verifier, tokens: list[str], turns: int = 1) -> Candidate:
    async def run(items: list[str]) -> None:
        for token in items:
            await judge.verify(token)

    return Candidate(run, lambda: fresh(tokens * turns))


def refuses(judge: Verifier, tokens: list[str]) -> Candidate:
    async def run(items: list[str]) -> None:
        for token in items:
            try:
                await judge.verify(token)
            except TokenError:
                continue
            raise AssertionError("accepted")

    return Candidate(run, lambda: fresh(tokens))


def decodes(decode: decoders.Decode, tokens: list[str]) -> Candidate:
    async def run(items: list[str]) -> None:
        for token in items:
            decode(token)

    return Candidate(run, lambda: fresh(tokens))


def floors(issuer: FakeIssuer, tokens: list[str]) -> dict[str, Candidate]:
    """Return the lower bounds: of a verifier with a cache of tokens, and of one without."""
    key = issuer.key.private_key.public_key()
    check = ALGORITHMS[issuer.algorithm]
    parts = {token: split(token) for token in tokens}
    seen = dict.fromkeys(tokens, 1)

    async def look_up(items: list[str]) -> None:
        for token in items:
            seen[token]

    async def bare(items: list[str]) -> None:
        for token in items:
            one = parts[token]
            check(key, one.signed, one.signature)

    return {
        LOOK_UP: Candidate(look_up, lambda: fresh(tokens * TURNS)),
        BARE: Candidate(bare, lambda: tokens),
    }


def ours(issuer: FakeIssuer, tokens: list[str]) -> dict[str, Candidate]:
    hot, cold = verifier(issuer, cache=1000), verifier(issuer, cache=0)
    unpublished = FakeKey("unpublished", issuer.algorithm, issuer.key.private_key)
    return {
        SEEN: accepts(hot, tokens, TURNS),
        NEW: accepts(cold, tokens),
        NEW_MAPPED: accepts(verifier(issuer, cache=0, accept=mapped(issuer)), tokens),
        NEW_FAST: accepts(verifier(issuer, cache=0, backend="fast"), tokens),
        FORGED: refuses(cold, [token[:-8] + "AAAAAAAA" for token in tokens]),
        UNKNOWN: refuses(cold, mint(issuer, LIVE, key=unpublished)),
        HUGE: refuses(cold, ["A" * 60_000] * LIVE),
    }


def mapped(issuer: FakeIssuer) -> IssuerAccept:
    """Return an issuer with claims mapped, and two of them required."""
    mapping = ClaimsMapping(
        roles=["realm_access.roles", "roles"], scopes=["scope", "permissions"], audience=["azp", "aud"],
        subject=["oid", "sub"],
    )  # fmt: skip
    return issuer.accept(claims=mapping, required_claims={"org": ["acme", "umbra"], "email_verified": True})


def crowd(issuer: FakeIssuer) -> Candidate:
    """Return look-ups in random order among so many tokens that the processor's caches hold few of them."""
    tokens = mint(issuer, MANY)
    warm = accepts(verifier(issuer, cache=3 * MANY), tokens)
    pending = list(tokens)

    def feed() -> list[str]:
        nonlocal pending
        first, pending = pending, []
        return first or fresh(random.sample(tokens, LIVE * TURNS))

    return Candidate(warm.run, feed)


def others(issuer: FakeIssuer, tokens: list[str], url: str) -> dict[str, Candidate]:
    found: dict[str, Candidate] = {}
    for name, module in pyjwts.versions().items():
        found[name] = decodes(decoders.pyjwt(module, issuer), tokens)
        found[f"{name} + PyJWKClient"] = decodes(decoders.pyjwk_client(module, issuer, url), tokens)
    found["joserfc"] = decodes(decoders.joserfc(issuer), tokens)
    found["Authlib"] = decodes(decoders.authlib(issuer), tokens)
    return found


def report(alg: str, times: Times) -> str:
    peers = [name for name in times if name.startswith("PyJWT") and "Client" not in name]
    rows = [
        [
            name, short(statistics.median(values)), short(ratio(values, times[BARE])),
            *(short(ratio(times[peer], values)) for peer in peers),
        ]
        for name, values in times.items()
    ]  # fmt: skip
    return table([alg, "us", "x bare", *(f"x as fast as {peer}" for peer in peers)], rows)


def goals(alg: str, times: Times) -> list[Goal]:
    """Return the goals of this algorithm, as ratios of this run."""
    seen, new = times[SEEN], times[NEW]
    found = [
        Goal("seen before, over a dictionary look-up", ratio(seen, times[LOOK_UP]), most=2.5),
        Goal("new, over the bare signature", ratio(new, times[BARE]), most=OVER_BARE[alg]),
        Goal("new with claims mapped and required, over new", ratio(times[NEW_MAPPED], new), most=1.1),
        Goal("a bad signature, over new", ratio(times[FORGED], new), most=1.25),
        Goal("an unknown key id, over new", ratio(times[UNKNOWN], new), most=0.35),
        Goal("60 KB, over new", ratio(times[HUGE], new), most=0.35),
    ]
    for name, (hot, cold) in PROMISED[alg].items():
        if name in times:
            if hot:
                found.append(Goal(f"seen before, x as fast as {name}", ratio(times[name], seen), least=hot))
            found.append(Goal(f"new, x as fast as {name}", ratio(times[name], new), least=cold))
            with_fast = ratio(times[name], times[NEW_FAST])
            found.append(Goal(f"new with [fast], x as fast as {name}", with_fast, least=cold))
    if CROWD in times:
        found.append(Goal(f"{MANY} live tokens, over {LIVE}", ratio(times[CROWD], seen), most=4))
    return found


async def measure(alg: str, rounds: int) -> bool:
    issuer = FakeIssuer(ISSUER, algorithm=alg)
    tokens = mint(issuer, LIVE)
    with decoders.published(issuer) as url:
        entries = floors(issuer, tokens) | ours(issuer, tokens) | others(issuer, tokens, url)
        if alg == "RS256":
            entries[CROWD] = crowd(issuer)
        times = await alternate(entries, rounds)
    print(f"\n{alg}, {len(tokens[0])} characters, {LIVE} live tokens, medians of {rounds} rounds\n")
    print(report(alg, times))
    met = judged(goals(alg, times))
    await issuer.client.aclose()
    return met


async def measure_imports(rounds: int) -> bool:
    """Compare the import of the package with that of PyJWT, each in an interpreter of its own."""

    def imports(statement: str) -> Candidate:
        async def run(items: list[str]) -> None:
            for item in items:
                command = [sys.executable, "-c", item]
                subprocess.run(command, check=True, env=WITH_BYTECODE)  # noqa: ASYNC221 - timed alone

        return Candidate(run, lambda: [statement])

    ours, pyjwt = "from authkit_verify import Verifier", "import jwt"
    times = await alternate({statement: imports(statement) for statement in (pyjwt, ours)}, rounds)
    print("\nimport, in milliseconds with the start of the interpreter\n")
    print(table(["import", "ms"], [[name, short(statistics.median(v) / 1000)] for name, v in times.items()]))
    return judged([Goal(f"{ours}, over {pyjwt}", ratio(times[ours], times[pyjwt]), most=1.3)])


async def main() -> bool:
    warnings.simplefilter("ignore")  # other libraries announce their next versions
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 41
    met = [await measure(alg, rounds) for alg in ("RS256", "ES256", "EdDSA")]
    return all([*met, await measure_imports(rounds)])


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
