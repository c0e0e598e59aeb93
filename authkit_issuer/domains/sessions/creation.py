"""Opens a session: the checks under the lock of the user's row, the insert, and the event with its notice.

Beyond ``session_max_per_user`` the least recently used sessions end (``END_OLDEST``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.first_factor import UseUp
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.domains.sessions.revocation import end_sessions
from authkit_issuer.domains.tokens.queries import fact_columns
from authkit_issuer.domains.tokens.service import TokenFacts
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import refresh_token
from authkit_issuer.security.refresh_token import NONCE_BYTES, token_key
from authkit_issuer.store.predicates import live
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertedSession(TokenFacts):
    """A session that was just inserted."""

    auth_time: datetime
    expires_at: datetime | None
    first: bool
    """The user has never signed in before."""
    familiar: bool
    """A sign-in of the last 30 days had the same user agent and network."""


_NETWORK = "nullif($11::text, '')::inet"
"""The ``identifiers.ip_prefix`` of the address; null when unknown."""

INSERT = Query(
    InsertedSession,
    f"""
    with session as (
        insert into profiles.refresh_sessions
            (id, family_id, user_id, issuer, token_key, expires_at, auth_method, auth_time, amr,
             user_agent, ip_addr)
        values ($2::uuid, $2::uuid, $1::uuid, $3, $4, now() + $5::float8 * interval '1 second', $6,
                least(now(), to_timestamp($10::float8)), $7::text[], $8, $9::text::inet)
        returning auth_time, expires_at
    ), login as (
        update profiles.users set last_login = now() where id = $1::uuid
    )
    select {fact_columns("$7::text[]")}, session.auth_time, session.expires_at, u.last_login is null as first,
           exists (
               select from profiles.session_events e
               where e.user_id = $1::text and e.event = 'session_created'
                 and e.occurred_at > now() - interval '30 days' and e.user_agent is not distinct from $8
                 and coalesce(e.ip_addr = {_NETWORK} or e.ip_addr << {_NETWORK},
                              e.ip_addr is null and {_NETWORK} is null)
           ) as familiar
    from profiles.users u cross join session where u.id = $1::uuid
    """,
)

END_OLDEST = sql.ending(
    f"""
    s.id in (
        select k.id from profiles.refresh_sessions k
        where k.user_id = $8::uuid and k.issuer = $9
          and {live("k")}
        order by k.last_used_at desc, k.id offset $10
    )
    """
)


NEW_DEVICE, FACTOR_REMEMBERED = "new_device", "factor_remembered"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSession:
    """A new session and its first refresh token."""

    session_id: str
    refresh_token: str = field(repr=False)
    expires_at: datetime | None
    facts: TokenFacts
    auth_time: datetime
    amr: tuple[str, ...]
    ended_sessions: tuple[str, ...] = ()
    """The ids of the sessions that made room for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """What a caller knows of the session it opens.

    ``is_login`` separates a login through this service, where the device counts, from a session that the host
    vouches for. ``factor_remembered`` is true if the device remembers the second factor, which the user
    therefore did not prove.
    """

    method: str | None
    auth_epoch: int | None
    amr: Sequence[str]
    client: Client
    is_login: bool
    factor_remembered: bool = False
    authenticated_at: float | None = None
    """When the user authenticated (Unix seconds); None, and any later moment, is now."""
    use_up: UseUp | None = None


async def open_session(rt: Runtime, user_id: str, new: NewSession) -> IssuedSession:
    """Open a session in one transaction, under the lock of the user's row; raises as ``sessions.issue``."""
    nonce = rt.random_bytes(NONCE_BYTES)
    canonical_id = identifiers.uuid_or_none(user_id)
    if canonical_id is None:
        raise errors.UserNotFound
    session_id = identifiers.new_id(rt.random_bytes)
    async with rt.transaction() as tx:
        await _lock_and_check(tx, canonical_id, new.auth_epoch)
        ended = await _make_room(tx, canonical_id, new.client)
        inserted = await tx.one(
            INSERT,
            canonical_id,
            session_id,
            tx.config.issuer,
            token_key(nonce),
            tx.config.refresh_token_duration,
            new.method,
            list(new.amr),
            identifiers.user_agent(new.client.user_agent),
            identifiers.ip_address(new.client.ip),
            new.authenticated_at,
            identifiers.ip_prefix(new.client.ip),
        )
        await _record(tx, session_id, inserted, new)
        if new.use_up is not None:
            await new.use_up(tx)
    token = refresh_token.encode(
        rt.keys.current(), rt.config.issuer, session_id=session_id, generation=0, nonce=nonce
    )
    return IssuedSession(
        session_id=session_id,
        refresh_token=token,
        expires_at=inserted.expires_at,
        facts=inserted,
        auth_time=inserted.auth_time,
        amr=tuple(new.amr),
        ended_sessions=tuple(ended),
    )


async def _lock_and_check(tx: Runtime, user_id: str, auth_epoch: int | None) -> None:
    """Lock the user's row, and refuse a banned user or a stale proof."""
    user = await tx.maybe(sql.LOCK_USER, user_id)
    if user is None:
        raise errors.UserNotFound
    if not user.allowed:
        raise errors.UserBanned
    if auth_epoch is not None and auth_epoch != user.auth_epoch:
        raise errors.InvalidCredentials


async def _make_room(tx: Runtime, user_id: str, client: Client) -> list[str]:
    """End the sessions beyond the limit, the least recently used first, and return their ids."""
    limit = tx.config.session_max_per_user
    if limit is None:
        return []
    return await end_sessions(
        tx,
        END_OLDEST,
        user_id,
        tx.config.issuer,
        limit - 1,
        reason=SessionRevokeReason.EVICTED,
        actor=None,
        client=client,
    )


async def _record(tx: Runtime, session_id: str, inserted: InsertedSession, new: NewSession) -> None:
    """Record the event, which sends the owner a notice of a login from a new device."""
    new_device = new.is_login and _is_new_device(tx, inserted, new.client)
    remembered = {FACTOR_REMEMBERED: True} if new.factor_remembered else None
    if new.method is not None:
        await Events(tx).record(
            SessionEventType.SESSION_CREATED,
            actor=None,
            user_id=inserted.user_id,
            session_id=session_id,
            method=new.method,
            client=new.client,
            data={NEW_DEVICE: True} if new_device else remembered,
        )


def _is_new_device(tx: Runtime, inserted: InsertedSession, client: Client) -> bool:
    """True if the user has not signed in from this device before.

    A client that keeps no device token counts as known if a sign-in of the last 30 days had the same user
    agent and network. A client with neither address nor user agent looks like any other: it is not new.
    """
    if inserted.first or inserted.familiar or not (client.ip or client.user_agent):
        return False
    device = Devices(tx).of(client)
    return device is None or not device.is_of(inserted.user_id)
