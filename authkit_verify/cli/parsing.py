"""What both commands share: a parser whose errors are exceptions, and the options that name an issuer."""

from __future__ import annotations

import argparse
from typing import NoReturn


class UsageError(Exception):
    """The arguments are wrong; the message names the argument and never repeats a token."""


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
