"""The SQL of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.store.event_reading import EVENT_COLUMNS, TO_WEBHOOKS, EventRow
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event that was just written, and whether a webhook is to receive it."""

    event_id: int
    webhook: bool


RECORD = Query(
    Recorded,
    f"""
    with event as (
        insert into profiles.session_events
            (issuer, user_id, session_id, event, method, reason, ip_addr, user_agent, actor, target, data)
        values ($1, $2, $3, $4, $5, $6, $7::text::inet, $8, $9, $10, $11::text::jsonb)
        returning id, session_events.event as type
    ), queued as (
        insert into profiles.event_outbox (sink, event_id)
        select sink, event.id from event cross join unnest($12::text[]) as sink
    ), {TO_WEBHOOKS}
    select id as event_id, exists (select from webhooks) as webhook from event
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Where the notices of an account go."""

    email: str | None
    email_verified: bool
    username: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgOwner(Owner):
    """Where the notices of an organization go."""

    user_id: str


# A frozen address was in the account before its owner, and may be another person's.
_ADDRESS = "case when u.email_frozen_at is null then u.email end"
# An account that this transaction makes has no owner to surprise: the welcome email is its message. Its event
# says so, since an import gives an account the time at which another system made it.
OWNER = Query(
    Owner,
    f"""
    select {_ADDRESS} as email, u.email_verified, u.username from profiles.users u
    where u.id = $1::uuid and not exists (
        select from profiles.session_events e
        where e.user_id = $1::uuid::text and e.event = 'user_created' and e.occurred_at >= now()
    )
    """,
)
# Of an organization that the same transaction deleted as well.
ORG_OWNERS = Query(
    OrgOwner,
    f"""
    select {_ADDRESS} as email, u.email_verified, u.username, u.id::text as user_id
    from profiles.org_member_roles r join profiles.users u on u.id = r.user_id
    where r.org_id = $1::uuid and r.role = 'owner' and {ALLOWED}
    order by u.id limit 100
    """,
)
# A sink that no process delivered to for 30 days was removed: its rows must not keep what should be gone.
PURGE = Query(
    int,
    """
    with old as (
        select id from profiles.session_events e
        where occurred_at < now() - $1::float8 * interval '1 second'
          and not exists (
              select from profiles.event_outbox o join profiles.event_sinks s on s.sink = o.sink
              where o.event_id = e.id and s.leased_until > now() - interval '30 days'
          )
          and not exists (
              select from profiles.webhook_deliveries d
              join profiles.webhook_endpoints w on w.id = d.endpoint_id
              where d.event_id = e.id and d.ended_at is null and w.enabled
          )
        order by occurred_at limit $2 for update skip locked
    ), gone as (
        delete from profiles.session_events e using old where e.id = old.id returning 1
    )
    select count(*)::int from gone
    """,
)

# Where the user acted on somebody else, address and user agent are the user's as well. Of what another person
# gave as the reason only a code ($2) stays: an operator may have written about the user.
ANONYMISE = Statement(
    """
    update profiles.session_events
    set ip_addr = null, user_agent = null, data = '{}',
        reason = case when actor is null or actor = user_id or reason = any($2) then reason end
    where user_id = $1 or actor = $1
    """
)

# The cursor is (time, id): times of one transaction may be equal, and ids alone do not follow the clock.
READ = Query(
    EventRow,
    f"""
    select {EVENT_COLUMNS} from profiles.session_events e
    where e.user_id = $1 and ($2::text[] = '{{}}' or e.event = any($2))
      and (e.occurred_at, e.id) < ($3, $4::bigint)
    order by e.occurred_at desc, e.id desc limit $5
    """,
)
BY_IDS = Query(
    EventRow,
    f"""
    select {EVENT_COLUMNS} from profiles.session_events e where e.id = any($1::bigint[]) order by e.id
    """,
)
READ_ALL = Query(
    EventRow,
    f"""
    select {EVENT_COLUMNS} from profiles.session_events e
    where ($1::text[] = '{{}}' or e.event = any($1)) and (e.occurred_at, e.id) < ($2, $3::bigint)
    order by e.occurred_at desc, e.id desc limit $4
    """,
)
