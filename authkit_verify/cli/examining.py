"""``authkit doctor``: compares a configuration with the live issuer."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence

from authkit_verify.cli.parsing import Parser, add_issuer_options, issuer_terms
from authkit_verify.cli.words import DOCTOR
from authkit_verify.config import SUPPORTED_ALGORITHMS, IssuerAccept
from authkit_verify.doctor import Finding, Report, diagnose


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status; raises ``UsageError``."""
    options = parser().parse_args(arguments)
    report = _report(options)
    print(json.dumps(report.to_dict()) if options.as_json else str(report))
    return 0 if report.ok else 1


def parser() -> Parser:
    """Return the parser of the command."""
    made = Parser(prog="authkit doctor", description=DOCTOR, allow_abbrev=False)
    add_issuer_options(made, "The issuer, exactly as its tokens name it.")
    made.add_argument("--json", action="store_true", dest="as_json", help="Print the findings as JSON.")
    return made


def _report(options: argparse.Namespace) -> Report:
    try:
        accept = IssuerAccept(**issuer_terms(options), any_audience=not options.audience)
        return asyncio.run(diagnose(accept, algorithms=options.algorithm or list(SUPPORTED_ALGORITHMS)))
    except ValueError as error:  # a configuration that a verifier refuses is a finding too
        return Report(options.issuer, (Finding("error", "configuration_refused", f"{error}."),))
