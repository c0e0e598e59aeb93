"""What both commands share: a parser whose errors are exceptions, and the options that name an issuer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from authkit_verify.cli.words import UsageError
from authkit_verify.config.introspection import Introspection


class Parser(argparse.ArgumentParser):
    """A parser that raises ``UsageError`` where argparse prints its usage and ends the process."""

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError`` with the message of argparse."""
        raise UsageError(f"{message}; see {self.prog} --help")


def add_issuer_options(parser: argparse.ArgumentParser, issuer: str) -> None:
    """Add the options of every command that looks at an issuer from outside.

    Args:
        parser: The parser of the command.
        issuer: The help text of ``--issuer``.
    """
    parser.add_argument("--issuer", required=True, metavar="URL", help=issuer)
    parser.add_argument(
        "--audience", action="append", default=[], metavar="NAME", help="An audience to accept; repeatable."
    )
    parser.add_argument("--jwks-url", metavar="URL", help="The URL of its keys; default in its metadata.")
    parser.add_argument(
        "--discovery", action=argparse.BooleanOptionalAction, default=None,
        help="Find the keys only in its metadata, or only at the well-known path.",
    )  # fmt: skip
    parser.add_argument(
        "--algorithm", action="append", default=[], metavar="ALG", help="An algorithm to accept; default all."
    )
    parser.add_argument(
        "--tenant", action="append", default=[], metavar="NAME",
        help="A tenant to accept, where the issuer has {tenant}; repeatable.",
    )  # fmt: skip
    parser.add_argument(
        "--metadata-url", metavar="URL", help="The URL of its metadata; default below the issuer."
    )
    parser.add_argument(
        "--introspection-client", metavar="ID",
        help="Ask its introspection endpoint about the token, too, as this client.",
    )  # fmt: skip
    parser.add_argument(
        "--introspection-secret-file", metavar="FILE", type=Path,
        help="The file with the secret of that client; an argument would show it to other users.",
    )  # fmt: skip
    parser.add_argument(
        "--introspection-url", metavar="URL", help="The URL of that endpoint; default in its metadata."
    )


def issuer_terms(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of ``IssuerAccept`` that these options set.

    Raises:
        UsageError: The options of introspection are incomplete, or its file cannot be read.
        ValueError: ``Introspection`` refuses its values.
    """
    return {
        "issuer": options.issuer,
        "audiences": options.audience,
        "jwks_url": options.jwks_url,
        "discovery": options.discovery,
        "tenants": options.tenant or None,
        "metadata_url": options.metadata_url,
        "introspection": _introspection(options),
        "allow_http_loopback": True,
    }


def _introspection(options: argparse.Namespace) -> Introspection | None:
    client, file = options.introspection_client, options.introspection_secret_file
    if client is None and file is None and options.introspection_url is None:
        return None
    if client is None or file is None:
        raise UsageError("introspection needs --introspection-client and --introspection-secret-file")
    try:
        secret = file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'no text'}") from error
    # The command is asked about one token, of either kind.
    return Introspection(
        client_id=client, client_secret=secret, url=options.introspection_url, mode="always", max_ttl=0
    )
