"""Ending sessions, each with its event in the same statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from authkit_issuer.domains.audit.service import NOBODY, Events
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.identifiers import ip_address, user_agent
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True)
class Ending:
    """Ends live sessions and says which."""

    rt: Runtime

    async def one(
        self, session_id: str, *, reason: SessionRevokeReason, client: Client | None = None
    ) -> list[str]:
        """End this session."""
        return await self._end(sql.END_ONE, (session_id,), reason, client)

    async def of_user(
        self, user_id: str, session_id: str, *, reason: SessionRevokeReason, client: Client | None = None
    ) -> list[str]:
        """End this session if it is this user's."""
        return await self._end(sql.END_OF_USER, (session_id, user_id), reason, client)

    async def all_of(
        self, user_id: str, keep: str | None, *, reason: SessionRevokeReason, client: Client | None = None
    ) -> list[str]:
        """End every session of the user, whichever issuer it belongs to, but the one to keep."""
        return await self._end(sql.END_ALL, (user_id, keep), reason, client)

    async def oldest(self, user_id: str, keep_newest: int) -> list[str]:
        """End the least recently used sessions of the user beyond a number."""
        config = self.rt.config
        return await self._end(
            sql.END_OLDEST, (user_id, config.issuer, keep_newest), SessionRevokeReason.EVICTED, None
        )

    async def replayed(
        self, session_id: str, generation: int, *, client: Client, data: Mapping[str, object]
    ) -> list[str]:
        """End the session whose old token of this generation came back."""
        reason = SessionRevokeReason.REFRESH_REUSE_DETECTED
        return await self._end(sql.END_REPLAYED, (session_id, generation), reason, client, data)

    async def _end(
        self,
        query: Query[str],
        which: tuple[object, ...],
        reason: SessionRevokeReason,
        client: Client | None,
        data: Mapping[str, object] | None = None,
    ) -> list[str]:
        who = client or NOBODY
        ended = await self.rt.all(
            query,
            self.rt.config.issuer,
            reason.value,
            ip_address(who.ip),
            user_agent(who.user_agent),
            msgspec.json.encode(data or {}).decode(),
            list(self.rt.sinks),
            *which,
        )
        if ended:
            await Events(self.rt).announce()
        return ended
