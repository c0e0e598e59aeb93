-- A passkey that signs in is a second factor, too.
-- readable by: 17
-- split: no released program reads the view, whose columns stay as they are

create or replace view profiles.user_factors as
select id, user_id, kind, name, phone_number, secret, secret_key_id, is_default, created_at, last_used_at
from profiles.second_factors
union all
select id, user_id, 'passkey', name, null, null, null, false, created_at, last_used_at
from profiles.passkeys where suspended_at is null and frozen_at is null;
