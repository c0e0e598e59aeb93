"""A sender with a ``Telemetry``: each message is counted, timed, and a span without address and text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, cast

from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.telemetry.calls import asking

Sender = TypeVar("Sender")
_REPORTS = {"takes_reports", "read_report"}


def measured(sender: Sender, channel: str, telemetry: Telemetry | None) -> Sender:
    """Return the sender with every message measured as one of ``channel``; itself without a telemetry."""
    if sender is None or telemetry is None:
        return sender
    return cast("Sender", _Measured(sender, channel, telemetry))


class _Measured:
    """Has the methods of its sender and no others: those say which extensions the sender has."""

    def __init__(self, sender: Any, channel: str, telemetry: Telemetry) -> None:
        self._channel = channel
        self._telemetry = telemetry
        for name in dir(sender):
            if name.startswith("send_") or name == "report_code_used":
                setattr(self, name, partial(self._call, name, getattr(sender, name)))
            elif name == "reporting_to":
                self.reporting_to = partial(self._again, sender.reporting_to)
            elif name in _REPORTS:
                setattr(self, name, getattr(sender, name))

    async def _call(self, name: str, call: Callable[..., Awaitable[None]], *args: Any, **more: Any) -> None:
        with asking(self._telemetry, self._channel, name):
            await call(*args, **more)

    def _again(self, reporting_to: Callable[[str], object], url: str) -> object:
        return measured(reporting_to(url), self._channel, self._telemetry)
