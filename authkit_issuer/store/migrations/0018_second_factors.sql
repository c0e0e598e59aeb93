-- Several second factors per user. two_factor_settings keeps what belongs to the user: whether sign-ins require a
-- second factor, and the backup codes.
-- readable by: 17
-- split: a trigger mirrors what the release before writes; the next one drops method and phone_number

create table profiles.second_factors (
    id            uuid primary key default gen_random_uuid(),
    user_id       uuid not null references profiles.users (id) on delete cascade,
    kind          text not null,
    name          text not null default '',
    phone_number  text,
    -- The secret of an authenticator app, sealed under a key that is not in the database.
    secret        bytea,
    secret_key_id integer,
    -- The 30-second step (RFC 6238) of the last code that was accepted; it only rises.
    last_step     bigint not null default -1,
    -- Wrong codes of the app in a row.
    tries         integer not null default 0,
    is_default    boolean not null default false,
    created_at    timestamptz not null default now(),
    last_used_at  timestamptz,
    constraint second_factors_kind check (kind in ('totp', 'email', 'sms')),
    constraint second_factors_name_length check (length(name) <= 60),
    constraint second_factors_phone check ((kind = 'sms') = (phone_number is not null)),
    constraint second_factors_phone_form check (phone_number ~ '^\+[1-9][0-9]{1,14}$'),
    constraint second_factors_secret check (
        (kind = 'totp') = (secret is not null) and (secret is null) = (secret_key_id is null)
    )
);
create index second_factors_user_idx on profiles.second_factors (user_id);
create unique index second_factors_default_uidx on profiles.second_factors (user_id) where is_default;
create unique index second_factors_email_uidx on profiles.second_factors (user_id) where kind = 'email';
create unique index second_factors_phone_uidx on profiles.second_factors (user_id, phone_number) where kind = 'sms';
create index second_factors_key_idx on profiles.second_factors (secret_key_id, id) where secret is not null;

-- Everything that counts as a second factor. A table of another kind of factor joins here.
create view profiles.user_factors as
select id, user_id, kind, name, phone_number, secret, secret_key_id, is_default, created_at, last_used_at
from profiles.second_factors;

insert into profiles.second_factors (user_id, kind, phone_number, is_default, created_at)
select user_id, method, case when method = 'sms' then phone_number end, true, created_at
from profiles.two_factor_settings where enabled;

-- A process of the release before reads and writes method and phone_number, which the next release drops. It reads
-- 'sms' without a number where it knows none of the factors: then it accepts backup codes alone.
alter table profiles.two_factor_settings drop constraint two_factor_sms_needs_phone;

-- What such a process writes becomes factors. This release writes the factors first, and nothing is left to do.
create function profiles.mirror_two_factor() returns trigger language plpgsql as $$
begin
    if not new.enabled then
        delete from profiles.second_factors where user_id = new.user_id;
        return null;
    end if;
    if tg_op = 'UPDATE' then
        -- Enabled anew by the owner: what was frozen does not come back with it.
        if old.frozen_at is not null and new.frozen_at is null then
            delete from profiles.second_factors where user_id = new.user_id;
        end if;
    end if;
    if (new.method = 'sms' and new.phone_number is null) or exists (
        select from profiles.second_factors f
        where f.user_id = new.user_id and f.kind = new.method
          and (f.kind = 'email' or f.phone_number = new.phone_number)
    ) then
        return null;
    end if;
    delete from profiles.second_factors where user_id = new.user_id and kind <> 'totp';
    update profiles.second_factors set is_default = false where user_id = new.user_id;
    insert into profiles.second_factors (user_id, kind, phone_number, is_default)
    values (new.user_id, new.method, case when new.method = 'sms' then new.phone_number end, true);
    return null;
end
$$;
create trigger two_factor_mirror after insert or update of enabled, method, phone_number
on profiles.two_factor_settings for each row execute function profiles.mirror_two_factor();

-- The organization issues tokens to members with a second factor only.
alter table profiles.orgs add column two_factor_required boolean not null default false;
