-- The one row that processes write to learn whether the database takes writes.
-- readable by: 17

create table profiles.readiness (
    is_only    boolean primary key default true,
    written_at timestamptz not null default now(),
    constraint readiness_one_row check (is_only)
);
insert into profiles.readiness default values;
