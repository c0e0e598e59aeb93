"""A key id that is not in the key set: the issuer may have rotated, and is asked again, within limits.

Tokens with invented key ids must not become requests to the issuer. ``Refresher.fetch_again`` takes each such
fetch from its ``fetch_limits.TokenBucket``: ``BURST`` at once and one more per ``REFILL`` seconds. A key id
that a fetch did not bring causes no further one for ``fetch_limits.NEGATIVE_TTL`` seconds.
"""

from __future__ import annotations

import asyncio

from authkit_verify._jwks import refresher


async def refresh_for_kid(remote: refresher.Refresher, kid: str) -> bool:
    """Fetch again because this key id is unknown. True if the cache now holds the issuer's answer."""
    cache = remote.cache
    if cache.is_absent(kid):
        return True
    wait = refresher.MAX_WAIT
    running = remote.running()
    if running is not None and not running.bypass_caches:
        # It was sent before this token came, or to a cache: it may well miss a key that is newer.
        loop = asyncio.get_running_loop()
        started = loop.time()
        await remote.join(running, wait)
        if cache.has(kid):
            return True
        wait = max(0.0, wait - (loop.time() - started))
    renewed = await remote.fetch_again("a key id that is not in the set", wait)
    if renewed is None:
        return cache.failures == 0
    if renewed and not cache.has(kid):
        cache.mark_absent(kid)
    return renewed
