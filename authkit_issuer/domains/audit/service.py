"""The audit trail: rows written in the transaction of the change they record.

With each event one outbox row per configured sink is inserted in the same statement, so an event is neither
lost with a crash nor told for a change that was rolled back. ``Events.purge`` deletes what is older than
``event_retention``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from authkit_issuer import identifiers
from authkit_issuer.domains.audit import queries as sql
from authkit_issuer.domains.audit.notices import Notice, Occurrence, notices_of
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.event_types import MAX_READ, REASON_CODES, AuthSessionEvent, SessionEventType
from authkit_issuer.identifiers import ip_address
from authkit_issuer.identifiers import user_agent as storable_user_agent
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

UNKNOWN_CLIENT = Client()
_PURGE_BATCH = 1000
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_LAST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Events:
    """Writes the audit trail."""

    rt: Runtime

    async def record(
        self,
        event: SessionEventType,
        *,
        actor: str | None,
        user_id: str = "",
        session_id: str = "",
        method: str | None = None,
        reason: str | None = None,
        client: Client | None = None,
        target: str | None = None,
        data: Mapping[str, object] | None = None,
    ) -> int:
        """Write one event with its outbox rows and return its id; joins the transaction it is called in.

        ``actor`` is the id of the operator or member that acted on the user; None if it was the user or the
        service.

        The notices that ``notices.NOTICES`` names leave after the commit.
        """
        who = client or UNKNOWN_CLIENT
        recorded = await self.rt.one(
            sql.RECORD,
            self.rt.config.issuer,
            user_id,
            session_id,
            event.value,
            method,
            reason,
            ip_address(who.ip),
            storable_user_agent(who.user_agent),
            actor,
            target,
            msgspec.json.encode(data or {}).decode(),
            list(self.rt.sinks),
        )
        await self.announce([recorded.event_id], webhook=recorded.webhook)
        facts = Occurrence(
            method=method, reason=reason, actor=actor, target=target, data=data or {}, client=client
        )
        await self.notify_owner(event, user_id, facts)
        return recorded.event_id

    async def notify_owner(self, event: SessionEventType, user_id: str, occurrence: Occurrence) -> None:
        """Send the owner the notices of an event after the commit.

        ``record`` does it by itself; for statements that write their events themselves.
        """
        if not self.rt.senders.notices:
            return
        notices = notices_of(event, occurrence, self.rt.config)
        await self._notify_account(
            [notice for notice in notices if not notice.to_org_owners], user_id, occurrence
        )
        await self._notify_org_owners([notice for notice in notices if notice.to_org_owners], occurrence)

    async def _notify_account(self, notices: Sequence[Notice], user_id: str, occurrence: Occurrence) -> None:
        known = identifiers.uuid_or_none(user_id)
        if not notices or known is None:
            return
        owner = await self.rt.maybe(sql.OWNER, known)
        if owner is None:
            return
        own_act = occurrence.actor is None or occurrence.actor == known
        for notice in notices:
            if notice.verified_only and not owner.email_verified:
                continue
            address = owner.email if notice.to is None else occurrence.data.get(notice.to)
            await Messages(self.rt).notify(
                address if isinstance(address, str) else None,
                owner.username,
                notice.kind,
                by_owner=own_act and not notice.by_other,
                # An unverified address may be another person's.
                client=occurrence.client if own_act and owner.email_verified else None,
            )

    async def _notify_org_owners(self, notices: Sequence[Notice], occurrence: Occurrence) -> None:
        org = identifiers.uuid_or_none((occurrence.target or "").removeprefix("org:"))
        if not notices or org is None:
            return
        for owner in await self.rt.all(sql.ORG_OWNERS, org):
            for notice in notices:
                own_act = owner.user_id == occurrence.actor
                await Messages(self.rt).notify(
                    owner.email,
                    owner.username,
                    notice.kind,
                    by_owner=own_act,
                    client=occurrence.client if own_act and owner.email_verified else None,
                )

    async def list_session_events(
        self, user_id: str, *event_types: str, limit: int = MAX_READ, before: AuthSessionEvent | None = None
    ) -> list[AuthSessionEvent]:
        """Return events newest first, at most 500; an empty ``user_id`` means all users.

        ``before`` is the last event of the page before: the next page begins after it.
        """
        if not all(map(identifiers.storable, (user_id, *event_types))):
            return []
        size = max(1, min(limit, MAX_READ))
        moment, number = (before.occurred_at, before.id) if before else (_END_OF_TIME, _LAST_ID)
        page = (list(event_types), moment, number, size)
        if user_id:
            rows = await self.rt.stale().all(sql.READ, identifiers.uuid_or_none(user_id) or user_id, *page)
        else:
            rows = await self.rt.stale().all(sql.READ_ALL, *page)
        return [row.read() for row in rows]

    async def purge(self) -> int:
        """Delete events older than the retention time; returns how many.

        One that a sink has not taken is kept until no process delivered to that sink for 30 days.
        """
        return await self.rt.purge(sql.PURGE, self.rt.config.event_retention, batch=_PURGE_BATCH)

    async def anonymise(self, user_id: str) -> int:
        """Wipe address, user agent and details of the events of a user, and of those the user brought about.

        An operator's words go too, the package's own codes stay.

        Returns how many there were. What happened, when and to whom stays.
        """
        return await self.rt.execute(sql.ANONYMISE, user_id, sorted(REASON_CODES))

    async def log_session_created(
        self, user_id: str, method: str, session_id: str, ip: str | None = None, user_agent: str | None = None
    ) -> None:
        """Record a sign-in that a host performed itself; ``sessions.issue(method=...)`` records its own."""
        await self.record(
            SessionEventType.SESSION_CREATED,
            actor=None,
            user_id=user_id,
            session_id=session_id,
            method=method,
            client=Client(ip=ip, user_agent=user_agent),
        )

    async def log_session_failed(
        self,
        user_id: str = "",
        session_id: str = "",
        reason: str | None = None,
        ip: str | None = None,
        user_agent: str | None = None,
    ) -> None:
        """Record a refused sign-in; the user is often unknown."""
        await self.record(
            SessionEventType.SESSION_FAILED,
            actor=None,
            user_id=user_id,
            session_id=session_id,
            reason=reason,
            client=Client(ip=ip, user_agent=user_agent),
        )

    async def log_password_changed(
        self, user_id: str, session_id: str = "", ip: str | None = None, user_agent: str | None = None
    ) -> None:
        """Record that a password was set; ``session_id`` is the session that was kept, if any."""
        await self.record(
            SessionEventType.PASSWORD_CHANGED,
            actor=None,
            user_id=user_id,
            session_id=session_id,
            client=Client(ip=ip, user_agent=user_agent),
        )

    async def log_password_recovery(
        self,
        user_id: str,
        method: str,
        session_id: str = "",
        ip: str | None = None,
        user_agent: str | None = None,
    ) -> None:
        """Record that a password reset was asked for; ``method`` is ``email`` or ``sms``."""
        await self.record(
            SessionEventType.PASSWORD_RECOVERY,
            actor=None,
            user_id=user_id,
            session_id=session_id,
            method=method,
            client=Client(ip=ip, user_agent=user_agent),
        )

    async def announce(self, event_ids: Sequence[int], *, webhook: bool) -> None:
        """Wake what delivers these events, and hand them to the hooks, once the transaction has committed."""

        async def wake() -> None:
            self.rt.wake_outbox()
            if webhook:
                self.rt.wake_webhooks()
            if self.rt.hooks:
                self.rt.hooks.take(event_ids, self._committed)

        if self.rt.sinks or webhook or self.rt.hooks:
            await self.rt.after_commit(wake)

    async def _committed(self, event_ids: Sequence[int]) -> list[AuthSessionEvent]:
        """Return events by a connection of their own: the transaction that wrote them has ended."""
        outside = dataclasses.replace(self.rt, store=self.rt.batched.store, waiting=None)
        return [row.read() for row in await outside.all(sql.BY_IDS, list(event_ids))]
