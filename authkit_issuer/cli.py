"""The ``authkit`` command. Errors are one plain line; exit status 2 for usage, 1 for failure."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from authkit_issuer.config import Config, process_environment
from authkit_issuer.errors import AuthError, ConfigError, StartupError
from authkit_issuer.security import key_file
from authkit_issuer.service import Service
from authkit_issuer.store.migrate import migrate as run_migrations
from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier

app = typer.Typer(
    name="authkit", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Run the issuer, look after its keys and users, check tokens.",
)  # fmt: skip
keys_app = typer.Typer(no_args_is_help=True, help="Signing keys and refresh secrets in a keys.json.")
users_app = typer.Typer(no_args_is_help=True, help="Users of the configured database.")
app.add_typer(keys_app, name="keys")
app.add_typer(users_app, name="users")

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where development data is kept.")]
KeysDir = Annotated[Path, typer.Option("--dir", help="The folder of keys.json.")]
Alg = Annotated[str, typer.Option("--alg", help="RS256, ES256 or EdDSA.")]
AccessLife = Annotated[float, typer.Option(help="Life of access tokens, in seconds.")]
DEFAULT_DATA_DIR = Path(".runtime/authkit")
DEFAULT_PORT = 8000


def main() -> None:
    """Run the command; whatever an operator can act on is one line on standard error."""
    try:
        app()
    except (AuthError, ConfigError, StartupError) as error:
        typer.echo(f"authkit: {error}", err=True)
        sys.exit(1)


@app.command()
def serve(
    *,
    dev: Annotated[bool, typer.Option("--dev", help="Everything built in, nothing to configure.")] = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = DEFAULT_PORT,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Run the issuer until Ctrl-C."""
    from authkit_issuer.server import serve as run  # noqa: PLC0415 - other commands need no web server

    run(dict(process_environment()), dev=dev, host=host, port=port, data_dir=data_dir, ready=_greet)


def _greet(config: Config) -> None:
    base = config.issuer
    typer.echo(f"authkit is listening on {base}")
    if config.dev:
        typer.echo(
            f"""
  API page      {base}/docs
  Dev inbox     {base}/dev/inbox   (every mail and text message)
  Keys          {base}/.well-known/jwks.json
  Sessions      at most {config.session_max_per_user} a user; the least recently used one makes room

Register, read the code from the inbox, confirm and get tokens:

{_first_steps(base)}

Stop with Ctrl-C; the data stays."""
        )


def _first_steps(base: str) -> str:
    """Return three lines for a shell, each with one curl, that end in a pair of tokens."""
    post = "curl -s -H 'content-type: application/json'"
    email = r"\"email\":\"$WHO@example.test\""
    person = email.replace("email", "identifier", 1) + r",\"username\":\"$WHO\""
    register = f'"{{{person},\\"password\\":\\"correct horse battery\\"}}"'
    confirm = f'"{{{email},\\"code\\":\\"$CODE\\",\\"registration_id\\":\\"$ID\\"}}"'
    return "\n".join(
        (
            (
                f"WHO=ada_$RANDOM; ID=$({post} {base}/auth/register -d {register}"
                " | grep -o 'registration_id\":\"[^\"]*' | cut -d'\"' -f3)"
            ),
            (
                f"CODE=$(curl -s {base}/dev/inbox?to=$WHO@example.test"
                " | grep -o 'code\":\"[0-9]*' | cut -d'\"' -f3)"
            ),
            f"{post} {base}/auth/email/verify/confirm -d {confirm}",
        )
    )


@app.command()
def demo() -> None:
    """Walk the whole story over real sockets: issuer, protected app, every refusal."""
    from authkit_issuer.demo import run  # noqa: PLC0415 - other commands need no web server

    sys.exit(asyncio.run(run()))


@app.command()
def migrate() -> None:
    """Bring the database of AUTHKIT_DATABASE_URL up to date."""
    env = process_environment()
    url = env.get("AUTHKIT_DATABASE_URL", "").strip()
    if not url:
        raise ConfigError("AUTHKIT_DATABASE_URL is not set.")
    # The schema name is checked where every setting is; a migration needs neither issuer nor audience.
    schema = Config.from_env(env, issuer="-", issued_audiences=("-",)).database_schema
    done = asyncio.run(run_migrations(url, schema=schema))
    for migration in done:
        typer.echo(f"applied {migration.version:04d} {migration.name}")
    if not done:
        typer.echo("nothing to do")


@keys_app.command("generate")
def keys_generate(directory: KeysDir = DEFAULT_DATA_DIR, alg: Alg = "RS256") -> None:
    """Write a new keys.json with one signing key and one refresh secret; never overwrites."""
    path = directory / key_file.FILE_NAME
    try:
        created = key_file.create(path, key_file.generate(alg, os.urandom))
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}.") from error
    if not created:
        raise StartupError(f"{path} exists already.")
    typer.echo(f"wrote {path}")


@keys_app.command("list")
def keys_list(directory: KeysDir = DEFAULT_DATA_DIR, access_life: AccessLife = 900.0) -> None:
    """Show the published keys: kid, algorithm, and which one signs now."""
    keys = key_file.read(directory / key_file.FILE_NAME).at(time.time(), access_life)
    for entry in keys.jwks["keys"]:
        signs = keys.signing is not None and entry["kid"] == keys.signing.kid
        typer.echo(f"{entry['kid']}  {entry['alg']}{'  signs' if signs else ''}")


@keys_app.command("rotate")
def keys_rotate(
    *,
    directory: KeysDir = DEFAULT_DATA_DIR,
    alg: Alg = "RS256",
    now: Annotated[bool, typer.Option("--now", help="Sign with it at once; caches may not know it.")] = False,
    access_life: AccessLife = 900.0,
) -> None:
    """Publish a new signing key; it takes over after six minutes, and running servers pick it up."""
    path = directory / key_file.FILE_NAME
    try:
        kid = key_file.rotate(path, alg=alg, now=time.time(), access_life=access_life, at_once=now)
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}.") from error
    typer.echo(f"published {kid}")


@users_app.command("create")
def users_create(
    email: Annotated[str, typer.Option(help="Mail address.")] = "",
    username: Annotated[str, typer.Option(help="User name.")] = "",
) -> None:
    """Create an account without a password and print its id."""

    async def create(service: Service) -> str:
        return (await service.users.create(email or None, username or None)).id

    typer.echo(asyncio.run(_with_service(create)))


async def _with_service(work: Any) -> Any:
    """Open the configured service for one piece of work."""
    config = Config.from_env(process_environment())
    async with await Service.open(config) as service:
        return await work(service)


@app.command()
def verify(
    token: Annotated[str, typer.Argument(help="The token; - reads it from standard input.")],
    issuer: Annotated[str, typer.Option(help="The issuer to accept.")],
    audience: Annotated[list[str], typer.Option(help="An audience to accept; may be given more than once.")],
    *,
    jwks_url: Annotated[
        str | None, typer.Option(help="Where its keys are; default below the issuer.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the claims as JSON.")] = False,
) -> None:
    """Check a token against its issuer's published keys; exit status 1 when it is refused."""
    text = sys.stdin.read().strip() if token == "-" else token
    accepted = IssuerAccept(
        issuer=issuer, audiences=tuple(audience), jwks_url=jwks_url, allow_http_loopback=True
    )
    algorithms = ("RS256", "ES256", "ES384", "ES512", "PS256", "EdDSA")
    try:
        claims = asyncio.run(_verified(AcceptConfig(issuers=[accepted], algorithms=algorithms), text))
    except TokenError as error:
        typer.echo(json.dumps({"error": error.code}) if as_json else f"refused: {error.code}")
        sys.exit(1)
    typer.echo(json.dumps(claims, indent=None if as_json else 2))


async def _verified(config: AcceptConfig, token: str) -> dict[str, Any]:
    async with Verifier(config) as verifier:
        return (await verifier.verify(token)).to_dict()


if __name__ == "__main__":
    main()
