"""The ``authkit`` command. Errors are one plain line; exit status 2 for usage, 1 for failure."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from authkit_issuer.cli import calibrating, config, greeting, keys, orgs, roles, users
from authkit_issuer.config import Config, process_environment
from authkit_issuer.config.settings import missing
from authkit_issuer.errors import AuthError, ConfigError, StartupError
from authkit_issuer.store.migrate import migrate as run_migrations
from authkit_verify import cli as verifier

DEFAULT_DATA_DIR = Path(".runtime/authkit")
DEFAULT_PORT = 8000

app = typer.Typer(
    name="authkit",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Run the issuer, manage its keys and users, check tokens.",
)
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(roles.app, name="roles")
app.add_typer(orgs.app, name="orgs")


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
        _stop(error.format_message(), error.exit_code)
    except AuthError as error:
        _stop(error.reason or error.description, 1)
    except (ConfigError, StartupError) as error:
        _stop(str(error), 1)
    except Exception as error:  # noqa: BLE001 - the end of the road: an operator can act on a sentence
        _stop(f"{type(error).__name__}: {error}", 1)


def _stop(message: str, status: int) -> None:
    lines = message.strip().splitlines()
    if status == 2 and len(lines) > 1:  # the help: no command was given
        typer.echo(message, err=True)
    else:
        typer.echo(f"authkit: {lines[0] if lines else 'stopped without a message'}", err=True)
    sys.exit(status)


@app.command()
def serve(
    *,
    dev: Annotated[bool, typer.Option("--dev", help="Use built-in PostgreSQL, keys and inbox.")] = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 picks a free one.")] = DEFAULT_PORT,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="The folder for the data and keys of --dev.")
    ] = DEFAULT_DATA_DIR,
) -> None:
    """Run the issuer until Ctrl-C. Without --dev it reads AUTHKIT_* settings and checks as in production."""
    from authkit_issuer.server import serve as run  # noqa: PLC0415 - other commands need no web server

    def ready(config: Config, address: str) -> None:
        typer.echo(greeting.text(config, address, data_dir.expanduser().resolve()))

    run(dict(process_environment()), dev=dev, host=host, port=port, data_dir=data_dir, ready=ready)


@app.command()
def demo() -> None:
    """Run every step over real sockets: issuer, protected app, refusals."""
    from authkit_issuer.demo import run  # noqa: PLC0415 - other commands need no web server

    raise typer.Exit(run())


@app.command()
def migrate() -> None:
    """Apply the pending migrations to the database of AUTHKIT_DATABASE_URL."""
    # A migration needs neither issuer nor audience; serve checks them.
    settings = Config.from_env(process_environment(), issuer="-", issued_audiences=("-",))
    if settings.database_url is None:
        raise ConfigError(missing("database_url"))
    done = asyncio.run(run_migrations(settings.database_url, schema=settings.database_schema))
    for migration in done:
        typer.echo(f"applied {migration.version:04d} {migration.name}")
    if not done:
        typer.echo("nothing to do")


app.command("purge")(users.purge)


# The verifier has these two, and reads their options. Here they are listed with the others.
_READ_THERE = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_READ_THERE)
def verify(context: typer.Context) -> None:
    """Check a token against its issuer's published keys; exit status 1 if it is refused."""
    raise typer.Exit(verifier.run(["verify", *context.args]))


@app.command(context_settings=_READ_THERE)
def doctor(context: typer.Context) -> None:
    """Examine an issuer as a verifier sees it; exit status 1 for an error."""
    raise typer.Exit(verifier.run(["doctor", *context.args]))


app.command("calibrate")(calibrating.calibrate)
