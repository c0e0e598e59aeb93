"""Moments in bodies: RFC 3339 texts, read strictly."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _read(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("must be a moment such as 2030-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (
        ValueError,
        OverflowError,
    ) as error:  # the 31st of February, the year 0, a zone beyond the calendar
        raise ValueError("must be a moment of the calendar") from error


Moment = Annotated[
    datetime, BeforeValidator(_read), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A moment with a time zone, turned into UTC."""
