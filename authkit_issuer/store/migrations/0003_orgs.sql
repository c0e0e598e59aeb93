-- Organisations, their members, and the one namespace that users and organisations share.

create table profiles.orgs (
    id            uuid primary key default gen_random_uuid(),
    slug          text not null,
    is_personal   boolean not null default false,
    owner_user_id uuid references profiles.users (id) on delete cascade,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    deleted_at    timestamptz,
    constraint orgs_slug_key unique (slug),
    constraint orgs_slug_form check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    constraint orgs_personal_has_owner check (is_personal = (owner_user_id is not null))
);
create unique index orgs_personal_owner_uidx on profiles.orgs (owner_user_id)
    where is_personal and deleted_at is null;
create index orgs_owner_idx on profiles.orgs (owner_user_id) where owner_user_id is not null;

-- Every name anybody holds or ever held. A user has a row for lower(username) and, where organisations are
-- in use, a second one when the owner slug differs (alice_1 and alice-1). Former names stay with their first
-- holder (is_current = false) until that holder is deleted for good. The primary key is the only judge of
-- who gets a name. A personal organisation is reached through its user's rows and has none of its own.
create table profiles.names (
    slug       text primary key,
    user_id    uuid references profiles.users (id) on delete cascade,
    org_id     uuid references profiles.orgs (id) on delete cascade,
    is_current boolean not null default true,
    created_at timestamptz not null default now(),
    constraint names_one_holder check ((user_id is null) <> (org_id is null)),
    constraint names_form check (slug ~ '^[a-z0-9][a-z0-9_-]{0,63}$')
);
create index names_user_idx on profiles.names (user_id) where user_id is not null;
create index names_org_idx on profiles.names (org_id) where org_id is not null;
create unique index names_current_org_uidx on profiles.names (org_id) where org_id is not null and is_current;

create table profiles.org_members (
    org_id     uuid not null references profiles.orgs (id) on delete cascade,
    user_id    uuid not null references profiles.users (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (org_id, user_id)
);
create index org_members_user_idx on profiles.org_members (user_id);

create table profiles.org_roles (
    org_id     uuid not null references profiles.orgs (id) on delete cascade,
    role       text not null,
    created_at timestamptz not null default now(),
    primary key (org_id, role),
    constraint org_roles_form check (role ~ '^[A-Za-z0-9_:-]{1,64}$')
);
create unique index org_roles_caseless_uidx on profiles.org_roles (org_id, lower(role));

create table profiles.org_member_roles (
    org_id     uuid not null,
    user_id    uuid not null,
    role       text not null,
    created_at timestamptz not null default now(),
    primary key (org_id, user_id, role),
    foreign key (org_id, user_id) references profiles.org_members (org_id, user_id) on delete cascade,
    foreign key (org_id, role) references profiles.org_roles (org_id, role) on delete cascade
);
create index org_member_roles_role_idx on profiles.org_member_roles (org_id, role);

create table profiles.org_invites (
    id         uuid primary key default gen_random_uuid(),
    org_id     uuid not null references profiles.orgs (id) on delete cascade,
    -- The invitee is an account, or an address that has no account yet.
    user_id    uuid references profiles.users (id) on delete cascade,
    email      text,
    invited_by uuid references profiles.users (id) on delete set null,
    status     text not null default 'pending',
    expires_at timestamptz,
    acted_at   timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint org_invites_status check (status in ('pending', 'accepted', 'declined', 'revoked', 'expired')),
    constraint org_invites_invitee check (user_id is not null or email is not null),
    constraint org_invites_email_form check (email = lower(email) and length(email) between 3 and 254)
);
create unique index org_invites_pending_uidx on profiles.org_invites (org_id, user_id)
    where status = 'pending' and user_id is not null;
create unique index org_invites_pending_email_uidx on profiles.org_invites (org_id, email)
    where status = 'pending' and user_id is null;
create index org_invites_org_idx on profiles.org_invites (org_id, created_at desc);
create index org_invites_user_idx on profiles.org_invites (user_id, created_at desc);
create index org_invites_email_idx on profiles.org_invites (email) where user_id is null;
create index org_invites_invited_by_idx on profiles.org_invites (invited_by) where invited_by is not null;
