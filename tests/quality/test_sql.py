"""Every query fits the schema and its row type, and none changes the state of its connection."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
import types
import typing
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from authkit_issuer.domains.accounts import contact_proof
from authkit_issuer.domains.accounts.queries import SET_EMAIL_VERIFIED
from authkit_issuer.store.migration_files import shipped
from authkit_issuer.store.query import Query
from fakes import servers
from fakes.repository import name, sources

PYTHON = {
    "bool": {bool}, "bytea": {bytes}, "date": set(), "float8": {float}, "inet": set(),
    "int2": {int}, "int4": {int}, "int8": {int}, "interval": {timedelta}, "jsonb": {str},
    "text": {str}, "timestamptz": {datetime}, "uuid": {uuid.UUID}, "varchar": {str},
}  # fmt: skip
"""What asyncpg hands out for each type; an empty set is a type no row may have (cast it in SQL)."""

SESSION_STATE = re.compile(
    r"(?:^|;)\s*(?:set|reset|listen|unlisten|notify|discard|prepare|deallocate|declare|load)\b"
    r"|\bpg_(?:try_)?advisory|\bset_config\s*\(|\bcreate\s+temp|\bsearch_path\b",
    re.IGNORECASE,
)


def queries() -> list[Query[Any]]:
    """Return every query that a module of the issuer, or a table in one, holds."""
    package = importlib.import_module("authkit_issuer")
    found: dict[str, Query[Any]] = {}
    for entry in pkgutil.walk_packages(package.__path__, "authkit_issuer."):
        if entry.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(entry.name)).values():
            found.update({query.sql: query for query in _within(value)})
    return list(found.values())


def _within(value: object) -> Iterator[Query[Any]]:
    if isinstance(value, Query):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _within(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _within(part)


def hidden_queries(source: str) -> list[int]:
    """Return the lines of queries that are built while the program runs, where no test can see them.

    A function may build one when the module itself calls it, to fill its constants.
    """
    if "Query" not in source and "Statement" not in source:
        return []
    tree = ast.parse(source)
    top = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    called = {ast.unparse(call.func) for statement in top for call in _calls(statement)}
    return [
        call.lineno
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name not in called
        for call in _calls(function)
        if ast.unparse(call.func) in {"Query", "Statement", "query.Query", "query.Statement"}
    ]


def _calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def expected_types(row: type) -> list[tuple[str, Any]]:
    """Return the columns a row type wants; a scalar wants one of any name."""
    if dataclasses.is_dataclass(row):
        hints = typing.get_type_hints(row)
        return [(field.name, hints[field.name]) for field in dataclasses.fields(row)]
    return [] if row is type(None) else [("", row)]


def bare(hint: Any) -> Any:
    """Return the annotation without None and without what a literal or an enum narrows."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (hint,) = [part for part in typing.get_args(hint) if part is not type(None)]
    if typing.get_origin(hint) is typing.Literal:
        return type(typing.get_args(hint)[0])
    return hint


def fits(postgres: str, hint: Any) -> bool:
    """True if a column of this type can stand in a field with this annotation."""
    wanted = bare(hint)
    if postgres.endswith("[]"):
        return typing.get_origin(wanted) is list and fits(postgres[:-2], typing.get_args(wanted)[0])
    return any(isinstance(wanted, type) and issubclass(wanted, kind) for kind in PYTHON[postgres])


def mismatches(query: Query[Any], columns: tuple[asyncpg.Attribute, ...]) -> Iterator[str]:
    wanted = expected_types(query.row)
    if len(wanted) != len(columns):
        yield f"{len(columns)} columns for {len(wanted)} fields"
        return
    for (field, hint), column in zip(wanted, columns, strict=True):
        if field not in {"", column.name}:
            yield f"column {column.name} for field {field}"
        if not fits(column.type.name, hint):
            yield f"{column.name} is {column.type.name}, its field {hint}"


async def test_every_query_prepares_and_returns_what_its_row_holds(database_url: str) -> None:
    found = queries()
    assert len(found) > 20

    async def check(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
        wrong = []
        for query in found:
            try:
                columns = (await connection.prepare(query.text("profiles"))).get_attributes()
            except asyncpg.PostgresError as error:
                wrong.append(f"{error}\n{query.sql}")
            else:
                wrong.extend(f"{fault}\n{query.sql}" for fault in mismatches(query, columns))
        return wrong

    assert await servers.on(database_url, check) == []


@dataclasses.dataclass
class Person:
    id: str
    created_at: datetime | None


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ("id::text, created_at", None),
        ("id::text", "1 columns for 2 fields"),
        ("id::text as number, created_at", "column number for field id"),
        ("id, created_at", "id is uuid"),
        ("id::text, email as created_at", "created_at is text"),
    ],
)
async def test_a_row_that_does_not_fit_its_type_is_noticed(
    database_url: str, columns: str, fault: str | None
) -> None:
    query = Query(Person, f"select {columns} from profiles.users")

    async def check(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
        return list(mismatches(query, (await connection.prepare(query.sql)).get_attributes()))

    found = await servers.on(database_url, check)
    assert found == [] if fault is None else found[0].startswith(fault)


def test_every_query_can_be_seen_by_these_tests() -> None:
    found = [
        f"{name(path)}:{line}"
        for path in sources("authkit_issuer")
        if name(path) != "authkit_issuer/store/migrate.py"  # its own table, and the text of the migrations
        for line in hidden_queries(path.read_text())
    ]
    assert found == []
    assert hidden_queries("def f():\n    return Query(int, 'select 1')") == [2]


def test_no_query_changes_the_state_of_its_connection() -> None:
    found = [query.sql for query in queries() if SESSION_STATE.search(query.sql)]
    assert found == []


def test_no_migration_changes_the_state_of_its_connection() -> None:
    found = [
        migration.name for migration in shipped() if SESSION_STATE.search(_without_comments(migration.sql))
    ]
    assert found == []


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


@pytest.mark.parametrize(
    "breach",
    [
        "set search_path = x",
        "select 1; listen x",
        "select pg_advisory_lock(1)",
        "select set_config('a', 'b', false)",
    ],
)
def test_session_state_is_noticed(breach: str) -> None:
    assert SESSION_STATE.search(breach)


def test_an_update_is_not_taken_for_session_state() -> None:
    assert not SESSION_STATE.search("update profiles.users\n   set email = $1")


CONTACT_COLUMN = re.compile(r"\b(?:proved_)?(?:email|phone(?:_number)?)(?:_verified)?\s*=")
SETTING = re.compile(r"update \S*users\b(?: \w)?\s+set\b(.*?)(?:\bwhere\b|\bfrom\b|$)", re.DOTALL)


def test_one_writer_sets_the_contacts_of_users() -> None:
    """Another one would forget what goes with it: the epoch, the proof, what was attached before."""
    writers = {
        query.sql
        for query in queries()
        if any(CONTACT_COLUMN.search(written) for written in SETTING.findall(query.sql))
    }
    marks = contact_proof.VOUCH, contact_proof.MARK_PROVED, contact_proof.NOTE_PROVED, contact_proof.FREEZE
    proofs = [query for by_kind in (contact_proof.REPLACE_CONTACT, *marks) for query in by_kind.values()]
    assert writers == {query.sql for query in (*proofs, SET_EMAIL_VERIFIED)}
