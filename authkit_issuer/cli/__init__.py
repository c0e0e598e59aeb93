"""The ``authkit`` command. Errors are one plain line; exit status 2 for usage, 1 for failure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from authkit_issuer.cli import (
    calibrating,
    config,
    greeting,
    keys,
    mail,
    mails,
    migrating,
    orgs,
    output,
    purging,
    roles,
    users,
    webhooks,
)
from authkit_issuer.cli import doctor as examining
from authkit_issuer.config import Config, process_environment
from authkit_issuer.errors import AuthError, ConfigError, StartupError
from authkit_verify import cli as verifier

DEFAULT_DATA_DIR = Path(".runtime/authkit")
DEFAULT_PORT = 8000

app = typer.Typer(
    name="authkit",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run the issuer, manage its keys and users, check tokens.",
)
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")
app.add_typer(mail.app, name="mail")
app.add_typer(mails.app, name="mails")
app.add_typer(users.app, name="users")
app.add_typer(roles.app, name="roles")
app.add_typer(orgs.app, name="orgs")
app.add_typer(webhooks.app, name="webhooks")


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
    except output.UsageError as error:
        _stop("usage_error", str(error), 2)
    except output.NotConfirmedError as error:
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
def serve(
    *,
    dev: Annotated[bool, typer.Option("--dev", help="Use built-in PostgreSQL, keys and inbox.")] = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 picks a free one.")] = DEFAULT_PORT,
    uds: Annotated[Path | None, typer.Option(help="A unix socket to listen on, in place of a port.")] = None,
    fd: Annotated[
        int | None, typer.Option(help="The number of a listening socket that the parent opened.")
    ] = None,
    workers: Annotated[int, typer.Option(help="How many processes answer requests.")] = 1,
    metrics_port: Annotated[
        int | None, typer.Option(help="A port for operators, with /metrics and a detailed /readyz.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="The address of that port.")] = "127.0.0.1",
    traces: Annotated[
        bool, typer.Option("--traces", help="Send spans to OpenTelemetry, as the OTEL_* variables say.")
    ] = False,
    keep_alive: Annotated[
        float, typer.Option(help="Seconds that an idle connection stays open; longer than the proxy's.")
    ] = 75.0,
    drain_delay: Annotated[
        float, typer.Option(help="Seconds to serve on after the signal to stop, with /readyz at 503.")
    ] = 0.0,
    graceful: Annotated[float, typer.Option(help="Seconds that running requests may take after that.")] = 5.0,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="The folder for the data and keys of --dev.")
    ] = DEFAULT_DATA_DIR,
) -> None:
    """Run the issuer until Ctrl-C. Without --dev it reads AUTHKIT_* settings and checks as in production."""
    from authkit_issuer.server import serve as run  # noqa: PLC0415 - other commands need no web server
    from authkit_issuer.server.options import ServeOptions  # noqa: PLC0415 - as above

    def ready(config: Config, address: str) -> None:
        typer.echo(greeting.text(config, address, data_dir.expanduser().resolve()))

    options = ServeOptions(
        host=host,
        port=port,
        uds=uds,
        fd=fd,
        workers=workers,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        traces=traces,
        keep_alive=keep_alive,
        drain_delay=drain_delay,
        graceful=graceful,
    )
    run(dict(process_environment()), options, dev=dev, data_dir=data_dir, ready=ready)


@app.command()
def demo() -> None:
    """Run every step over real sockets: issuer, protected app, refusals."""
    from authkit_issuer.demo import run  # noqa: PLC0415 - other commands need no web server

    raise typer.Exit(run())


app.command("migrate")(migrating.migrate)
app.command("purge")(purging.purge)


# The verifier has these two, and reads their options. Here they are listed with the others.
_READ_THERE = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_READ_THERE)
def verify(context: typer.Context) -> None:
    """Check a token against its issuer's published keys; exit status 1 if it is refused."""
    raise typer.Exit(verifier.run(["verify", *context.args]))


@app.command(context_settings=_READ_THERE)
def doctor(context: typer.Context) -> None:
    """Examine the service of this environment, or with --issuer an issuer as a verifier sees it."""
    if not context.args or context.args == ["--json"]:
        examining.run(as_json=bool(context.args))
    raise typer.Exit(verifier.run(["doctor", *context.args]))


app.command("calibrate")(calibrating.calibrate)
