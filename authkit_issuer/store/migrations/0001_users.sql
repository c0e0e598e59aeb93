-- People and how they prove who they are.
-- Identifiers are compared without regard to case through lower(x) indexes; no extension is needed.

create table profiles.users (
    id               uuid primary key default gen_random_uuid(),
    email            text,
    username         text,
    discord_username text,
    phone_number     text,
    email_verified   boolean not null default false,
    phone_verified   boolean not null default false,
    banned_at        timestamptz,
    banned_until     timestamptz,
    ban_reason       text,
    banned_by        uuid references profiles.users (id) on delete set null,
    deleted_at       timestamptz,
    biography        text,
    -- Raised by one by every statement after which earlier proofs must not open a session:
    -- password change, ban, deletion, restore, revoke-all.
    auth_epoch       integer not null default 0,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    last_login       timestamptz,
    constraint users_email_form check (
        email = lower(email) and length(email) between 3 and 254
        and email ~ '^[^@[:space:]]+@[^@[:space:]]+$'
    ),
    constraint users_username_form check (username ~ '^[A-Za-z][A-Za-z0-9_]{0,63}$'),
    constraint users_phone_form check (phone_number ~ '^\+[1-9][0-9]{1,14}$'),
    constraint users_biography_length check (length(biography) <= 2000),
    constraint users_verified_email_exists check (email is not null or not email_verified),
    constraint users_verified_phone_exists check (phone_number is not null or not phone_verified),
    constraint users_ban_details check (
        banned_at is not null or (banned_until is null and ban_reason is null and banned_by is null)
    )
);
create unique index users_email_uidx on profiles.users (lower(email));
create unique index users_username_uidx on profiles.users (lower(username));
create unique index users_phone_uidx on profiles.users (phone_number);
create index users_newest_idx on profiles.users (created_at desc, id) where deleted_at is null;
create index users_deleted_idx on profiles.users (deleted_at, id) where deleted_at is not null;
create index users_banned_by_idx on profiles.users (banned_by) where banned_by is not null;
-- Prefix search in the admin directory; the unique indexes above cannot serve LIKE under every collation.
create index users_email_prefix_idx on profiles.users (lower(email) text_pattern_ops);
create index users_username_prefix_idx on profiles.users (lower(username) text_pattern_ops);
create index users_phone_prefix_idx on profiles.users (phone_number text_pattern_ops);
create index users_last_login_idx on profiles.users (last_login desc nulls last, id);

create table profiles.user_passwords (
    user_id             uuid primary key references profiles.users (id) on delete cascade,
    password_hash       text not null,
    hash_algo           text not null default 'argon2id',
    hash_params         jsonb,
    -- Set by an operator's reset: the password still verifies, and opens nothing until replaced.
    must_change         boolean not null default false,
    password_updated_at timestamptz not null default now(),
    constraint user_passwords_algo check (hash_algo in ('argon2id', 'bcrypt', 'legacy-reset-required', ''))
);

create table profiles.user_providers (
    id                uuid primary key default gen_random_uuid(),
    user_id           uuid not null references profiles.users (id) on delete cascade,
    issuer            text not null,
    provider_slug     text,
    subject           text not null,
    email_at_provider text,
    profile           jsonb not null default '{}',
    created_at        timestamptz not null default now(),
    constraint user_providers_issuer_subject_key unique (issuer, subject),
    constraint user_providers_user_issuer_key unique (user_id, issuer)
);
create index user_providers_user_slug_idx on profiles.user_providers (user_id, provider_slug);
create index user_providers_slug_subject_idx on profiles.user_providers (provider_slug, subject);

create table profiles.two_factor_settings (
    user_id      uuid primary key references profiles.users (id) on delete cascade,
    enabled      boolean not null default false,
    method       text not null default 'email',
    phone_number text,
    backup_codes text[] not null default '{}',
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    constraint two_factor_method check (method in ('email', 'sms')),
    constraint two_factor_phone_form check (phone_number ~ '^\+[1-9][0-9]{1,14}$'),
    constraint two_factor_sms_needs_phone check (method <> 'sms' or not enabled or phone_number is not null)
);

create table profiles.roles (
    id          uuid primary key,
    slug        text not null,
    name        text not null,
    description text,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    deleted_at  timestamptz,
    constraint roles_slug_key unique (slug),
    constraint roles_slug_form check (slug = lower(slug) and slug <> 'owner' and length(slug) between 1 and 64)
);
-- UUIDv5 of 'role:admin': the id every deployment computes for this slug, so that a first admin can be named.
insert into profiles.roles (id, slug, name, description)
values ('38eefc83-abe7-5cb9-bc5f-6ad2d9ccc1a9', 'admin', 'Administrator', 'May administer every account.');

create table profiles.user_roles (
    user_id    uuid not null references profiles.users (id) on delete cascade,
    role_id    uuid not null references profiles.roles (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (user_id, role_id)
);
create index user_roles_role_idx on profiles.user_roles (role_id);
