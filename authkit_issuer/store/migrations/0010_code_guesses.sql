-- Wrong guesses in a row at codes that can be guessed, over all codes of one subject. The subject is a keyed
-- digest: an address without an account is counted as well.

create table profiles.code_guesses (
    purpose text not null,
    subject text not null,
    tries   integer not null,
    last_at timestamptz not null default now(),
    primary key (purpose, subject)
);
