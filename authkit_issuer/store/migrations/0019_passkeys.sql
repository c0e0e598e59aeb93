-- Passkeys: public keys whose private halves sign their owners in (Web Authentication Level 3).
-- readable by: 17

create table profiles.passkeys (
    id              uuid primary key,
    user_id         uuid not null references profiles.users (id) on delete cascade,
    credential_id   bytea not null unique,
    -- A COSE key.
    public_key      bytea not null,
    sign_count      bigint not null,
    aaguid          uuid not null,
    name            text not null,
    transports      text[] not null default '{}',
    backup_eligible boolean not null,
    backed_up       boolean not null,
    created_at      timestamptz not null default now(),
    last_used_at    timestamptz,
    last_used_ip    inet,
    -- After a counter that did not rise: there may be a copy of the private key.
    suspended_at    timestamptz,
    -- Attached before the first own proof of a contact, as the logins of user_providers.
    frozen_at       timestamptz,
    constraint passkeys_credential_id_length check (length(credential_id) between 16 and 1023),
    constraint passkeys_name_length check (char_length(name) between 1 and 60),
    constraint passkeys_sign_count check (sign_count between 0 and 4294967295),
    constraint passkeys_backup check (backup_eligible or not backed_up)
);
create index passkeys_user_idx on profiles.passkeys (user_id);

-- What an authenticator knows an account by: random, so that it says nothing of the account.
create table profiles.passkey_user_handles (
    user_id uuid primary key references profiles.users (id) on delete cascade,
    handle  bytea not null unique,
    constraint passkey_user_handles_length check (length(handle) = 64)
);
