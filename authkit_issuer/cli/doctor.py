"""``authkit doctor``: compares a configuration with the live issuer."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from authkit_issuer.cli.issuer_options import Algorithms, Audiences, Discovery, JwksUrl
from authkit_verify import IssuerAccept
from authkit_verify.config import SUPPORTED_ALGORITHMS
from authkit_verify.doctor import Finding, Report, diagnose


def doctor(
    issuer: Annotated[str, typer.Option(help="The issuer, exactly as its tokens name it.")],
    *,
    audience: Audiences = None,
    jwks_url: JwksUrl = None,
    discovery: Discovery = None,
    algorithm: Algorithms = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Examine an issuer as a verifier sees it; exit status 1 for an error."""
    report = _report(
        issuer, audience or [], jwks_url, algorithm or list(SUPPORTED_ALGORITHMS), discovery=discovery
    )
    typer.echo(json.dumps(report.to_dict()) if as_json else str(report))
    raise typer.Exit(0 if report.ok else 1)


def _report(
    issuer: str, audience: list[str], jwks_url: str | None, algorithms: list[str], *, discovery: bool | None
) -> Report:
    try:
        accept = IssuerAccept(
            issuer=issuer,
            audiences=audience,
            any_audience=not audience,
            jwks_url=jwks_url,
            discovery=discovery,
            allow_http_loopback=True,
        )
        return asyncio.run(diagnose(accept, algorithms=algorithms))
    except ValueError as error:  # a configuration that a verifier refuses is a finding too
        return Report(issuer, (Finding("error", "configuration_refused", f"{error}."),))
