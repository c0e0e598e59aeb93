"""Stepping up: the owner of a live session proves again who they are (RFC 9470)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.sessions.queries import LIVE
from authkit_issuer.domains.tokens.service import FACT_COLUMNS, AccessToken, TokenFacts, Tokens
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped(TokenFacts):
    """A session that was just stepped up."""

    auth_time: datetime
    expires_at: datetime | None


# The user's row is locked by nothing here: what ends sessions raises the epoch and ends this one too.
STEP_UP = Query(
    Stepped,
    f"""
    with stepped as (
        update profiles.refresh_sessions s
        set auth_time = now(), amr = $5::text[], last_used_at = now()
        from profiles.users u
        where s.id = $1::uuid and s.user_id = $2::uuid and s.issuer = $3 and {LIVE}
          and ($6::float8 is null or s.last_used_at > now() - $6 * interval '1 second')
          and u.id = s.user_id and u.auth_epoch = $4 and {ALLOWED}
        returning s.user_id, s.auth_time, s.expires_at
    )
    select {FACT_COLUMNS}, s.auth_time, s.expires_at
    from stepped s join profiles.users u on u.id = s.user_id
    """,
)


@dataclass(frozen=True, slots=True)
class Stepping:
    """Writes a fresh proof into a session."""

    rt: Runtime

    async def step_up(
        self,
        user_id: str,
        session_id: str,
        *,
        auth_epoch: int,
        method: str,
        amr: Sequence[str],
        client: Client | None,
        entitlements: list[str] | None = None,
    ) -> AccessToken:
        """Set the session's ``auth_time`` and ``amr`` and return an access token that says so.

        A caller that holds a transaction asks for the ``entitlements`` before it begins. Raises
        ``SessionEnded`` when the session is over or not this user's, or the account changed since the proof.
        """
        if self.rt.keys.current().signing is None:
            raise errors.MissingSigner
        if entitlements is None:
            entitlements = await Entitlements(self.rt).for_token(user_id)
        config = self.rt.config
        async with self.rt.transaction() as tx:
            facts = await tx.maybe(
                STEP_UP,
                session_id,
                user_id,
                config.issuer,
                auth_epoch,
                list(amr),
                config.refresh_idle_duration,
            )
            if facts is None:
                raise errors.SessionEnded
            await Events(tx).record(
                SessionEventType.SESSION_STEPPED_UP,
                user_id=user_id,
                session_id=session_id,
                method=method,
                client=client,
            )
        return Tokens(self.rt).mint(
            facts,
            entitlements,
            session_id=session_id,
            auth_time=facts.auth_time,
            amr=amr,
            not_after=facts.expires_at,
        )
