"""UUIDs of rows."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def uuid_or_none(text: str) -> str | None:
    """Return a UUID in canonical form, or None if the text is not one."""
    if _UUID.fullmatch(text):
        return text
    try:
        canonical = str(uuid.UUID(text))
    except ValueError:
        return None
    # Only another letter case is the same id; braces, URNs and missing hyphens are not.
    return canonical if canonical == text.lower() else None


def new_id(random_bytes: Callable[[int], bytes]) -> str:
    """Return a fresh random UUID (RFC 9562 section 5.4) as text."""
    return str(uuid.UUID(bytes=random_bytes(16), version=4))
