-- The audit trail, written in the transaction of the change it records. Rows outlive users: no foreign keys.

create table profiles.session_events (
    id          bigint generated always as identity primary key,
    occurred_at timestamptz not null default clock_timestamp(),
    issuer      text not null,
    user_id     text not null default '',
    session_id  text not null default '',
    event       text not null,
    method      text,
    reason      text,
    ip_addr     inet,
    user_agent  text,
    actor       text,
    target      text,
    data        jsonb not null default '{}'
);
create index session_events_user_idx on profiles.session_events (user_id, occurred_at desc, id desc);
create index session_events_session_idx on profiles.session_events (session_id, occurred_at desc, id desc)
    where session_id <> '';
create index session_events_time_idx on profiles.session_events (occurred_at desc, id desc);

-- One row per event and sink that has not taken it yet; a worker delivers, then deletes. A cursor over the
-- identity column would skip rows of transactions that commit late.
create table profiles.event_outbox (
    sink        text not null,
    event_id    bigint not null references profiles.session_events (id) on delete cascade,
    primary key (sink, event_id)
);

-- Which worker delivers to a sink right now: one at a time, so that the order of one user's events holds.
create table profiles.event_sinks (
    sink         text primary key,
    worker       text not null,
    leased_until timestamptz not null
);
