-- One row per refresh session, for its whole life. The row holds no token, and only the hash of a nonce
-- that is worthless without the MAC key.

create table profiles.refresh_sessions (
    id            uuid primary key,
    family_id     uuid not null,
    user_id       uuid not null references profiles.users (id) on delete cascade,
    issuer        text not null,
    token_key     bytea not null,
    generation    bigint not null default 0,
    rotated_at    timestamptz not null default now(),
    -- Forgiveness window: every generation from grace_from on is forgiven until grace_since + grace.
    grace_from    bigint not null default 0,
    grace_since   timestamptz not null default '-infinity',
    created_at    timestamptz not null default now(),
    last_used_at  timestamptz not null default now(),
    expires_at    timestamptz,
    revoked_at    timestamptz,
    revoke_reason text,
    auth_method   text,
    auth_time     timestamptz not null default now(),
    amr           text[] not null default '{}',
    user_agent    text,
    ip_addr       inet,
    constraint refresh_sessions_token_key_size check (octet_length(token_key) = 32),
    constraint refresh_sessions_generation_range check (generation between 0 and 4294967295),
    constraint refresh_sessions_reason check (revoked_at is not null or revoke_reason is null),
    constraint refresh_sessions_user_agent_length check (length(user_agent) <= 512)
);
create index refresh_sessions_live_idx on profiles.refresh_sessions (user_id, issuer, last_used_at)
    where revoked_at is null;
create index refresh_sessions_family_idx on profiles.refresh_sessions (family_id) where revoked_at is null;
create index refresh_sessions_revoked_idx on profiles.refresh_sessions (revoked_at) where revoked_at is not null;
create index refresh_sessions_expires_idx on profiles.refresh_sessions (expires_at) where expires_at is not null;
