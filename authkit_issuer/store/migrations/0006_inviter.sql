-- An invite made by an owner counts only while its inviter still is one.
alter table profiles.org_invites add column by_owner boolean not null default false;
