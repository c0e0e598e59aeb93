"""The ``authkit`` command. ``refusals`` says how an error is printed, and with which exit status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from authkit_issuer.cli.commands import Commands
from authkit_issuer.cli.refusals import report
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
    except Exception as error:  # noqa: BLE001 - the end of the road: an operator can act on a sentence
        sys.exit(report(error))


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
