"""``authkit config``: the settings of this environment, as ``authkit serve`` reads them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import typer

from authkit_issuer.cli import output
from authkit_issuer.cli.output import AsJson
from authkit_issuer.config import Config, process_environment
from authkit_issuer.config.checks import warnings
from authkit_issuer.config.settings import Settings, number, read, setting_of
from authkit_issuer.errors import ConfigError
from authkit_issuer.ports import Senders
from authkit_issuer.senders import configured
from authkit_issuer.server.settings import SERVER_NEEDS, problems, production

app = typer.Typer(no_args_is_help=True, help="The settings of this environment.")

_MASK = "***"
_PASSWORD = re.compile(r"(?<=://)([^:/@]*):.*@")
"""Up to the last ``@``: a password may hold every character, and must not show for its want of an escape."""
_PARAMETER = re.compile(r"((?:password|passwd|secret|token)=)[^&]*", re.IGNORECASE)


@app.command("check")
def check(*, as_json: AsJson = False) -> None:
    """Check every setting as `authkit serve` does, without connecting to anything."""
    env = process_environment()
    found, hints = problems(env), list[str]()
    if not found:
        try:
            config = production(env)
            _check_senders(config)
            hints = warnings(config, sends_mail=config.smtp_url is not None)
        except ConfigError as error:
            found = [str(error)]
    for warning in hints if not as_json else ():
        output.warn(f"warning: {warning}.")
    for problem in found if not as_json else ():
        output.warn(problem)
    if as_json or not found:
        document = {"ok": not found, "problems": found, "warnings": hints}
        output.say(document, "The settings can be used.", as_json=as_json)
    raise typer.Exit(1 if found else 0)


def _check_senders(config: Config) -> None:
    """Read the templates and build the senders of the settings, which connect to nothing."""
    templates = configured.mails(config)
    if config.smtp_url is not None:
        sender = configured.mail_sender(config, templates, time.time, os.urandom)
        configured.require_sign_in_links(config, Senders.of(sender, None))
    if config.sms_url is not None:
        configured.sms_sender(config, time.time, os.urandom)


@app.command("show")
def show(*, as_json: AsJson = False) -> None:
    """Print every setting with its value, secrets masked, and where the value comes from."""
    settings = read(process_environment(), Config, required=SERVER_NEEDS)
    rows = [_row(entry, settings) for entry in dataclasses.fields(Config) if entry.name != "keys"]
    output.show("settings", rows, as_json=as_json)
    for problem in settings.problems:
        output.warn(problem)
    raise typer.Exit(1 if settings.problems else 0)


def _row(entry: dataclasses.Field[Any], settings: Settings) -> dict[str, str]:
    origin = settings.origins.get(entry.name, "default")
    if entry.name in settings.values:
        value = _text(settings.values[entry.name], secret=not entry.repr)
        origin = "environment" if entry.name == "environment" else origin
    elif entry.name in settings.origins:
        value = "(unreadable)"
    elif entry.name in SERVER_NEEDS:
        value, origin = "(missing)", "-"
    else:
        value = _text(_default(entry), secret=not entry.repr)
    return {"setting": setting_of(entry.name), "value": value, "origin": origin}


def _default(entry: dataclasses.Field[Any]) -> Any:
    if entry.default_factory is not dataclasses.MISSING:
        return entry.default_factory()
    return entry.default


def _text(value: Any, *, secret: bool) -> str:
    """Return a value as its setting is written; of a secret, what is none."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Mapping) and value and not secret:
        return json.dumps(dict(value))
    if isinstance(value, Mapping | frozenset | tuple):
        return ",".join(value if isinstance(value, tuple) else sorted(value))
    return masked(value) if secret else str(value)


def masked(address: str) -> str:
    """Return a URL without its passwords; what is no URL is masked as a whole."""
    if "://" not in address:
        return _MASK
    hidden = _PASSWORD.sub(rf"\g<1>:{_MASK}@", address)
    return _PARAMETER.sub(rf"\g<1>{_MASK}", hidden)
