"""Limits on the codes that are sent: per client, per target and per signed-in user."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """Counts messages before they are sent."""

    rt: Runtime

    async def check(self, kind: str, target: str, client: Client | None, *, cooldown: bool = True) -> None:
        """Count one message as ``count`` does; raise ``TooManyRequests`` beyond the limits."""
        wait = await self.count(kind, target, client, cooldown=cooldown)
        if wait:
            raise errors.TooManyRequests(retry_after=wait)

    async def check_user(self, kind: str, user_id: str) -> None:
        """Count one request of a signed-in user; ``TooManyRequests`` beyond ``max_codes_per_hour``."""
        requests = await self.rt.ephemeral.incr(f"issued:{kind}:{user_id}", _HOUR)
        if requests > self.rt.config.max_codes_per_hour:
            raise errors.TooManyRequests(retry_after=_HOUR)

    async def count(self, kind: str, target: str, client: Client | None, *, cooldown: bool = True) -> float:
        """Count one message to ``target`` and return the seconds to wait, 0 if it may be sent now.

        A client may send one message per ``code_cooldown`` seconds (unless ``cooldown`` is off) and
        ``max_codes_per_hour`` per hour; all clients together ``max_codes_per_target_hour`` per target. The
        counters are named by a keyed digest, so the store learns no addresses.
        """
        config, store = self.rt.config, self.rt.ephemeral
        digest = identifier_digest(self.rt, kind, target)
        by_client = f"{kind}:{digest}:{ip_prefix(client.ip if client else None)}"
        if (
            cooldown
            and config.code_cooldown
            and not await store.set(f"cooldown:{by_client}", b"1", config.code_cooldown, only_if_absent=True)
        ):
            return config.code_cooldown
        if await store.incr(f"issued:{by_client}", _HOUR) > config.max_codes_per_hour:
            return _HOUR
        sent = await store.incr(f"issued:{kind}:{digest}", _HOUR)
        return 0.0 if sent <= config.max_codes_per_target_hour else _HOUR
