"""What receives the counts, durations and spans of a service."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, Protocol

SpanKind = Literal["server", "client"]
"""``server`` answers a request, ``client`` asks another system."""


class Span(Protocol):
    """One thing that is being done, as a part of a trace."""

    @property
    def trace_id(self) -> str:
        """The id of its trace in hexadecimal; ``""`` if no trace is recorded."""
        ...

    def set(self, key: str, value: str | float) -> None:
        """Add an attribute that was not known at the beginning."""
        ...


class Telemetry(Protocol):
    """Receives what a service does; ``telemetry.measurements`` lists every name with its labels.

    It is called for every request and statement: it is quick, waits for nothing, and never raises. No label
    and no attribute holds an address, a token, a name or an id of a user.
    """

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter."""
        ...

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        """Add a duration to a histogram."""
        ...

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        """Set a value that goes up and down."""
        ...

    def span(
        self,
        name: str,
        kind: SpanKind,
        attributes: dict[str, str | int],
        /,
        *,
        parent: tuple[tuple[bytes, bytes], ...] = (),
    ) -> AbstractContextManager[Span]:
        """Return a block that is a span; ``parent`` are the headers of the request that asked for it.

        The text of an exception that leaves the block is not recorded: it may quote what must stay secret.
        """
        ...
