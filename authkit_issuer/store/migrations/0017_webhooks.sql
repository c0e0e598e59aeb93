-- The URLs of the host that receive events. The secret is sealed under a refresh secret; while a new one takes its
-- place, the former one signs as well.

create table profiles.webhook_endpoints (
    id            uuid primary key,
    url           text not null,
    -- The types of events; none is all of them.
    events        text[] not null default '{}',
    -- IP addresses, user agents, details and operators' reasons are sent, too.
    personal      boolean not null default false,
    enabled       boolean not null default true,
    secret        bytea not null,
    former_secret bytea,
    former_until  timestamptz,
    -- One process at a time delivers to an endpoint, and no earlier than this after a failure.
    worker        text not null default '',
    leased_until  timestamptz not null default '-infinity',
    next_at       timestamptz not null default '-infinity',
    created_at    timestamptz not null default now(),
    constraint webhook_endpoints_url_length check (length(url) <= 2000),
    constraint webhook_endpoints_former check ((former_secret is null) = (former_until is null))
);

-- One row per event and endpoint, written with the event.
create table profiles.webhook_deliveries (
    endpoint_id  uuid not null references profiles.webhook_endpoints (id) on delete cascade,
    event_id     bigint not null references profiles.session_events (id) on delete cascade,
    queued_at    timestamptz not null default now(),
    attempts     integer not null default 0,
    tried_at     timestamptz,
    -- The last answer: a status, or the reason why there was none.
    outcome      text,
    -- Delivered, or given up (dead).
    ended_at     timestamptz,
    dead         boolean not null default false,
    primary key (endpoint_id, event_id),
    constraint webhook_deliveries_dead check (ended_at is not null or not dead)
);
create index webhook_deliveries_event_idx on profiles.webhook_deliveries (event_id);
create index webhook_deliveries_waiting_idx on profiles.webhook_deliveries (endpoint_id, event_id)
    where ended_at is null;
create index webhook_deliveries_ended_idx on profiles.webhook_deliveries (ended_at) where ended_at is not null;
