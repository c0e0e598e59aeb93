"""The migrations in this package: numbered SQL files with marks in their comments.

``-- readable by: 17`` says that programs which know the schema up to version 17 work after the migration.
``-- outside a transaction`` is for indexes on tables with rows, which are built CONCURRENTLY.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

from authkit_issuer.errors import StartupError

_FILE = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_READABLE = re.compile(r"^-- readable by: (\d+)$", re.MULTILINE)
_OUTSIDE = re.compile(r"^-- outside a transaction$", re.MULTILINE)
_CONCURRENTLY = re.compile(r"\bconcurrently\b", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One file: its number, its name and its text. The checksum ignores nothing, not even white space."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @cached_property
    def readable_by(self) -> int | None:
        """The oldest version of the schema whose programs work after it; None is its own version."""
        found = _READABLE.search(self.sql)
        return int(found[1]) if found else None

    @cached_property
    def in_transaction(self) -> bool:
        """False if each statement is a transaction of its own."""
        return _OUTSIDE.search(self.sql) is None

    @property
    def statements(self) -> list[str]:
        """The statements of a file outside a transaction, which has no semicolon inside of one."""
        parts = (part.strip() for part in _COMMENT.sub("", self.sql).split(";"))
        return [part for part in parts if part]

    @property
    def sql_of_new_schema(self) -> str:
        """The text of a file outside a transaction where no table has rows, inside of one."""
        return _CONCURRENTLY.sub("", self.sql)


def shipped() -> tuple[Migration, ...]:
    """Return the migrations in this package, in order."""
    found: list[Migration] = []
    for entry in resources.files("authkit_issuer.store").joinpath("migrations").iterdir():
        match = _FILE.match(entry.name)
        if match:
            found.append(Migration(version=int(match[1]), name=match[2], sql=entry.read_text("utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise StartupError("The migration files in this installation are not numbered 1, 2, 3, and so on.")
    return tuple(found)
