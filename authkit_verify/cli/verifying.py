"""``authkit verify``: the answer of a protected application to a token, which is never printed."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify.cli.parsing import Parser, add_issuer_options, issuer_terms
from authkit_verify.cli.words import VERIFY, UsageError
from authkit_verify.config import SUPPORTED_ALGORITHMS


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status; raises ``UsageError``."""
    options, surplus = parser().parse_known_args(arguments)
    _refuse_surplus(surplus)
    if not options.audience and not options.any_audience:
        raise UsageError("give --audience, or --any-audience")
    text = _bare(sys.stdin.read() if options.token == "-" else options.token)
    check = _explained if options.explain else _verified
    return asyncio.run(check(_config(options), text, as_json=options.as_json))


def parser() -> Parser:
    """Return the parser of the command."""
    made = Parser(prog="authkit verify", description=VERIFY, allow_abbrev=False)
    made.add_argument("token", help="The token; - reads it from standard input.")
    add_issuer_options(made, "The issuer to accept.")
    made.add_argument("--any-audience", action="store_true", help="Accept every audience, and none.")
    made.add_argument(
        "--pem", action="append", default=[], type=Path, metavar="FILE",
        help="A public key file; without --jwks-url nothing is fetched.",
    )  # fmt: skip
    made.add_argument("--explain", action="store_true", help="Print every check and its setting.")
    made.add_argument(
        "--json", action="store_true", dest="as_json", help="Print the claims or the refusal as JSON."
    )
    return made


def _refuse_surplus(surplus: Sequence[str]) -> None:
    """Refuse what no option takes; a part of a token is not repeated."""
    if unknown := [word for word in surplus if word.startswith("--")]:
        raise UsageError(f"verify has no option {unknown[0].partition('=')[0]}; see authkit verify --help")
    if surplus:
        raise UsageError("there is more than one token; put quotes around it")


def _bare(text: str) -> str:
    """Return the token in what was copied: a header, a scheme and quotes around it are taken off."""
    text = text.strip().strip("\"'").strip()
    return re.sub(r"^(?:authorization:)?\s*(?:bearer\s+)?", "", text, flags=re.IGNORECASE).strip("\"'")


def _pems(paths: list[Path]) -> list[bytes]:
    try:
        return [path.read_bytes() for path in paths]
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _config(options: argparse.Namespace) -> AcceptConfig:
    pins = _pems(options.pem)
    # Every algorithm by default: the question is whether the token is valid at all.
    algorithms = options.algorithm or list(SUPPORTED_ALGORITHMS)
    try:
        accepted = IssuerAccept(
            **issuer_terms(options),
            any_audience=options.any_audience,
            pinned_pems=pins,
            pinned_only=bool(pins) and options.jwks_url is None and not options.discovery,
        )
        return AcceptConfig(issuers=[accepted], algorithms=algorithms)
    except ValueError as error:
        raise UsageError(f"{error}.") from error


async def _verified(config: AcceptConfig, token: str, *, as_json: bool) -> int:
    async with Verifier(config) as verifier:
        try:
            claims = await verifier.verify(token)
        except TokenError as error:
            if as_json:
                print(json.dumps({"error": error.code}))
            else:
                print(f"authkit: {error.code}: {error.description}.", file=sys.stderr)
            return 1
    print(json.dumps(claims.to_dict(), indent=None if as_json else 2))
    return 0


async def _explained(config: AcceptConfig, token: str, *, as_json: bool) -> int:
    async with Verifier(config) as verifier:
        explanation = await verifier.explain(token)
    print(json.dumps(explanation.to_dict()) if as_json else str(explanation))
    return 0 if explanation.accepted else 1
