"""Which language the mails of a request are written in (RFC 9110 section 12.5.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_RANGE = re.compile(
    r"\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,4})\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?"
)
_MAX_RANGES = 20
MAX_HEADER = 512
"""Characters of a header that are looked at."""


@lru_cache(maxsize=512)
def preferred(header: str, supported: Sequence[str]) -> str:
    """Return the tag that fits ``Accept-Language`` best, in lower case; ``""`` when none does.

    The first of the highest quality wins. ``de-at`` takes ``de`` where that is what there is; with nothing
    supported by name, whatever is preferred is returned.
    """
    for tag in _by_quality(header[:MAX_HEADER]):
        if not supported:
            return tag
        for candidate in _shortened(tag):
            if candidate in supported:
                return candidate
    return ""


def _by_quality(header: str) -> list[str]:
    found: list[tuple[float, int, str]] = []
    for position, part in enumerate(header.split(",")[:_MAX_RANGES]):
        match = _RANGE.fullmatch(part)
        quality = float(match[2] or 1) if match else 0.0
        if match and 0 < quality <= 1:
            found.append((-quality, position, match[1].lower()))
    return [tag for _, _, tag in sorted(found)]


def _shortened(tag: str) -> Iterable[str]:
    """Yield the tag, then the tag without its last part and so on (RFC 4647 section 3.4)."""
    parts = tag.split("-")
    return ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
