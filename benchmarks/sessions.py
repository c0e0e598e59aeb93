"""Refresh exchanges per second, beside what each one cannot do without.

An exchange is one SQL statement and one signature. Both are timed bare, in the same rounds as the exchange:
the statement on the driver's own pool, the signature in a loop. "over" is the time of an exchange divided by
the time of the two together; 1.0 would mean that everything else is free, or hidden behind the database,
which works on another core while this process signs.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from authkit_issuer import Config, KeySet, Service, SigningKey, StaticKeys
from authkit_issuer.capabilities.sessions.statements import ROTATE
from authkit_issuer.embedded import EmbeddedPostgres
from authkit_issuer.security import refresh_token
from authkit_issuer.store.migrate import migrate

CONCURRENCY = (1, 16, 64)
ROUNDS = 7
PER_ROUND = 512
CLAIMS = b"x" * 700  # about what the header and the claims of an access token take

Chain = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds per operation, the median of all rounds."""

    exchange: float
    statement: float
    signature: float


def make_keys() -> tuple[StaticKeys, rsa.RSAPrivateKey]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signing = SigningKey(kid="bench", private_key=private)
    keys = KeySet(
        signing=signing,
        public={"bench": private.public_key()},
        refresh_secrets={1: os.urandom(32)},
        active_secret=1,
    )
    return StaticKeys(keys), private


async def exchange_chain(service: Service, user_id: str) -> Chain:
    """Return a step that trades the current token of a session of its own for the next."""
    token = (await service.sessions.issue(user_id)).refresh_token

    async def step() -> None:
        nonlocal token
        token = (await service.sessions.exchange(token)).refresh_token

    return step


async def statement_chain(service: Service, user_id: str) -> Chain:
    """Return a step that runs the rotating statement, and nothing else, on a session of its own."""
    issued = await service.sessions.issue(user_id)
    keys, issuer = service.rt.keys.current(), service.config.issuer
    decoded = refresh_token.decode(keys, issuer, issued.refresh_token)
    assert decoded is not None
    assert service.pool is not None
    pool, sql, generation = service.pool, ROTATE.text(service.config.database_schema), 0

    async def step() -> None:
        nonlocal generation
        row = await pool.fetchrow(
            sql, decoded.session_id, generation, decoded.key, issuer, None, 30.0, None, None
        )
        assert row is not None
        generation += 1

    return step


async def per_operation(chains: list[Chain]) -> float:
    """Run ``PER_ROUND`` steps over all chains at once; return seconds per step."""
    each = PER_ROUND // len(chains)

    async def run(step: Chain) -> None:
        for _ in range(each):
            await step()

    started = time.perf_counter()
    await asyncio.gather(*(run(step) for step in chains))
    return (time.perf_counter() - started) / (each * len(chains))


async def measure(service: Service, private: rsa.RSAPrivateKey, concurrency: int) -> Result:
    users = [
        (
            await service.users.create(
                f"b{concurrency}n{number}@example.test", f"bench_{concurrency}_{number}"
            )
        ).id
        for number in range(concurrency)
    ]
    exchanges = [await exchange_chain(service, user) for user in users]
    statements = [await statement_chain(service, user) for user in users]
    await per_operation(exchanges)
    await per_operation(statements)
    timed = [
        (await per_operation(exchanges), await per_operation(statements), per_signature(private))
        for _ in range(ROUNDS)
    ]
    return Result(*(statistics.median(column) for column in zip(*timed, strict=True)))


def per_signature(private: rsa.RSAPrivateKey) -> float:
    """Return the seconds of one RS256 signature."""
    started = time.perf_counter()
    for _ in range(PER_ROUND):
        private.sign(CLAIMS, padding.PKCS1v15(), hashes.SHA256())
    return (time.perf_counter() - started) / PER_ROUND


async def main() -> None:
    keys, private = make_keys()
    with tempfile.TemporaryDirectory(prefix="authkit-bench-", ignore_cleanup_errors=True) as folder:
        postgres = await asyncio.to_thread(EmbeddedPostgres.start, Path(folder))
        try:
            await migrate(postgres.dsn)
            await compare(postgres.dsn, keys, private)
        finally:
            await asyncio.to_thread(postgres.stop)


async def compare(dsn: str, keys: StaticKeys, private: rsa.RSAPrivateKey) -> None:
    """Print the table."""
    config = Config(
        issuer="https://issuer.example.test",
        issued_audiences=("bench",),
        environment="test",
        database_url=dsn,
        keys=keys,
        session_max_per_user=None,
    )
    print(f"{'at once':>7}  {'exchanges/s':>11}  {'statements/s':>12}  {'signatures/s':>12}  {'over':>5}")
    async with await Service.open(config) as service:
        for concurrency in CONCURRENCY:
            found = await measure(service, private, concurrency)
            over = found.exchange / (found.statement + found.signature)
            print(
                f"{concurrency:>7}  {1 / found.exchange:>11.0f}  {1 / found.statement:>12.0f}"
                f"  {1 / found.signature:>12.0f}  {over:>5.2f}"
            )


if __name__ == "__main__":
    asyncio.run(main())
