"""A migration only adds, or says how its change is split over two releases: old programs run on beside it."""

from __future__ import annotations

import re

import pytest

from authkit_issuer.store.migration_files import Migration, shipped

RELEASED = 17
"""The last version that programs without marks knew."""
SPLIT = re.compile(r"^-- split: \S.{20,}$", re.MULTILINE)
ADDS = (
    r"create table profiles\.\w+ \(",
    r"create view profiles\.\w+ as",
    r"comment on ",
    r"alter table profiles\.\w+(\s+add column \w+ [^,]+,?)+$",
    r"alter table profiles\.\w+\s+add constraint \w+ .* not valid$",
    r"alter table profiles\.\w+\s+validate constraint \w+$",
)
"""What changes nothing that a program of the version before reads or writes."""
OUTSIDE = (
    r"drop index concurrently if exists profiles\.\w+$",
    r"create (unique )?index concurrently \w+ on profiles\.\w+ .*",
)
"""The statements of a file outside of a transaction: each can be repeated."""


def faults(migration: Migration) -> list[str]:
    """Return what a migration lacks, and what to write."""
    if statements(migration.sql) == ["select 1"]:
        return []  # a number that is kept for a change under way
    found = []
    readable = migration.readable_by
    if readable is None or readable > migration.version:
        found.append(
            f"write `-- readable by: {migration.version - 1}`, the oldest schema whose programs go on "
            f"working, or `-- readable by: {migration.version}` if none does"
        )
    if not migration.in_transaction:
        return found + [
            f"outside of a transaction only concurrent indexes, dropped first: {statement}"
            for statement in migration.statements
            if not any(re.match(form, statement, re.DOTALL) for form in OUTSIDE)
        ]
    surprising = [statement for statement in statements(migration.sql) if not adds(statement, migration.sql)]
    if surprising and not SPLIT.search(migration.sql):
        found += [
            f"this changes what is there; write `-- split: ` and how old programs go on: {statement}"
            for statement in surprising
        ]
    return found


def statements(sql: str) -> list[str]:
    """Split a file; the bodies of functions are left out."""
    plain = re.sub(r"--[^\n]*", "", re.sub(r"\$\$.*?\$\$", "$$", sql, flags=re.DOTALL))
    return [re.sub(r"\s+", " ", part).strip() for part in plain.split(";") if part.strip()]


def adds(statement: str, sql: str) -> bool:
    """True for an addition: also a row of a new table, and an index on one, which has no rows yet."""
    if re.search(r"\bnot null\b(?!.*\bdefault\b)", statement) and statement.startswith("alter table"):
        return False
    on_new = re.match(r"(?:create (?:unique )?index \w+ on|insert into) (profiles\.\w+)", statement)
    if on_new is not None:
        return f"create table {on_new[1]} (" in sql
    return any(re.match(form, statement) for form in ADDS)


def test_every_new_migration_only_adds_or_is_split_over_two_releases() -> None:
    found = {migration.name: faults(migration) for migration in shipped()[RELEASED:]}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("marks", "sql", "count"),
    [
        ("", "create table profiles.one (a int); create index one_idx on profiles.one (a);", 0),
        ("", "alter table profiles.users add column a text, add column b int default 1;", 0),
        ("", "alter table profiles.users add column a text not null;", 1),
        ("", "alter table profiles.users drop column email;", 1),
        ("", "create index late_idx on profiles.users (email);", 1),
        (
            "-- split: the next release no longer writes it",
            "alter table profiles.users drop column email;",
            0,
        ),
        ("-- outside a transaction", "create index concurrently a on profiles.users (b);", 0),
        ("-- outside a transaction", "update profiles.users set a = 1;", 1),
    ],
)
def test_the_law_sees_what_takes_something_away(marks: str, sql: str, count: int) -> None:
    marked = f"-- readable by: 17\n{marks}\n{sql}"
    assert len(faults(Migration(version=18, name="some", sql=marked))) == count
    assert len(faults(Migration(version=18, name="some", sql=f"{marks}\n{sql}"))) == count + 1
