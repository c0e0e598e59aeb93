-- Recoveries that wait: a user who lost every second factor asked to sign in without them.
-- readable by: 17

create table profiles.recovery_requests (
    user_id        uuid primary key references profiles.users (id) on delete cascade,
    -- Of the account at the start: any change of the account ends the request.
    auth_epoch     integer not null,
    -- SHA-256 of the address and number at the start: a new contact ends the request, too.
    contacts       text not null,
    -- The first factor of the sign-in that asked.
    method         text not null,
    started_at     timestamptz not null default now(),
    completes_at   timestamptz not null,
    expires_at     timestamptz not null,
    next_notice_at timestamptz not null,
    -- SHA-256 of the tokens in the notices, each of which cancels.
    cancel_digests text[] not null default '{}',
    cancelled_at   timestamptz,
    constraint recovery_requests_order check (started_at <= completes_at and completes_at < expires_at)
);
create index recovery_requests_notice_idx on profiles.recovery_requests (next_notice_at) where cancelled_at is null;
create index recovery_requests_cancel_idx on profiles.recovery_requests using gin (cancel_digests);
