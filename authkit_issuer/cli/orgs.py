"""``authkit orgs``: organizations of the configured database."""

from __future__ import annotations

import typer

from authkit_issuer.cli.opening import run
from authkit_issuer.errors import ConfigError
from authkit_issuer.service import Service

app = typer.Typer(no_args_is_help=True, help="Organizations of the configured database.")


@app.callback()
def _group() -> None:
    """Keep this a group although it has one command."""


@app.command("backfill-personal")
def backfill_personal() -> None:
    """Create the missing personal organizations; safe to repeat."""
    typer.echo(f"made {run(_backfilled)}")


async def _backfilled(service: Service) -> int:
    if service.config.org_mode != "multi":
        raise ConfigError("AUTHKIT_ORG_MODE is single: set it to multi for personal organizations.")
    return await service.orgs.backfill_personal()
