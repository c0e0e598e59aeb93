"""What depends on PostgreSQL itself has one place, and an operator learns on what else the database runs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from authkit_issuer.cli.examination import _about_engine, _database
from authkit_issuer.config import Config
from authkit_issuer.domains.admin import queries
from authkit_issuer.store import dialect
from authkit_issuer.store.inspection import inspect
from authkit_issuer.store.migration_files import shipped
from fakes.repository import sources
from fakes.servers import on

OWN_WORDS = re.compile(
    r"pg_try_advisory|pg_advisory|hashtext|reltuples|~>=~|~<~|pg_current_xact_id|pg_xact_status|pg_notify"
    r"|\bctid\b|\bxmin\b|[( ]network\(|set_masklen\(|deferrable|create trigger|create extension"
)


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


def test_what_other_servers_lack_is_said_in_the_dialect_alone() -> None:
    found = {path.name: OWN_WORDS.findall(path.read_text()) for path in sources("authkit_issuer")}
    assert {name for name, words in found.items() if words} == {Path(dialect.__file__).name}, found
    migrations = {
        migration.name: OWN_WORDS.findall(_without_comments(migration.sql)) for migration in shipped()
    }
    # The trigger keeps the factors of programs of before.
    assert {name: words for name, words in migrations.items() if words} == {
        "second_factors": ["create trigger"]
    }
    classes = [migration.sql.count("text_pattern_ops") for migration in shipped()]
    assert classes[0] == 3
    assert not any(classes[1:])


def test_no_order_of_delivery_rests_on_a_sequence_alone() -> None:
    orders = re.findall(r"order by ([\w., ]*event_id)", "\n".join(_sql()))
    assert len(orders) == 3
    assert [order for order in orders if "queued_at" not in order] == []


def _sql() -> Iterator[str]:
    for path in sources("authkit_issuer"):
        yield path.read_text()


async def test_a_search_by_prefix_reads_the_indexes_that_the_operators_fit(database_url: str) -> None:
    kind, terms = queries.search_terms("ad", "prefix")
    condition = queries._SEARCH[kind].format(1, 2)

    async def plan(connection: Any) -> str:
        await connection.execute("set enable_seqscan = off")
        rows = await connection.fetch(f"explain select u.id from profiles.users u where {condition}", *terms)
        return "\n".join(row[0] for row in rows)

    found = await on(database_url, plan)
    assert "users_email_prefix_idx" in found
    assert "users_username_prefix_idx" in found


@pytest.fixture
async def answering(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[str]:
    """The test database, which answers as another server does to ``select version()``."""
    name = urlsplit(database_url).path.lstrip("/")
    made = (
        "create schema pretended; create function pretended.version() returns text language sql"
        f" as $$ select '{request.param}' $$;"
        f" alter database {name} set search_path = pretended, pg_catalog"
    )
    await on(database_url, lambda connection: connection.execute(made))
    yield database_url
    undone = f"alter database {name} reset search_path; drop schema pretended cascade"
    await on(database_url, lambda connection: connection.execute(undone))


@pytest.mark.parametrize(
    ("answering", "level", "said"),
    [
        ("CockroachDB CCL v25.4.0 (x86_64-pc-linux-gnu)", "error", "CockroachDB, which refuses a migration"),
        ("PostgreSQL 15.12-YB-2.25.2.0-b0 on x86_64", "warning", "YugabyteDB: this program is tested"),
    ],
    indirect=["answering"],
)
async def test_an_operator_learns_that_the_server_is_another(
    config: Config, answering: str, level: str, said: str
) -> None:
    found = [finding async for finding in _database(replace(config, database_url=answering))]
    (about,) = [finding for finding in found if finding.code == "database_engine"]
    assert about.level == level
    assert said in about.sentence
    assert any(finding.code == "database" for finding in found) is (level == "warning")


async def test_an_old_release_and_citus_are_findings_and_a_plain_server_is_none(database_url: str) -> None:
    facts = await inspect(database_url, schema="profiles")
    assert facts.release >= dialect.OLDEST
    assert list(_about_engine(facts)) == []
    (old,) = _about_engine(replace(facts, release=14, version="14.9"))
    assert (old.level, old.sentence) == ("error", "PostgreSQL 14.9 is too old.")
    (spread,) = _about_engine(replace(facts, citus=True))
    assert (spread.level, spread.code) == ("warning", "database_citus")
