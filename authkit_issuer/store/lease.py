"""A lease in the database: one worker at a time does something, and renews its lease while it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from authkit_issuer.errors import AuthError

LEASE = 10.0
"""Seconds for which one worker alone does the work: what a killed one leaves waits that long."""
SAFE = LEASE * 2 / 3
"""Seconds after the last renewal for which a worker goes on: it stops before another one may begin."""


@asynccontextmanager
async def renewed(
    renew: Callable[[], Awaitable[bool]], asked: float, *, longest: float
) -> AsyncGenerator[None]:
    """Renew a lease while the block runs.

    Args:
        renew: Renews the lease for ``LEASE`` seconds; returns False if another worker has it.
        asked: When the lease was asked for, on the clock of the loop.
        longest: Seconds after which it is renewed no more.

    Raises:
        TimeoutError: The lease cannot be renewed, or the block takes ``longest``.
    """
    async with asyncio.timeout_at(asked + SAFE) as limit:
        renewing = asyncio.create_task(_renew(renew, limit, longest), name="authkit lease")
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)


async def _renew(renew: Callable[[], Awaitable[bool]], limit: asyncio.Timeout, longest: float) -> None:
    now = asyncio.get_running_loop().time
    last = now() + longest
    while not limit.expired():
        await asyncio.sleep(LEASE / 5)
        asked = now()
        with suppress(AuthError):
            if not await renew():
                return
            limit.reschedule(min(last, asked + SAFE))
