"""What commands print: text or a table for people, one JSON object for programs.

With ``--json`` a command prints one object on one line, on standard output. A list has a member with a plural
name. An error is ``{"error", "error_description"}``. Without it, a list is a table with a head where standard
output is a terminal, and lines of fields between tabs elsewhere.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from authkit_issuer.cli.refusals import NotConfirmedError, UsageError
from authkit_issuer.config.environment import process_environment

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def say(document: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a result: the document as JSON, or the text."""
    typer.echo(json.dumps(document, default=str) if as_json else text)


def show(name: str, rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print a list: as the member ``name``, as a table, or as lines; every row has the same members."""
    if as_json:
        typer.echo(json.dumps({name: rows}, default=str))
    elif rows and sys.stdout.isatty():
        _table(rows)
    else:
        for row in rows:
            typer.echo("\t".join(cell(value) for value in row.values()))


def warn(text: str) -> None:
    """Print a line about a part of the work on standard error; it may quote a file, or a server."""
    typer.echo(f"authkit: {cell(text)}", err=True)


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    heads = [name.replace("_", " ") for name in rows[0]]
    cells = [[cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    head = "  ".join(text.ljust(width) for text, width in zip(heads, widths, strict=True)).rstrip()
    typer.echo(typer.style(head, bold=True) if colours() else head)
    for row in cells:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def colours() -> bool:
    """True if standard output is a terminal whose user did not turn colours off (NO_COLOR)."""
    env = process_environment()
    return sys.stdout.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def cell(value: object) -> str:
    """Return a stored value on one line, without the characters that a terminal acts on; a dash for none."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else "?" for char in text) or "-"


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, and continue only after a yes; elsewhere ``--yes`` is the answer.

    Raises:
        UsageError: There is no terminal to ask on, and no ``--yes``.
        NotConfirmedError: The user declined.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Give --yes: there is no terminal to ask on.")
    if not typer.confirm(question, err=True):
        raise NotConfirmedError("Nothing was changed.")


class Progress:
    """A line on standard error, while that is a terminal, that says what happens now."""

    def __init__(self, what: str = "") -> None:
        """Name what is counted."""
        self._what = what
        self._shown = sys.stderr.isatty()
        self._next = 0.0

    def at(self, count: int) -> None:
        """Show the count, at most ten times a second."""
        if self._shown and (now := time.monotonic()) >= self._next:
            self._next = now + 0.1
            self.say(f"{count:,} {self._what}")

    def say(self, text: str) -> None:
        """Show a text in place of the one before."""
        if self._shown:
            typer.echo(f"\r\x1b[K{text}", err=True, nl=False)

    def end(self) -> None:
        """Remove the line."""
        if self._shown:
            typer.echo("\r\x1b[K", err=True, nl=False)
