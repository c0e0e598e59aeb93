"""The README and the guides, taken apart."""

from __future__ import annotations

import re

from fakes.repository import ROOT


def blocks(language: str, document: str = "README.md") -> list[str]:
    """Return the code blocks of a document in this language, in order."""
    text = (ROOT / document).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(*heads: str) -> list[list[str]]:
    """Return the rows of the one table whose first columns have these heads."""
    found: list[list[str]] = []
    inside = False
    for line in _text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[: len(heads)] == list(heads):
            inside = True
        elif inside and not line.startswith("|"):
            break
        elif inside and not set(line) <= set("|-: "):
            found.append(cells)
    return found


def _text() -> str:
    return (ROOT / "README.md").read_text("utf-8")
