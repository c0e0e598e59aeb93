"""Limits on the codes that are sent: per client, per target and per signed-in user.

Only what sends a message counts against a target. The limit of a target gives a message back as time passes,
so that a code that is still valid can be in the mailbox however many other clients ask.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.base.devices import Device
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

    async def count(
        self,
        kind: str,
        target: str,
        client: Client | None,
        *,
        cooldown: bool = True,
        device: Device | None = None,
    ) -> float:
        """Count one message to ``target`` and return the seconds to wait, 0 if it may be sent now.

        A client may send one message per ``code_cooldown`` seconds (unless ``cooldown`` is off) and
        ``max_codes_per_hour`` per hour; all clients together ``max_codes_per_target_hour`` per target. The
        counters are named by a keyed digest, so the store learns no addresses.

        Args:
            kind: The purpose of the message.
            target: The address, number or user that it goes to.
            client: Where the request came from.
            cooldown: False for a purpose in which the next message need not wait.
            device: A known device of the target's own account. It counts by itself, in place of its network
                and of all clients together.
        """
        config, store = self.rt.config, self.rt.ephemeral
        name = self._of_client(kind, target, client, device)
        pause = config.code_cooldown if cooldown else 0.0
        if pause and not await store.set(f"cooldown:{name}", b"1", pause, only_if_absent=True):
            return pause
        if await store.incr(f"issued:{name}", _HOUR) > config.max_codes_per_hour:
            return _HOUR
        if device is not None:
            return 0.0
        most = config.max_codes_per_target_hour
        admitted, ahead = await store.admit(self._of_target(kind, target), most, _HOUR)
        return 0.0 if admitted else max(1.0, ahead - _HOUR + _HOUR / most)

    @asynccontextmanager
    async def sending(self, kind: str, target: str, client: Client | None) -> AsyncGenerator[None]:
        """Let the client ask again at once if the message that the block sends is not sent."""
        try:
            yield
        except errors.DeliveryFailed:
            await self.rt.ephemeral.delete(f"cooldown:{self._of_client(kind, target, client, None)}")
            raise

    async def forget(
        self, kind: str, target: str, client: Client | None, *, device: Device | None = None
    ) -> None:
        """Begin at zero again for this client and target, after a right code."""
        name = self._of_client(kind, target, client, device)
        await self.rt.ephemeral.delete(f"issued:{name}")
        await self.rt.ephemeral.delete(f"cooldown:{name}")
        await self.rt.ephemeral.delete(self._of_target(kind, target))

    def _of_client(self, kind: str, target: str, client: Client | None, device: Device | None) -> str:
        caller = ip_prefix(client.ip if client else None) if device is None else f"device:{device.id}"
        return f"{kind}:{identifier_digest(self.rt, kind, target)}:{caller}"

    def _of_target(self, kind: str, target: str) -> str:
        return f"sent_to:{kind}:{identifier_digest(self.rt, kind, target)}"
