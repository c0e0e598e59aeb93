-- The devices that remember the second factor of their user, so that one of them can be forgotten.
-- readable by: 17

create table profiles.remembered_devices (
    -- Half the SHA-256 of the id in the device token, which is stored nowhere.
    id           uuid primary key,
    user_id      uuid not null references profiles.users (id) on delete cascade,
    auth_epoch   bigint not null,
    browser      text not null,
    network      text not null,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz not null default now()
);
create index remembered_devices_user_idx on profiles.remembered_devices (user_id);
create index remembered_devices_created_idx on profiles.remembered_devices (created_at);
