"""``authkit verify``: the answer of a protected application to a token, which is never printed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify.config import SUPPORTED_ALGORITHMS


def verify(
    context: typer.Context,
    token: Annotated[str, typer.Argument(help="The token; - reads it from standard input.")],
    issuer: Annotated[str, typer.Option(help="The issuer to accept.")],
    audience: Annotated[list[str], typer.Option(help="An audience to accept; may be given more than once.")],
    *,
    jwks_url: Annotated[
        str | None, typer.Option(help="The URL of its keys; default below the issuer.")
    ] = None,
    pem: Annotated[
        list[Path] | None,
        typer.Option(help="A public key file; without --jwks-url nothing is fetched."),
    ] = None,
    algorithm: Annotated[list[str] | None, typer.Option(help="An algorithm to accept; default all.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print every check and its setting.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the claims or the refusal as JSON.")] = False,
) -> None:
    """Check a token against its issuer's published keys; exit status 1 if it is refused."""
    if context.args:  # refused here, because typer's own message would print them
        raise typer.BadParameter("there is more than one token; quote it, and leave out the word Bearer")
    text = sys.stdin.read().strip() if token == "-" else token
    # Every algorithm: the question is whether the token is valid at all.
    config = _config(issuer, audience, jwks_url, pem or [], algorithm or list(SUPPORTED_ALGORITHMS))
    if explain:
        raise typer.Exit(asyncio.run(_explained(config, text, as_json=as_json)))
    raise typer.Exit(asyncio.run(_verified(config, text, as_json=as_json)))


def _config(
    issuer: str, audience: list[str], jwks_url: str | None, pems: list[Path], algorithms: list[str]
) -> AcceptConfig:
    try:
        pins = [path.read_bytes() for path in pems]
        accepted = IssuerAccept(
            issuer=issuer,
            audiences=audience,
            jwks_url=jwks_url,
            pinned_pems=pins,
            pinned_only=bool(pins) and jwks_url is None,
            allow_http_loopback=True,
        )
        return AcceptConfig(issuers=[accepted], algorithms=algorithms)
    except OSError as error:
        raise typer.BadParameter(f"{error.filename} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error


async def _verified(config: AcceptConfig, token: str, *, as_json: bool) -> int:
    async with Verifier(config) as verifier:
        try:
            claims = await verifier.verify(token)
        except TokenError as error:
            if as_json:
                typer.echo(json.dumps({"error": error.code}))
            else:
                typer.echo(f"authkit: {error.code}: {error.description}.", err=True)
            return 1
    typer.echo(json.dumps(claims.to_dict(), indent=None if as_json else 2))
    return 0


async def _explained(config: AcceptConfig, token: str, *, as_json: bool) -> int:
    async with Verifier(config) as verifier:
        explanation = await verifier.explain(token)
    typer.echo(json.dumps(explanation.to_dict()) if as_json else str(explanation))
    return 0 if explanation.accepted else 1
