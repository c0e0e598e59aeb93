-- When a name was given up: the holder keeps five, and the oldest is freed after a rest.
alter table profiles.names add column retired_at timestamptz;
-- The role that an invite gives beside membership.
alter table profiles.org_invites add column role text;
-- Deleted organizations, which the purge looks for.
create index orgs_deleted_idx on profiles.orgs (deleted_at, id) where deleted_at is not null;
