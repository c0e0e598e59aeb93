"""The state of an introspection endpoint, as ``Verifier.health`` shows it."""

from __future__ import annotations

from typing import TypedDict


class IntrospectionHealth(TypedDict):
    """The state of one issuer's introspection endpoint, in plain JSON types; durations are seconds."""

    url: str | None
    """The URL of the endpoint without its query; None until the metadata has named it."""
    failures: int
    """Requests that failed in a row because the endpoint is unavailable."""
    last_error: str | None
    """Why the newest request failed, with its URL; None if it brought an answer."""
    next_try_in: float
    """Seconds until the next request is allowed; 0 if it is allowed now."""
