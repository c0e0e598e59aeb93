"""Refresh exchanges per second, beside what each one cannot do without, and beside the usual shape.

"limit" runs the one rotating statement bare, on the driver's own pool. "four" is what an exchange usually is:
select the session, update it, select the user, select the roles, then the same signature. "exchange" is ours:
MAC, statement, claims, signature. All are timed in the same rounds; numbers are medians.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from beside.database import config_for, fresh_database, private_key

from authkit_issuer import Service
from authkit_issuer.domains.sessions.rotation import ROTATE
from authkit_issuer.keys import KeySet
from authkit_issuer.security import refresh_token
from authkit_issuer.security.access_token_signer import signature_of

CONCURRENCY = (1, 16, 64)
ROUNDS = 7
PER_ROUND = 512
SIGNATURES = 256
GOALS = {"RS256": 0.30, "ES256": 0.60, "EdDSA": 0.60}
MINT_GOALS = {"RS256": 1.1, "ES256": 1.5, "EdDSA": 1.2}

Chain = Callable[[], Awaitable[None]]

FOUR = (
    "select user_id, generation from profiles.refresh_sessions where id = $1::uuid and revoked_at is null",
    """update profiles.refresh_sessions
       set generation = generation + 1, rotated_at = now(), last_used_at = now() where id = $1::uuid""",
    "select email, email_verified, username, banned_at, deleted_at from profiles.users where id = $1::uuid",
    """select r.slug from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
       where ur.user_id = $1::uuid""",
)


async def exchange_chain(service: Service, user_id: str) -> Chain:
    """Return a step that trades the current token of a session of its own for the next."""
    token = (await service.sessions.issue(user_id)).refresh_token

    async def step() -> None:
        nonlocal token
        token = (await service.sessions.exchange(token)).refresh_token

    return step


async def limit_chain(service: Service, user_id: str) -> Chain:
    """Return a step that runs the rotating statement, and nothing else, on a session of its own."""
    issued = await service.sessions.issue(user_id)
    decoded = refresh_token.decode(_keys(service), service.config.issuer, issued.refresh_token)
    assert decoded is not None
    assert service.pool is not None
    pool, sql, generation = service.pool, ROTATE.one.text(service.config.database_schema), 0
    issuer = service.config.issuer

    async def step() -> None:
        nonlocal generation
        row = await pool.fetchrow(sql, decoded.session_id, generation, decoded.key, None, None, issuer, None)
        assert row is not None
        generation += 1

    return step


async def four_chain(service: Service, user_id: str) -> Chain:
    """Return a step of four statements and a signature."""
    issued = await service.sessions.issue(user_id)
    assert service.pool is not None
    pool, mint = service.pool, service.rt.access_tokens.sign

    async def step() -> None:
        async with pool.acquire() as connection:
            await connection.fetchrow(FOUR[0], issued.session_id)
            await connection.execute(FOUR[1], issued.session_id)
            user = await connection.fetchrow(FOUR[2], user_id)
            roles = await connection.fetch(FOUR[3], user_id)
        assert user is not None
        mint(_claims(service, user_id, dict(user), [role["slug"] for role in roles]))

    return step


def _keys(service: Service) -> KeySet:
    return service.rt.keys.current()


def _claims(service: Service, user_id: str, user: dict[str, Any], roles: list[str]) -> dict[str, object]:
    now = int(time.time())
    return {
        "iss": service.config.issuer, "sub": user_id, "aud": "bench", "iat": now, "exp": now + 900,
        "jti": "x" * 22, "client_id": "bench", "email": user["email"], "email_verified": False,
        "username": user["username"], "discord_username": "", "entitlements": [], "roles": roles,
        "sid": user_id, "auth_time": now,
    }  # fmt: skip


async def per_operation(chains: list[Chain]) -> float:
    """Run ``PER_ROUND`` steps over all chains at once; return seconds per step."""
    each = PER_ROUND // len(chains)

    async def run(step: Chain) -> None:
        for _ in range(each):
            await step()

    started = time.perf_counter()
    await asyncio.gather(*(run(step) for step in chains))
    return (time.perf_counter() - started) / (each * len(chains))


async def measure(service: Service, concurrency: int, name: str) -> tuple[float, float, float]:
    """Return the median seconds of an exchange, of the limit, and of the four-statement shape."""
    users = [
        (await service.users.create(None, f"bench_{name}_{concurrency}_{number}")).id
        for number in range(concurrency)
    ]
    kinds = [
        [await make(service, user) for user in users] for make in (exchange_chain, limit_chain, four_chain)
    ]
    for chains in kinds:
        await per_operation(chains)
    timed = [[await per_operation(chains) for chains in kinds] for _ in range(ROUNDS)]
    exchange, limit, four = (statistics.median(column) for column in zip(*timed, strict=True))
    return exchange, limit, four


def mint_ratio(service: Service) -> float:
    """Return the time of minting a token over that of signing the same bytes."""
    claims = _claims(service, "0" * 36, {"email": "ada@example.com", "username": "ada_l"}, ["admin"])
    signing = _keys(service).signing
    assert signing is not None
    data = service.rt.access_tokens.sign(claims).rpartition(".")[0].encode()
    mint, sign = service.rt.access_tokens.sign, signature_of(signing)
    ratios = []
    for _ in range(ROUNDS * 3):
        started = time.perf_counter()
        for _ in range(SIGNATURES):
            mint(claims)
        between = time.perf_counter()
        for _ in range(SIGNATURES):
            sign(data)
        ratios.append((between - started) / (time.perf_counter() - between))
    return statistics.median(ratios)


async def main() -> None:
    async with fresh_database() as dsn:
        print(f"{'':6}{'at once':>8}{'exchange/s':>12}{'limit/s':>10}", end="")
        print(f"{'x limit':>9}{'goal':>6}{'x four':>8}{'goal':>6}")
        for algorithm, goal in GOALS.items():
            async with await Service.open(config_for(dsn, private_key(algorithm))) as service:
                for concurrency in CONCURRENCY:
                    ours, limit, four = await measure(service, concurrency, algorithm.lower())
                    print(
                        f"{algorithm:6}{concurrency:>8}{1 / ours:>12.0f}{1 / limit:>10.0f}"
                        f"{limit / ours:>9.2f}{goal:>6.2f}{four / ours:>8.2f}{1.2:>6.1f}"
                    )
                print(
                    f"{algorithm:6}minting / signing {mint_ratio(service):.2f} (goal {MINT_GOALS[algorithm]})"
                )


if __name__ == "__main__":
    asyncio.run(main())
