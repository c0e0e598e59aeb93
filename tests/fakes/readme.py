"""The README and the pages of the documentation, taken apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fakes.repository import ROOT

DOCUMENTS = [
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
]
"""Every document whose programs run and whose tables are checked."""


def text_of(document: str) -> str:
    """Return the text of a document."""
    return (ROOT / document).read_text("utf-8")


def blocks(language: str, document: str) -> list[str]:
    """Return the code blocks of a document in this language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(document), re.MULTILINE | re.DOTALL)


def table(*heads: str, documents: Sequence[str] = DOCUMENTS) -> list[list[str]]:
    """Return the rows of the one table, in these documents, whose first columns have these heads."""
    tables = [rows for document in documents if (rows := _rows(text_of(document), heads))]
    (rows,) = tables or [[]]
    return rows


def _rows(text: str, heads: tuple[str, ...]) -> list[list[str]]:
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[: len(heads)] == list(heads):
            inside = True
        elif inside and not line.startswith("|"):
            break
        elif inside and not set(line) <= set("|-: "):
            found.append(cells)
    return found
