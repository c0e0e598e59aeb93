"""Rate limits: one question to the ephemeral store per key, shared by all processes that share the store.

When the store is down, what checks or makes a credential is refused (503); everything else goes on, because a
login that cannot be counted is a guess for free, and a refresh that cannot be counted is only a refresh.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from authkit_issuer import errors
from authkit_issuer.config.limits import Rate, account_rate, caller_rate
from authkit_issuer.domains.base.code_records import identifier_digest
from authkit_issuer.http.errors import RateLimited, whole_seconds
from authkit_issuer.identifiers import ip_prefix

if TYPE_CHECKING:
    from authkit_issuer.http.operations import Limit
    from authkit_issuer.http.raw_response import HeaderList
    from authkit_issuer.ports import Client
    from authkit_issuer.service import Service

PAUSE = 1.0
"""Seconds for which a store that failed is not asked again on behalf of what goes on without it."""
_TOLD_EVERY = 10.0

logger = logging.getLogger("authkit.limits")


class RateLimiter:
    """Counts the calls of one service."""

    def __init__(self, service: Service) -> None:
        """Keep the service; rates are read from its configuration when a bucket is first used."""
        self._service = service
        self._callers: dict[str, Rate] = {}
        self._accounts: dict[str, Rate] = {}
        self._paused_until = 0.0
        self._told_at = -math.inf
        self._uncounted = 0

    async def address(self, limit: Limit, ip: str | None, headers: HeaderList) -> None:
        """Count a call from an address, all of an IPv6 /64 together; callers without one are one caller.

        Writes the ``RateLimit-*`` fields of the answer. Raises ``RateLimited``, and
        ``EphemeralStoreUnavailable`` for a limit that fails closed.
        """
        await self._caller(limit, f"ip:{ip_prefix(ip) or 'unknown'}", headers)

    async def user(self, limit: Limit, user_id: str, headers: HeaderList) -> None:
        """Count a call of a signed-in user; otherwise as ``address``."""
        await self._caller(limit, f"user:{user_id}", headers)

    async def account(self, limit: Limit, name: str, client: Client, headers: HeaderList) -> None:
        """Count a call about an account, whether or not there is one; the store learns a keyed digest."""
        wanted = name.strip().lower()
        if not wanted:
            return
        device = self._service.devices.of(client) if limit.by_device else None
        if device is not None:
            wanted = f"{wanted}|{device.user_id}|{device.auth_epoch}"
        rate = self._accounts.get(limit.bucket)
        if rate is None:
            rate = self._accounts[limit.bucket] = account_rate(self._service.config, limit.bucket)
        digest = identifier_digest(self._service.rt, limit.bucket, wanted)
        ahead = await self._admit(limit, f"account:{digest}", rate)
        if ahead is not None and ahead < 0:
            headers[:] = _fields(rate, 0, -ahead)
            raise _refusal(limit, rate, -ahead)

    async def _caller(self, limit: Limit, who: str, headers: HeaderList) -> None:
        rate = self._callers.get(limit.bucket)
        if rate is None:
            rate = self._callers[limit.bucket] = caller_rate(self._service.config, limit.bucket)
        ahead = await self._admit(limit, who, rate)
        if ahead is None:
            return
        if ahead < 0:
            headers[:] = _fields(rate, 0, -ahead)
            raise _refusal(limit, rate, -ahead)
        headers[:] = _fields(rate, _remaining(rate, ahead), ahead)

    async def _admit(self, limit: Limit, who: str, rate: Rate) -> float | None:
        """Return the seconds until the key is as fresh as new; below zero, those until the next call.

        None when nobody can count, and the call goes on.
        """
        now = self._service.rt.clock()
        if not limit.closed and now < self._paused_until:
            self._uncounted += 1
            return None
        try:
            admitted, ahead = await self._service.rt.ephemeral.admit(
                f"limit:{limit.bucket}:{who}", rate.calls, rate.window
            )
        except errors.EphemeralStoreUnavailable:
            if limit.closed:
                raise
            self._go_on(now)
            return None
        if admitted:
            return ahead
        return -max(ahead - rate.window + rate.window / rate.calls, 1e-6)

    def _go_on(self, now: float) -> None:
        self._paused_until = now + PAUSE
        self._uncounted += 1
        if now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            logger.warning(
                "rate limits are not counted: the store is down (%d calls so far)", self._uncounted
            )


def _remaining(rate: Rate, ahead: float) -> int:
    # A moment's worth of tolerance: the store rounds to microseconds.
    return max(0, math.floor((rate.window - ahead) * rate.calls / rate.window + 1e-3))


def _fields(rate: Rate, remaining: int, reset: float) -> HeaderList:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers-06, section 3."""
    return [
        (b"ratelimit-limit", b"%d" % rate.calls),
        (b"ratelimit-remaining", b"%d" % remaining),
        (b"ratelimit-reset", b"%d" % math.ceil(reset)),
        (b"ratelimit-policy", b"%d;w=%d" % (rate.calls, rate.window)),
    ]


def _refusal(limit: Limit, rate: Rate, wait: float) -> RateLimited:
    refusal = RateLimited(retry_after=wait)
    refusal.metadata.update(
        action=limit.bucket,
        reason="limit_exceeded",
        retry_after_seconds=whole_seconds(wait),
        limit=rate.calls,
        remaining=0,
        window_seconds=rate.window,
    )
    return refusal
