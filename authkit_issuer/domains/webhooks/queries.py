"""The SQL of webhooks. Rows of deliveries are written with their event: ``store/event_reading.py``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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


SECRET_COLUMNS = """
    w.url, w.personal, w.secret, case when w.former_until > now() then w.former_secret end as former_secret
"""
SECRETS = Query(
    Secrets, f"select w.id::text, {SECRET_COLUMNS} from profiles.webhook_endpoints w where w.id = $1::uuid"
)
