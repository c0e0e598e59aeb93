-- An address that was in the account before the owner's first proof of the number. Being unverified does not tell it
-- apart: without verification_required an unverified address resets the password.

alter table profiles.users add column email_frozen_at timestamptz;
