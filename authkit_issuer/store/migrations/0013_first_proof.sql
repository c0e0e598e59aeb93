-- The contacts that the owner proved here by a code or a link, or that an operator or a provider which owns the
-- domain vouched for when the account was made. A proof counts while it is of the account's present contact.
alter table profiles.users add column proved_email text, add column proved_phone text;
update profiles.users u set proved_email = u.email
where u.email_verified and (
    exists (select from profiles.user_passwords p where p.user_id = u.id)
    or not exists (select from profiles.user_providers l where l.user_id = u.id)
);
update profiles.users u set proved_phone = u.phone_number where u.phone_verified;

-- Attached before the first own proof of a contact: neither signs in nor is asked for until the owner confirms it.
alter table profiles.user_providers add column frozen_at timestamptz;
alter table profiles.two_factor_settings add column frozen_at timestamptz;
