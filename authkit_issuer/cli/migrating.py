"""`authkit migrate`: bring the schema up to date, or say what that would mean."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from authkit_issuer.cli import output
from authkit_issuer.cli.refusals import UsageError
from authkit_issuer.config import Config, process_environment
from authkit_issuer.config.settings import missing
from authkit_issuer.errors import ConfigError
from authkit_issuer.store.migrate import LOCK_TIMEOUT, PATIENCE, status
from authkit_issuer.store.migrate import migrate as run_migrations
from authkit_issuer.store.migration_files import Migration

NOTHING = "nothing to do"


def migrate(
    *,
    show_status: Annotated[
        bool, typer.Option("--status", help="Print the version and what is pending, and apply nothing.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="As --status, with exit status 1 if anything is pending.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the SQL of what is pending, and apply nothing.")
    ] = False,
    lock_timeout: Annotated[
        float, typer.Option(help="Seconds that one try waits for a lock, with traffic behind it.")
    ] = LOCK_TIMEOUT,
    patience: Annotated[
        float, typer.Option(help="Seconds until it gives up because others hold a lock.")
    ] = PATIENCE,
    as_json: output.AsJson = False,
) -> None:
    """Apply the pending migrations to the database of AUTHKIT_DATABASE_URL."""
    # A migration needs neither issuer nor audience; serve checks them.
    settings = Config.from_env(process_environment(), issuer="-", issued_audiences=("-",))
    address, schema = settings.database_url, settings.database_schema
    if address is None:
        raise ConfigError(missing("database_url"))
    if sum((show_status, check, plan)) > 1:
        raise UsageError("--status, --check and --plan exclude each other: give one of them.")
    if not lock_timeout > 0:
        raise UsageError("--lock-timeout must be greater than zero.")
    if not (show_status or check or plan):
        work = run_migrations(
            address, schema=schema, lock_timeout=lock_timeout, patience=patience, waiting=output.warn
        )
        _print("applied", asyncio.run(work), as_json=as_json)
        return
    found = asyncio.run(status(address, schema=schema))
    if plan:
        _print_plan(found.pending, as_json=as_json)
    else:
        _print("pending", found.pending, as_json=as_json, version=found.version)
    if check and found.pending:
        raise typer.Exit(1)


def _print(what: str, found: Sequence[Migration], *, as_json: bool, **more: Any) -> None:
    lines = [f"{name} {value}" for name, value in more.items()]
    lines += [f"{what} {migration.version:04d} {migration.name}" for migration in found] or [NOTHING]
    document = {**more, what: [{"version": entry.version, "name": entry.name} for entry in found]}
    output.say(document, "\n".join(lines), as_json=as_json)


def _print_plan(found: Sequence[Migration], *, as_json: bool) -> None:
    entries = [
        {
            "version": entry.version,
            "name": entry.name,
            "readable_by": entry.readable_by,
            "in_transaction": entry.in_transaction,
            "sql": entry.sql,
        }
        for entry in found
    ]
    texts = [f"-- {entry.version:04d} {entry.name}\n{entry.sql.strip()}\n" for entry in found]
    output.say({"pending": entries}, "\n".join(texts) or NOTHING, as_json=as_json)
