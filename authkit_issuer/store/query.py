"""A ``Query`` is SQL text with the type of the row it returns.

SQL is written with the schema ``profiles.``; a service that runs in another schema has the name replaced
once per query, so that no connection ever carries a ``search_path``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)

DEFAULT_SCHEMA = "profiles"
_SCHEMA_REFERENCE = re.compile(r"\bprofiles\.")
_SCALARS = (str, int, float, bool, bytes)


class Query(Generic[Row_co]):
    """SQL and its row type: a dataclass (columns are its fields, in order) or a scalar (one column).

    ``Query(None, sql)`` returns no rows; what it gives back is the number of rows it touched.
    """

    __slots__ = ("_texts", "build", "fields", "row", "sql")

    def __init__(self, row: type[Row_co], sql: str) -> None:
        """Check the row type once; the text is checked against the schema by the tests."""
        self.row = row
        self.sql = sql
        self._texts = {DEFAULT_SCHEMA: sql}
        self.fields: tuple[str, ...] = ()
        if dataclasses.is_dataclass(row):
            self.fields = tuple(field.name for field in dataclasses.fields(row))
        elif row is not type(None) and row not in _SCALARS:
            raise TypeError(f"a row is a dataclass or a scalar, not {row!r}")
        self.build: Callable[[Sequence[Any]], Row_co] = _builder(row, self.fields)

    def text(self, schema: str) -> str:
        """Return the SQL for this schema name, which the configuration has validated."""
        text = self._texts.get(schema)
        if text is None:
            text = self._texts[schema] = _SCHEMA_REFERENCE.sub(f"{schema}.", self.sql)
        return text


class Statement(Query[None]):
    """SQL that returns no rows."""

    __slots__ = ()

    def __init__(self, sql: str) -> None:
        """Keep the text."""
        super().__init__(type(None), sql)


def _builder(row: type[Row], fields: tuple[str, ...]) -> Callable[[Sequence[Any]], Row]:
    """Return what turns one record into one row; a record iterates over its values in column order."""
    if not fields:
        return lambda record: cast("Row", record[0])
    make = cast("Callable[..., Row]", row)
    return lambda record: make(**dict(zip(fields, record, strict=True)))
