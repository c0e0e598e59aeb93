"""``authkit verify``: the answer of a protected application to a token, which is never printed."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from authkit_issuer.cli.issuer_options import Algorithms, Audiences, Discovery, JwksUrl
from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify.config import SUPPORTED_ALGORITHMS


def verify(
    context: typer.Context,
    token: Annotated[str, typer.Argument(help="The token; - reads it from standard input.")],
    issuer: Annotated[str, typer.Option(help="The issuer to accept.")],
    audience: Audiences = None,
    *,
    any_audience: Annotated[
        bool, typer.Option("--any-audience", help="Accept every audience, and none.")
    ] = False,
    jwks_url: JwksUrl = None,
    discovery: Discovery = None,
    pem: Annotated[
        list[Path] | None,
        typer.Option(help="A public key file; without --jwks-url nothing is fetched."),
    ] = None,
    algorithm: Algorithms = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print every check and its setting.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the claims or the refusal as JSON.")] = False,
) -> None:
    """Check a token against its issuer's published keys; exit status 1 if it is refused."""
    if context.args:  # refused here, because typer's own message would print them
        raise typer.BadParameter("there is more than one token; put quotes around it")
    if not audience and not any_audience:
        raise typer.BadParameter("give --audience, or --any-audience")
    text = _bare(sys.stdin.read() if token == "-" else token)
    pins = _pems(pem or [])
    terms: dict[str, Any] = {
        "audiences": audience or [], "any_audience": any_audience,
        "jwks_url": jwks_url, "discovery": discovery,
        "pinned_pems": pins, "pinned_only": bool(pins) and jwks_url is None and not discovery,
    }  # fmt: skip
    # Every algorithm: the question is whether the token is valid at all.
    config = _config(issuer, algorithm or list(SUPPORTED_ALGORITHMS), terms)
    if explain:
        raise typer.Exit(asyncio.run(_explained(config, text, as_json=as_json)))
    raise typer.Exit(asyncio.run(_verified(config, text, as_json=as_json)))


def _bare(text: str) -> str:
    """Return the token in what was copied: a header, a scheme and quotes around it are taken off."""
    text = text.strip().strip("\"'").strip()
    return re.sub(r"^(?:authorization:)?\s*(?:bearer\s+)?", "", text, flags=re.IGNORECASE).strip("\"'")


def _pems(paths: list[Path]) -> list[bytes]:
    try:
        return [path.read_bytes() for path in paths]
    except OSError as error:
        raise typer.BadParameter(f"{error.filename} cannot be read: {error.strerror}.") from error


def _config(issuer: str, algorithms: list[str], terms: dict[str, Any]) -> AcceptConfig:
    try:
        accepted = IssuerAccept(issuer=issuer, allow_http_loopback=True, **terms)
        return AcceptConfig(issuers=[accepted], algorithms=algorithms)
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
