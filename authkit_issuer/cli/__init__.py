"""The ``authkit`` command. Errors are one plain line; exit status 2 for usage, 1 for failure."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from authkit_issuer.cli.commands import Commands
from authkit_issuer.cli.refusals import NotConfirmedError, UsageError
from authkit_issuer.errors import AuthError, ConfigError, StartupError
from authkit_verify import cli as verifier

app = typer.Typer(
    name="authkit",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run the issuer, manage its keys and users, check tokens.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        raise typer.Exit(verifier.run(["--version"]))


@app.callback()
def _general(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version  # printed before a command is looked for


def main() -> None:
    """Run the command of this process; an error is one line on standard error, never a traceback."""
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as error:
        _stop("usage_error", error.format_message(), error.exit_code)
    except UsageError as error:
        _stop("usage_error", str(error), 2)
    except NotConfirmedError as error:
        _stop("not_confirmed", str(error), 1)
    except typer.Abort:
        _stop("interrupted", "Interrupted.", 130)
    except AuthError as error:
        _stop(error.code, error.reason or error.description, 1)
    except ConfigError as error:
        _stop("configuration_error", str(error), 1)
    except StartupError as error:
        _stop("cannot_start", str(error), 1)
    except Exception as error:  # noqa: BLE001 - the end of the road: an operator can act on a sentence
        _stop("internal_error", f"{type(error).__name__}: {error}", 1)


def _stop(code: str, message: str, status: int) -> None:
    lines = message.strip().splitlines()
    if status == 2 and len(lines) > 1:  # the help: no command was given
        typer.echo(message, err=True)
        sys.exit(status)
    text = lines[0] if lines else "stopped without a message"
    if "--json" in sys.argv[1:]:
        typer.echo(json.dumps({"error": code, "error_description": text}))
    else:
        typer.echo(f"authkit: {text}", err=True)
    sys.exit(status)


@app.command()
def demo() -> None:
    """Run every step over real sockets: issuer, protected app, refusals."""
    from authkit_issuer.demo import run  # noqa: PLC0415 - other commands need no web server

    raise typer.Exit(run())


# The verifier has these two, and reads their options. Here they are listed with the others.
_READ_THERE = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_READ_THERE)
def verify(context: typer.Context) -> None:
    """Check a token against its issuer's published keys; exit status 1 if it is refused."""
    raise typer.Exit(verifier.run(["verify", *context.args]))


@app.command(context_settings=_READ_THERE)
def doctor(context: typer.Context) -> None:
    """Examine the service of this environment, or with --issuer an issuer as a verifier sees it."""
    from authkit_issuer.cli.doctor import run  # noqa: PLC0415 - that of the verifier needs no service

    if not context.args or context.args == ["--json"]:
        run(as_json=bool(context.args))
    raise typer.Exit(verifier.run(["doctor", *context.args]))
