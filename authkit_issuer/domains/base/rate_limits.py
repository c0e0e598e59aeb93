"""Rate limits: one question to the ephemeral store per key, shared by all processes that share the store.

When the store is down, what checks or makes a credential is refused; everything else goes on, because a login
that cannot be counted is a guess for free, and a refresh that cannot be counted is only a refresh.
``config.limits`` has the rates, ``ephemeral.gcra`` the algorithm, and ``sending_limits`` the limits on
messages. ``identifiers.client`` reads the network of an address.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from dataclasses import dataclass, field

from authkit_issuer.config.limits import Rate, account_rate, caller_rate
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.errors import EphemeralStoreUnavailable
from authkit_issuer.identifiers import ip_prefix, ip_site
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

PAUSE = 1.0
"""Seconds for which a store that failed is not asked again on behalf of calls that go on without it."""
SITE_FACTOR = 16
"""The rate of an IPv6 /48 in multiples of the rate of one of its /64."""
_LOG_EVERY = 10.0

logger = logging.getLogger("authkit.limits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a key has left after a call."""

    rate: Rate
    remaining: int
    reset: float
    """Seconds until the key is unused again; for a refused call, seconds until the next one is allowed."""
    allowed: bool


@dataclass(slots=True)
class RateLimits:
    """Counts calls by address, by user, and by the account that they are about.

    Rates are read from the configuration when a bucket is first used.
    """

    rt: Runtime
    _callers: dict[str, Rate] = field(default_factory=dict[str, Rate], init=False, repr=False)
    _accounts: dict[str, Rate] = field(default_factory=dict[str, Rate], init=False, repr=False)
    _paused_until: float = field(default=0.0, init=False, repr=False)
    _logged_at: float = field(default=-math.inf, init=False, repr=False)
    _uncounted: int = field(default=0, init=False, repr=False)

    async def take(self, bucket: str, key: str, *, closed: bool = False) -> Usage | None:
        """Count a call of a caller.

        Args:
            bucket: The name of a rate in ``Config.rate_limits``.
            key: Who calls, by ``address_key``, ``user_key`` or ``session_key``.
            closed: Refuse the call when the store is down, instead of letting it go on.

        Returns:
            The usage; None if the store is down and the call goes on.

        Raises:
            EphemeralStoreUnavailable: The store is down, and ``closed``.
        """
        return await self._count(f"limit:{bucket}:{key}", self._caller_rate(bucket), closed=closed)

    async def take_for_address(self, bucket: str, ip: str | None, *, closed: bool = False) -> Usage | None:
        """Count a call from an address: its IPv4 address, or its IPv6 /64 and /48; otherwise as ``take``.

        One subscriber may have a /48 of 65,536 networks, so it is counted too, at ``SITE_FACTOR`` times the
        rate.
        """
        usage = await self.take(bucket, address_key(ip), closed=closed)
        site = ip_site(ip)
        if not site or usage is None or not usage.allowed:
            return usage
        rate = self._caller_rate(bucket).times(SITE_FACTOR)
        of_site = await self._count(f"limit:{bucket}:ip:{site}", rate, closed=closed)
        return usage if of_site is None or of_site.allowed else of_site

    async def take_for_account(
        self, bucket: str, name: str, *, device: Client | None = None, closed: bool = False
    ) -> Usage | None:
        """Count a call about an account, whether it exists or not; the store learns a keyed digest.

        With ``device``, calls from a device that is known for an account are counted apart. Otherwise as
        ``take``.
        """
        key = self._account_key(bucket, name, device)
        return await self._count(key, self._account_rate(bucket), closed=closed)

    async def give_back(self, bucket: str, key: str) -> None:
        """Undo a ``take`` that was allowed; does nothing if the store is down."""
        await self._give_back(f"limit:{bucket}:{key}", self._caller_rate(bucket))

    async def give_back_for_address(self, bucket: str, ip: str | None) -> None:
        """Undo a ``take_for_address`` that was allowed; does nothing if the store is down."""
        await self.give_back(bucket, address_key(ip))
        site = ip_site(ip)
        if site:
            await self._give_back(f"limit:{bucket}:ip:{site}", self._caller_rate(bucket).times(SITE_FACTOR))

    async def give_back_for_account(self, bucket: str, name: str, *, device: Client | None = None) -> None:
        """Undo a ``take_for_account`` that was allowed; does nothing if the store is down."""
        await self._give_back(self._account_key(bucket, name, device), self._account_rate(bucket))

    async def forget_account(self, bucket: str, name: str) -> None:
        """Begin at zero again for an account, but for its known devices; raises if the store is down."""
        await self.rt.ephemeral.delete(self._account_key(bucket, name, None))

    def _caller_rate(self, bucket: str) -> Rate:
        rate = self._callers.get(bucket)
        if rate is None:
            rate = self._callers[bucket] = caller_rate(self.rt.config, bucket)
        return rate

    def _account_rate(self, bucket: str) -> Rate:
        rate = self._accounts.get(bucket)
        if rate is None:
            rate = self._accounts[bucket] = account_rate(self.rt.config, bucket)
        return rate

    def _account_key(self, bucket: str, name: str, device: Client | None) -> str:
        known = Devices(self.rt).of(device)
        if known is None:
            return f"limit:{bucket}:account:{identifier_digest(self.rt, bucket, name)}"
        # Apart from every name: clients may type any, such as one that ends with the ids of another's device.
        whose = identifier_digest(self.rt, bucket, f"{known.user_id}|{known.auth_epoch}|{name}")
        return f"limit:{bucket}:device:{whose}"

    async def _give_back(self, key: str, rate: Rate) -> None:
        with suppress(EphemeralStoreUnavailable):
            await self.rt.ephemeral.give_back(key, rate.calls, rate.window)

    async def _count(self, key: str, rate: Rate, *, closed: bool) -> Usage | None:
        now = self.rt.clock()
        if not closed and now < self._paused_until:
            self._uncounted += 1
            return None
        try:
            admitted, ahead = await self.rt.ephemeral.admit(key, rate.calls, rate.window)
        except EphemeralStoreUnavailable:
            if closed:
                raise
            self._go_on(now)
            return None
        if admitted:
            return Usage(rate=rate, remaining=_remaining(rate, ahead), reset=ahead, allowed=True)
        wait = max(ahead - rate.window + rate.window / rate.calls, 1e-6)
        return Usage(rate=rate, remaining=0, reset=wait, allowed=False)

    def _go_on(self, now: float) -> None:
        self._paused_until = now + PAUSE
        self._uncounted += 1
        if now - self._logged_at >= _LOG_EVERY:
            self._logged_at = now
            logger.warning(
                "rate limits are not counted: the store is down (%d calls so far)", self._uncounted
            )


def address_key(ip: str | None) -> str:
    """Return the key of an address, one for an IPv6 /64; callers without an address share one."""
    return f"ip:{ip_prefix(ip) or 'unknown'}"


def user_key(user_id: str) -> str:
    """Return the key of a signed-in user."""
    return f"user:{user_id}"


def session_key(session_id: str) -> str:
    """Return the key of a session whose refresh token the caller has."""
    return f"session:{session_id}"


def _remaining(rate: Rate, ahead: float) -> int:
    # A moment's worth of tolerance: the store rounds to microseconds.
    return max(0, math.floor((rate.window - ahead) * rate.calls / rate.window + 1e-3))
