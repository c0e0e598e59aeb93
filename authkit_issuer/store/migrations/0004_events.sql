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

-- One row per event and sink that has not taken it yet. Workers lock, deliver, delete; a cursor over the
-- identity column would skip rows of transactions that commit late.
create table profiles.event_outbox (
    sink        text not null,
    event_id    bigint not null references profiles.session_events (id) on delete cascade,
    attempts    integer not null default 0,
    next_try_at timestamptz not null default now(),
    primary key (sink, event_id)
);
