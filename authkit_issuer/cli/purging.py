"""``authkit purge``: what was deleted long ago goes for good."""

from __future__ import annotations

import itertools
from typing import Annotated

import typer

from authkit_issuer.cli import output
from authkit_issuer.cli.opening import run
from authkit_issuer.cli.output import AsJson, Yes
from authkit_issuer.domains.lifecycle.service import Purged
from authkit_issuer.service import Service


def purge(
    retention_days: Annotated[
        float | None, typer.Option(min=0, help="Days since the deletion; default as configured.")
    ] = None,
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete for good the users and organizations whose retention has passed."""
    retention = None if retention_days is None else retention_days * 86_400
    if retention is not None:  # the configured time is a decision that was made before
        output.confirm(f"Delete for good what was deleted {retention_days:g} days ago?", yes=yes)
    report, orgs = run(lambda service: _purge(service, retention))
    failed = {user_id: str(error) for user_id, error in report.failed.items()}
    for user_id, error in failed.items() if not as_json else ():
        output.warn(f"{user_id} was not purged: {error}")
    document = {"purged": len(report.deleted), "purged_orgs": orgs, "failed": failed}
    output.say(document, f"purged {len(report.deleted)}", as_json=as_json)
    raise typer.Exit(1 if failed else 0)


async def _purge(service: Service, retention: float | None) -> tuple[Purged, int]:
    progress, count = output.Progress("purged"), itertools.count(1)

    async def counted(_user_id: str) -> None:
        progress.at(next(count))

    try:
        report = await service.lifecycle.purge_deleted(retention=retention, before=counted)
    finally:
        progress.end()
    return report, await service.orgs.purge_deleted(retention=retention)
