"""A finished response: what a handler returns that writes its own bytes, and what every refusal becomes."""

from __future__ import annotations

from dataclasses import dataclass

Headers = tuple[tuple[bytes, bytes], ...]
"""ASGI header pairs, names in lower case."""

HeaderList = list[tuple[bytes, bytes]]
"""Headers that are still being collected."""

JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawResponse:
    """Status, headers and body as they are sent; ``headers`` exclude the length."""

    status: int
    headers: Headers
    body: bytes
