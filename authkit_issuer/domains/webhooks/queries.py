"""The SQL of webhooks. Rows of deliveries are written with their event: ``store/event_reading.py``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.event_reading import EVENT_COLUMNS, EventRow
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow:
    """An endpoint, and what waits for it."""

    id: str
    url: str
    events: list[str]
    personal: bool
    enabled: bool
    created_at: datetime
    waiting: int
    dead: int
    last_outcome: str | None
    last_tried_at: datetime | None


ENDPOINT_COLUMNS = """
    w.id::text, w.url, w.events, w.personal, w.enabled, w.created_at,
    (select count(*)::int from profiles.webhook_deliveries d
     where d.endpoint_id = w.id and d.ended_at is null) as waiting,
    (select count(*)::int from profiles.webhook_deliveries d where d.endpoint_id = w.id and d.dead) as dead,
    l.outcome as last_outcome, l.tried_at as last_tried_at
"""
_LAST = """
    left join lateral (
        select d.outcome, d.tried_at from profiles.webhook_deliveries d
        where d.endpoint_id = w.id and d.tried_at is not null order by d.tried_at desc limit 1
    ) l on true
"""

ADD = Statement(
    """
    insert into profiles.webhook_endpoints (id, url, events, personal, secret)
    values ($1::uuid, $2, $3, $4, $5)
    """
)
LIST = Query(
    EndpointRow,
    f"""
    select {ENDPOINT_COLUMNS} from profiles.webhook_endpoints w {_LAST} order by w.created_at, w.id
    """,
)
GET = Query(
    EndpointRow,
    f"select {ENDPOINT_COLUMNS} from profiles.webhook_endpoints w {_LAST} where w.id = $1::uuid",
)
REMOVE = Statement("delete from profiles.webhook_endpoints where id = $1::uuid")
# An endpoint that is enabled again is tried at once.
SWITCH = Statement(
    """
    update profiles.webhook_endpoints set enabled = $2, next_at = '-infinity' where id = $1::uuid
    """
)
ROTATE = Statement(
    """
    update profiles.webhook_endpoints
    set former_secret = secret, former_until = now() + $3::float8 * interval '1 second', secret = $2
    where id = $1::uuid
    """
)
RESEAL = Statement(
    "update profiles.webhook_endpoints set secret = $3 where id = $1::uuid and secret = $2::bytea"
)

# What waits lines up again as well: it may have happened after what was given up.
REPLAY_DEAD = Query(
    int,
    """
    with lined_up as (
        select d.event_id, d.dead,
               now() - row_number() over (order by e.occurred_at desc, e.id desc) * interval '1 microsecond'
               as queued_at
        from profiles.webhook_deliveries d join profiles.session_events e on e.id = d.event_id
        where d.endpoint_id = $1::uuid and (d.dead or d.ended_at is null)
    ), again as (
        update profiles.webhook_deliveries d
        set attempts = case when d.dead then 0 else d.attempts end, queued_at = l.queued_at, ended_at = null,
            dead = false
        from lined_up l
        where d.endpoint_id = $1::uuid and d.event_id = l.event_id and (d.dead or d.ended_at is null)
        returning l.dead
    ), due as (
        update profiles.webhook_endpoints set next_at = '-infinity' where id = $1::uuid
    )
    select count(*) filter (where dead)::int from again
    """,
)
# In the order of time, whether an event was sent before or not; all of them before what happens from now on.
REPLAY_SINCE = Query(
    int,
    """
    with again as (
        insert into profiles.webhook_deliveries (endpoint_id, event_id, queued_at)
        select w.id, e.id,
               now() - row_number() over (order by e.occurred_at desc, e.id desc) * interval '1 microsecond'
        from profiles.webhook_endpoints w join profiles.session_events e
        on w.events = '{}' or e.event = any(w.events)
        where w.id = $1::uuid and e.occurred_at >= $2
        on conflict (endpoint_id, event_id)
        do update set attempts = 0, queued_at = excluded.queued_at, ended_at = null, dead = false
        returning 1
    ), due as (
        update profiles.webhook_endpoints set next_at = '-infinity' where id = $1::uuid
    )
    select count(*)::int from again
    """,
)
PURGE = Query(
    int,
    """
    with old as (
        select endpoint_id, event_id from profiles.webhook_deliveries
        where ended_at < now() - $1::float8 * interval '1 second' limit $2 for update skip locked
    ), gone as (
        delete from profiles.webhook_deliveries d using old
        where d.endpoint_id = old.endpoint_id and d.event_id = old.event_id returning 1
    )
    select count(*)::int from gone
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The sealed secrets of an endpoint that sign now."""

    id: str
    url: str
    personal: bool
    secret: bytes
    former_secret: bytes | None


_SECRETS = """
    w.url, w.personal, w.secret, case when w.former_until > now() then w.former_secret end as former_secret
"""
SECRETS = Query(
    Secrets, f"select w.id::text, {_SECRETS} from profiles.webhook_endpoints w where w.id = $1::uuid"
)
# Of many processes one gets an endpoint; the others go on to the next. A process that could not give it back
# takes it again.
CLAIM = Query(
    str,
    """
    update profiles.webhook_endpoints w
    set worker = $1, leased_until = now() + $2::float8 * interval '1 second'
    where w.id = (
        select c.id from profiles.webhook_endpoints c
        where c.enabled and c.next_at <= now()
          and (c.leased_until < now() or (c.worker = $1 and c.id <> all($3::text[]::uuid[])))
          and exists (
              select from profiles.webhook_deliveries d where d.endpoint_id = c.id and d.ended_at is null
          )
        order by c.leased_until, c.id limit 1 for update skip locked
    )
    returning w.id::text
    """,
)
RENEW = Query(
    str,
    """
    update profiles.webhook_endpoints set leased_until = now() + $3::float8 * interval '1 second'
    where id = $1::uuid and worker = $2 returning id::text
    """,
)
RELEASE = Statement(
    """
    update profiles.webhook_endpoints set leased_until = '-infinity' where id = $1::uuid and worker = $2
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(EventRow):
    """An event that waits for an endpoint, and what sends it."""

    url: str
    personal: bool
    secret: bytes
    former_secret: bytes | None


# The first that waits: an endpoint receives its events in their order.
NEXT = Query(
    Waiting,
    f"""
    select {EVENT_COLUMNS}, {_SECRETS}
    from profiles.webhook_deliveries d
    join profiles.session_events e on e.id = d.event_id
    join profiles.webhook_endpoints w on w.id = d.endpoint_id
    where d.endpoint_id = $1::uuid and d.ended_at is null and w.enabled and w.worker = $2
    order by d.queued_at, d.event_id limit 1
    """,
)
DELIVERED = Statement(
    """
    update profiles.webhook_deliveries
    set attempts = attempts + 1, tried_at = now(), outcome = $3, ended_at = now()
    where endpoint_id = $1::uuid and event_id = $2
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempts at a delivery, and whether it has waited too long for another."""

    attempts: int
    late: bool


FAILED = Query(
    Failed,
    """
    update profiles.webhook_deliveries set attempts = attempts + 1, tried_at = now(), outcome = $3
    where endpoint_id = $1::uuid and event_id = $2 and ended_at is null
    returning attempts, queued_at < now() - $4::float8 * interval '1 second' as late
    """,
)
DIE = Statement(
    """
    update profiles.webhook_deliveries set ended_at = now(), dead = true
    where endpoint_id = $1::uuid and event_id = $2 and ended_at is null
    """
)
PAUSE = Statement(
    """
    update profiles.webhook_endpoints set next_at = now() + $2::float8 * interval '1 second'
    where id = $1::uuid
    """
)
