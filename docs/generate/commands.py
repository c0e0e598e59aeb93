"""The options of every command, from the command line itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from typing import Any

import typer

from authkit_issuer.cli import app
from authkit_verify.cli import examining, verifying

_OWN = {"authkit verify": verifying.parser, "authkit doctor": examining.parser}
"""The commands that the verifier reads itself."""


def options() -> str:
    """Return a section with a table of arguments and options for each command."""
    return "\n\n".join(
        "\n".join(_section(path, command)) for path, command in _leaves(typer.main.get_command(app))
    )


def _leaves(group: Any, path: str = "authkit") -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{path} {word}")
        else:
            yield f"{path} {word}", command


def _section(path: str, command: Any) -> Iterator[str]:
    said = _worded(command.help or "")
    rows = list(_of_argparse(_OWN[path]()) if path in _OWN else _of_typer(command))
    yield f"### {path}\n\n{said}"
    if rows:
        yield "\n| Option | Meaning | Default |\n|---|---|---|"
        yield from (f"| {names} | {meaning} | {default} |" for names, meaning, default in rows)


def _of_typer(command: Any) -> Iterator[tuple[str, str, str]]:
    for parameter in command.params:
        names = [*parameter.opts, *parameter.secondary_opts]
        if parameter.param_type_name == "argument":
            names = [parameter.name.upper()]
        yield _named(names), _worded(parameter.help or ""), _shown(parameter.default)


def _of_argparse(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, str]]:
    for line in parser._actions:  # noqa: SLF001 - argparse lists them nowhere else
        if line.dest != "help":
            yield (
                _named(line.option_strings or [line.dest.upper()]),
                _worded(line.help or ""),
                _shown(line.default),
            )


def _worded(text: str) -> str:
    """Return a help text in one line, with its options and settings as code."""
    return re.sub(r"(?<![\w`-])(--[a-z][\w-]*|AUTHKIT_[A-Z_*]+)", r"`\1`", " ".join(text.split()))


def _named(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shown(default: object) -> str:
    return f"`{default}`" if default not in (None, False, "", ..., []) and not callable(default) else ""


REGIONS: dict[str, Callable[[], str]] = {"options": options}
