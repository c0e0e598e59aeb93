"""Counts, sums and values of one process in plain dictionaries, and of several processes added up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from authkit_issuer.ports.telemetry import Span, SpanKind
from authkit_issuer.telemetry.measurements import BUCKETS, BY_NAME

Series = tuple[str, ...]
"""The name of a measurement, then the values of its labels."""
Numbers = dict[Series, list[float]]
"""One number of a counter or gauge; of a histogram the counts of its buckets, then the sum."""

MAX_SERIES = 5000
"""Series that a tally keeps; what would be one more is not counted."""


class NoSpan:
    """The span of a telemetry that records none."""

    trace_id = ""

    def set(self, key: str, value: str | float) -> None:
        """Do nothing."""


_NO_SPAN = NoSpan()


class Tally:
    """A ``Telemetry`` that adds up; spans are dropped."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.numbers: Numbers = {}

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """See ``Telemetry``."""
        found = self._series(name, labels, 1)
        if found is not None:
            found[0] += amount

    def observe(self, name: str, seconds: float, /, **labels: str) -> None:
        """See ``Telemetry``."""
        found = self._series(name, labels, len(BUCKETS) + 2)
        if found is not None:
            found[bisect_left(BUCKETS, seconds)] += 1
            found[-1] += seconds

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        """See ``Telemetry``."""
        found = self._series(name, labels, 1)
        if found is not None:
            found[0] = value

    @contextmanager
    def span(
        self,
        _name: str,
        _kind: SpanKind,
        _attributes: dict[str, str | int],
        /,
        *,
        parent: tuple[tuple[bytes, bytes], ...] = (),  # noqa: ARG002 - the port
    ) -> Generator[Span]:
        """See ``Telemetry``."""
        yield _NO_SPAN

    def _series(self, name: str, labels: dict[str, str], size: int) -> list[float] | None:
        series = (name, *map(labels.__getitem__, BY_NAME[name].labels))
        found = self.numbers.get(series)
        if found is None and len(self.numbers) < MAX_SERIES:
            found = self.numbers[series] = [0.0] * size
        return found


def combined(tallies: Iterable[Numbers]) -> Numbers:
    """Return the numbers of several processes as those of one."""
    together: Numbers = {}
    for numbers in tallies:
        for series, values in numbers.items():
            known = together.get(series)
            if known is None:
                together[series] = list(values)
            elif BY_NAME[series[0]].together == "max":
                together[series] = list(map(max, known, values))
            else:
                together[series] = [one + other for one, other in zip(known, values, strict=True)]
    return together


def counted(numbers: Numbers) -> Numbers:
    """Return what outlives a process: its counters and histograms, without its gauges."""
    return {series: values for series, values in numbers.items() if BY_NAME[series[0]].kind != "gauge"}
