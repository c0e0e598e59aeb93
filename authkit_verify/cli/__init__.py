"""The ``authkit`` command: ``verify`` and ``doctor`` are here, the issuer brings the others.

An installed distribution adds commands by an entry point of the group ``authkit.commands``: a function that
reads ``sys.argv``. Without its libraries, each of those commands says what to install.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points, version
from typing import Any

from authkit_verify.cli.words import DOCTOR, VERIFY, UsageError

__all__ = ["main", "run"]

_DISTRIBUTION = "asgi-authkit"
_SERVER = f'"{_DISTRIBUTION}[server]"'
_COMMANDS = {"verify": "verifying", "doctor": "examining"}
"""The module of each command, which is imported when the command runs."""
_HELP = f"""Usage: authkit COMMAND [OPTIONS]

Check tokens, and the issuers that sign them.

Commands:
  verify     {VERIFY}
  doctor     {DOCTOR}
  --version  Print the version.
  --help     Show this message.

The issuer and its commands need more packages: install {_SERVER}."""


def main() -> None:
    """Run the command of this process and end it with its status: 0, 1 for a failure, 2 for wrong usage."""
    arguments = sys.argv[1:]
    first = arguments[0] if arguments else ""
    # `authkit doctor` without an issuer examines the service of this environment, if that is installed.
    here = first == "doctor" and not any(word.startswith("--issuer") for word in arguments)
    if (first in _COMMANDS and not here) or first == "--version":
        sys.exit(run(arguments))
    others, missing = _other_commands()
    if others is not None:
        others()
    elif here:
        sys.exit(run(arguments))
    elif first in {"", "-h", "--help"}:
        print(_HELP, file=sys.stdout if first else sys.stderr)
        sys.exit(0 if first else 2)
    else:
        cause = f" ({missing} is missing)" if missing else ""
        _say(f"{first} needs more packages{cause}: install {_SERVER}.")
        sys.exit(1)


def run(arguments: Sequence[str]) -> int:
    """Run a command of this package and return its exit status.

    Args:
        arguments: The words after ``authkit``, such as ``["verify", "-", "--issuer", "https://id.example"]``;
            the first one is ``verify``, ``doctor`` or ``--version``.

    Returns:
        0 for success, 1 for a refused token or a fault of the issuer, 2 for wrong usage.
    """
    command, *rest = arguments
    if command == "--version":
        print(f"authkit {version(_DISTRIBUTION)}")
        return 0
    try:
        status: int = import_module(f"{__name__}.{_COMMANDS[command]}").run(rest)
    except UsageError as error:
        _say(str(error))
        return 2
    return status


def _say(message: str) -> None:
    print(f"authkit: {message}", file=sys.stderr)


def _other_commands() -> tuple[Callable[[], Any] | None, str]:
    """Return the function that runs the other commands, or None and the module that it lacks."""
    for entry in entry_points(group="authkit.commands"):
        try:
            return entry.load(), ""
        except ModuleNotFoundError as error:
            return None, error.name or ""
    return None, ""
