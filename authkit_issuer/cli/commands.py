"""The commands by their modules: a command imports what it needs, and the help of ``authkit`` none of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from authkit_issuer.errors import StartupError

COMMANDS = {
    "serve": ("serving", "Run the issuer until Ctrl-C."),
    "demo": (None, "Run every step over real sockets: issuer, protected app, refusals."),
    "migrate": ("migrating", "Apply the pending migrations to the database of AUTHKIT_DATABASE_URL."),
    "purge": ("purging", "Delete for good the users and organizations whose retention has passed."),
    "verify": (None, "Check a token against its issuer's published keys."),
    "doctor": (None, "Examine the service of this environment, or with --issuer an issuer."),
    "calibrate": ("calibrating", "Measure this machine and propose settings for password hashing."),
    "config": ("config", "The settings of this environment."),
    "keys": ("keys", "Signing keys and refresh secrets in a keys.json."),
    "mail": ("mail", "The mail server of AUTHKIT_SMTP_URL."),
    "mails": ("mails", "The texts of mails."),
    "users": ("users", "Users of the configured database."),
    "roles": ("roles", "The catalog of global roles."),
    "orgs": ("orgs", "Organizations of the configured database."),
    "webhooks": ("webhooks", "The URLs that receive events."),
}
"""Each command with the module that has its ``app`` or a function of its name, and with its line in the help.

None for a command of the program itself.
"""


class Commands(TyperGroup):
    """The commands of ``COMMANDS``; the given ones belong to the program itself."""

    def __init__(self, *, commands: Mapping[str, Any], **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = _Imported(commands)  # type: ignore[assignment]  # only read

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the help from the table, without an import."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(word, text) for word, (_, text) in COMMANDS.items()])


class _Imported(Mapping[str, Any]):
    """Commands by name, each imported when it is first asked for."""

    def __init__(self, present: Mapping[str, Any]) -> None:
        self._present = dict(present)

    def __getitem__(self, word: str) -> Any:
        if word not in self._present:
            self._present[word] = _command(word)
        return self._present[word]

    def __contains__(self, word: object) -> bool:
        return word in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _command(word: str) -> Any:
    """Import a command. Raises KeyError for another word, StartupError without the libraries it needs."""
    name, _ = COMMANDS[word]
    try:
        module = import_module(f"authkit_issuer.cli.{name}")
    except ModuleNotFoundError as error:
        raise StartupError(
            f'{word} needs more packages ({error.name} is missing): install "asgi-authkit[server]".'
        ) from error
    parent = typer.Typer(rich_markup_mode=None)  # which makes it as if it were declared in the program
    if hasattr(module, "app"):
        parent.add_typer(module.app, name=word)
    else:
        parent.command(word)(getattr(module, word))
    return typer.main.get_group(parent).commands[word]
