"""``authkit doctor`` without an issuer: examines the service of this environment."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

import typer

from authkit_issuer.cli.examination import error, examine, warning
from authkit_issuer.config import Config, process_environment
from authkit_issuer.config.checks import warnings
from authkit_issuer.config.settings import read
from authkit_issuer.errors import ConfigError
from authkit_issuer.server.settings import problems
from authkit_verify.doctor import Finding, Report


def report() -> Report:
    """Examine the service of this environment, and change nothing."""
    # What the parts log is in the findings; the cause of a provider's failure is in the log alone.
    for name in ("authkit.ephemeral", "authkit.service", "authkit.keys"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return asyncio.run(_report())


async def _report() -> Report:
    env = process_environment()
    found = [
        error("setting", problem) for problem in problems(env) if not problem.startswith(("`", "No keys"))
    ]
    try:
        config = _config(env)
    except ConfigError as failure:
        # One sentence for each of several problems, which are in the list already.
        rest = [] if found else [error("setting", str(failure))]
        return Report("this environment", (*found, *rest))
    found += [warning("setting", f"{text}.") for text in warnings(config, sends_mail=bool(config.smtp_url))]
    has_keys = bool(env.get("ACTIVE_KEY_ID", "").strip())
    found += [finding async for finding in examine(config, env_has_keys=has_keys)]
    if not found:
        found.append(Finding("ok", "settings", "Nothing was found."))
    return Report(config.issuer, tuple(found))


def _config(env: Mapping[str, str]) -> Config:
    """Return the configuration of what can be read: the rest is a finding, and hides no other."""
    needed = {"issuer": "https://issuer.invalid", "issued_audiences": ("none",)}
    values: dict[str, Any] = needed | dict(read(env, Config).values)
    values |= {"environment": "production", "dev": False}
    return Config(**values)


def run(*, as_json: bool) -> None:
    """Print the report; exit status 1 for an error."""
    found = report()
    typer.echo(json.dumps(found.to_dict()) if as_json else str(found))
    raise typer.Exit(0 if found.ok else 1)
