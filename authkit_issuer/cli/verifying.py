"""``authkit verify``: what a protected application would say about a token."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

import typer

from authkit_issuer.errors import ConfigError
from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify.algorithms import ALGORITHMS


def verify(
    token: Annotated[str, typer.Argument(help="The token; - reads it from standard input.")],
    issuer: Annotated[str, typer.Option(help="The issuer to accept.")],
    audience: Annotated[list[str], typer.Option(help="An audience to accept; may be given more than once.")],
    *,
    jwks_url: Annotated[
        str | None, typer.Option(help="Where its keys are; default below the issuer.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the claims or the refusal as JSON.")] = False,
) -> None:
    """Check a token against its issuer's published keys; exit status 1 when it is refused."""
    text = sys.stdin.read().strip() if token == "-" else token
    try:
        accepted = IssuerAccept(
            issuer=issuer, audiences=audience, jwks_url=jwks_url, allow_http_loopback=True
        )
        # Whatever the issuer signs with: the question here is whether the token is good at all.
        config = AcceptConfig(issuers=[accepted], algorithms=tuple(ALGORITHMS))
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    try:
        claims = asyncio.run(_verified(config, text))
    except TokenError as error:
        if as_json:
            typer.echo(json.dumps({"error": error.code}))
        else:
            typer.echo(f"authkit: {error.code}: {error.description}.", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(claims, indent=None if as_json else 2))


async def _verified(config: AcceptConfig, token: str) -> dict[str, Any]:
    async with Verifier(config) as verifier:
        return (await verifier.verify(token)).to_dict()
