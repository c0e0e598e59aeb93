-- A replaced refresh token is forgiven while its successor is unused, and for the grace after the successor's
-- use; three generations in a row at most.
alter table profiles.refresh_sessions
    -- When the generation before the current one was made.
    add column rotated_before      timestamptz not null default '-infinity',
    -- The generation that was current when a replaced token was last forgiven, and how many in a row were.
    add column forgiven_generation bigint not null default 0,
    add column forgiven_in_row     smallint not null default 0,
    -- The generation that was current when such a token last came from elsewhere.
    add column shared_generation   bigint not null default 0;
comment on column profiles.refresh_sessions.grace_from is 'Unused; kept for processes of the version before.';
comment on column profiles.refresh_sessions.grace_since is 'Unused; kept for processes of the version before.';
