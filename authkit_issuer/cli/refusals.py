"""How a command ends that does not do its work: a line, a code, and the exit status."""

from __future__ import annotations

import json
import sys

import typer

from authkit_issuer.errors import AuthError, ConfigError, StartupError

_USAGE, _FAILURE, _INTERRUPTED = 2, 1, 130


class UsageError(Exception):
    """The arguments do not suffice; exit status 2."""


class NotConfirmedError(Exception):
    """The user declined; exit status 1."""


def report(error: Exception) -> int:
    """Print the error as one line, or as JSON where ``--json`` is given; never as a traceback.

    Returns:
        The exit status: 2 for usage, 130 for an interruption, 1 for every other failure.

    """
    code, message, status = _classify(error)
    lines = message.strip().splitlines()
    text = lines[0] if lines else "stopped without a message"
    if status == _USAGE and len(lines) > 1:  # the help: no command was given
        typer.echo(message, err=True)
    elif "--json" in sys.argv[1:]:
        typer.echo(json.dumps({"error": code, "error_description": text}))
    else:
        typer.echo(f"authkit: {text}", err=True)
    return status


def _classify(error: Exception) -> tuple[str, str, int]:
    code, message, status = "internal_error", f"{type(error).__name__}: {error}", _FAILURE
    match error:
        case typer.TyperException():
            code, message, status = "usage_error", error.format_message(), error.exit_code
        case UsageError():
            code, message, status = "usage_error", str(error), _USAGE
        case NotConfirmedError():
            code, message = "not_confirmed", str(error)
        case typer.Abort():
            code, message, status = "interrupted", "Interrupted.", _INTERRUPTED
        case AuthError():
            code, message = error.code, error.reason or error.description
        case ConfigError():
            code, message = "configuration_error", str(error)
        case StartupError():
            code, message = "cannot_start", str(error)
        case _:
            pass
    return code, message, status
