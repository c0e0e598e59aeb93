"""The values of a configuration, checked when it is built: every mistake is a ``ValueError``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from authkit_verify._jose.algorithms import ALGORITHMS

SUPPORTED_ALGORITHMS = tuple(ALGORITHMS)
"""The names of all algorithms that ``algorithms`` may list."""


def check_algorithms(names: Sequence[str]) -> None:
    """Raise ValueError unless these are names of supported algorithms, at least one."""
    if not names:
        raise ValueError("algorithms is empty: list at least one")
    for name in names:
        if name not in ALGORITHMS:
            raise ValueError(f"algorithms lists {name!r}, which is not one of {', '.join(ALGORITHMS)}")


def check_seconds(name: str, value: float, *, zero: bool = False) -> None:
    """Raise ValueError unless a field is a finite number of seconds, above 0, or 0 with ``zero``."""
    number = isinstance(value, int | float) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "more than 0"
        raise ValueError(f"{name} must be a finite number of seconds, {least}, not {value!r}")


def check_switch(name: str, value: object) -> None:
    """Raise ValueError unless a field is True or False: the text "false" would switch it on."""
    if type(value) is not bool:
        raise ValueError(f"{name} must be True or False, not {value!r}")


def words_of(name: str, value: Iterable[str]) -> tuple[str, ...]:
    """Return a list of strings as a tuple. Raises ValueError for a single string, and for other values."""
    if isinstance(value, str | bytes):
        raise ValueError(f"{name} must be a list of strings, not the single string {value!r}")  # noqa: TRY004 - every mistake here is a ValueError
    words = tuple(value)
    if not all(isinstance(word, str) and (word or name == "token_types") for word in words):
        raise ValueError(f"{name} must hold non-empty strings only, not {words!r}")
    return words
