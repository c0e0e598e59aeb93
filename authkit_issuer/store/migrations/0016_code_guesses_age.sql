-- Counts of addresses are deleted once they are old. Those of second factors end with their account.
create index code_guesses_age_idx on profiles.code_guesses (last_at) where purpose <> 'second_factor';
