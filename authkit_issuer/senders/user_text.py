"""What users wrote, made harmless for a mail: it stays on its line, keeps its direction and makes no link."""

from __future__ import annotations

import unicodedata

MAX_LENGTH = 64
_WORD_JOINER = "\u2060"
"""Without a width and no part of a host name: mail programs make no link of text that holds it."""
_FORMAT = "Cf"
"""The category of direction marks, joiners and other characters without a shape."""


def harmless(text: str) -> str:
    """Return the text on one line, without characters that reorder or hide others, and cut to 64 characters.

    A full stop, a colon and an at sign are followed by a word joiner, so that ``example.com`` in a name is no
    link to a place that the user chose.
    """
    one_line = " ".join("".join(char if _is_shown(char) else " " for char in text).split())
    cut = one_line if len(one_line) <= MAX_LENGTH else f"{one_line[: MAX_LENGTH - 1].rstrip()}…"
    return "".join(f"{char}{_WORD_JOINER}" if char in ".:@" else char for char in cut)


def _is_shown(char: str) -> bool:
    return char.isprintable() and unicodedata.category(char) != _FORMAT
