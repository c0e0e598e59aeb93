"""Ends sessions, that of a presented token too (RFC 7009); each statement also writes the event.

Notices follow from the event. The statements are in ``queries``.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from authkit_issuer.domains.audit.notices import Occurrence
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.sessions.presented_tokens import owner_of
from authkit_issuer.domains.sessions.queries import END_OF_USER, EndedSession
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.identifiers import ip_address, user_agent
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query


async def end_sessions(
    rt: Runtime,
    query: Query[EndedSession],
    *condition: object,
    reason: SessionRevokeReason,
    actor: str | None,
    client: Client | None = None,
    data: Mapping[str, object] | None = None,
) -> list[str]:
    """End the live sessions that an ``END_*`` query selects.

    Args:
        rt: The Runtime, of a transaction or not.
        query: One of the ``END_*`` queries.
        condition: The values of the query's own condition, from ``$8`` on.
        reason: The reason in the event.
        actor: The id of the operator that ended them; None if the user or the service did.
        client: The client that asked for it, for the event.
        data: Further data of the event.

    Returns:
        The ids of the sessions that ended.

    """
    client = client or Client()
    ended = await rt.all(
        query,
        rt.config.issuer,
        reason.value,
        ip_address(client.ip),
        user_agent(client.user_agent),
        actor,
        msgspec.json.encode(data or {}).decode(),
        list(rt.sinks),
        *condition,
    )
    if ended:
        events = Events(rt)
        occurrence = Occurrence(reason=reason.value, actor=actor, data=data or {}, client=client)
        await events.announce(
            [session.event_id for session in ended], webhook=any(session.webhook for session in ended)
        )
        for user_id in {session.user_id for session in ended}:
            await events.notify_owner(SessionEventType.SESSION_REVOKED, user_id, occurrence)
    return [session.id for session in ended]


async def revoke_token(rt: Runtime, token: str, client: Client | None) -> bool:
    """End the session of a refresh token of any generation, or of an access token; False if nothing ended."""
    user_id, session_id = await owner_of(rt, token)
    if user_id is None or session_id is None:
        return False
    reason = SessionRevokeReason.LOGOUT
    return bool(
        await end_sessions(rt, END_OF_USER, session_id, user_id, reason=reason, actor=None, client=client)
    )
