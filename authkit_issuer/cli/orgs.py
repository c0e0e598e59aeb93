"""``authkit orgs``: organizations of the configured database."""

from __future__ import annotations

import typer

from authkit_issuer.cli import output
from authkit_issuer.cli.opening import run
from authkit_issuer.cli.output import AsJson
from authkit_issuer.errors import ConfigError
from authkit_issuer.service import Service

app = typer.Typer(no_args_is_help=True, help="Organizations of the configured database.")


@app.callback()
def _group() -> None:
    """Keep this a group although it has one command."""


@app.command("backfill-personal")
def backfill_personal(*, as_json: AsJson = False) -> None:
    """Create the missing personal organizations; safe to repeat."""
    made = run(_backfilled)
    output.say({"made": made}, f"made {made}", as_json=as_json)


async def _backfilled(service: Service) -> int:
    if service.config.org_mode != "multi":
        raise ConfigError("AUTHKIT_ORG_MODE is single: set it to multi for personal organizations.")
    return await service.orgs.backfill_personal()
