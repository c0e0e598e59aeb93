"""Rare events of a verifier that matter to its operator, passed to one function.

A cached token emits none. No event holds any part of a token. Refusals are no events: ``counters`` counts
them, and ``_verify.verifier`` logs them.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol

import msgspec

from authkit_verify.errors import TokenCode

log = logging.getLogger("authkit_verify")

EventKind = Literal[
    "keys_fetched",
    "fetch_failed",
    "keys_refused",
    "stale_keys_used",
    "last_known_good_used",
    "pinned_key_used",
    "keys_refetched",
    "refetch_limited",
    "private_key_published",
    "repeated_kid",
    "introspection_failed",
    "would_refuse",
]
"""Every kind of event.

- ``keys_fetched``: a fetch succeeded; ``detail`` is "new keys", "the same keys" or "not modified".
- ``fetch_failed``: a fetch failed; ``detail`` is the reason.
- ``keys_refused``: the issuer's document held no usable key, so the keys in memory stay.
- ``stale_keys_used``, ``last_known_good_used``: such keys verified tokens; emitted once per fetch that does
  not end it.
- ``pinned_key_used``: a pinned key admitted a token because no key set was available.
- ``keys_refetched``: an unknown key id, a bad signature under a known one, or ``fresh_keys`` caused a fetch.
- ``refetch_limited``: the same, but the limit forbade the fetch; emitted once until a fetch is allowed.
- ``private_key_published``, ``repeated_kid``: faults of the issuer's key set, emitted when they change.
- ``introspection_failed``: a request to the introspection endpoint failed; ``detail`` is the reason.
- ``would_refuse``: an accepted token fails a report-only rule; ``detail`` is the rule, ``code`` the refusal.
"""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event with the keys or tokens of an issuer."""

    kind: EventKind
    """The kind of event."""
    issuer: str
    """The issuer, as it is configured."""
    detail: str
    """A short text about the event, without any part of a token."""
    at: float
    """Unix seconds."""
    code: TokenCode | None = None
    """The refusal code of a ``would_refuse`` event; None for the others."""


Listener = Callable[[Event], None]


class Emit(Protocol):
    """Emits an event of one issuer."""

    def __call__(self, kind: EventKind, detail: str, code: TokenCode | None = None) -> None:
        """Emit an event that happens now."""
        ...


class Events:
    """Passes events to a listener. A listener that raises affects no verification; that is logged once."""

    def __init__(self, listener: Listener | None, clock: Callable[[], float]) -> None:
        if inspect.iscoroutinefunction(listener):
            raise ValueError(
                "on_event is called and not awaited: pass a plain function, not a coroutine function"
            )
        self._listener = listener
        self._clock = clock
        self._raised = False

    def of(self, issuer: str) -> Emit:
        """Return the function that emits events of this issuer."""
        return partial(self._emit, issuer)

    def _emit(self, issuer: str, kind: EventKind, detail: str, code: TokenCode | None = None) -> None:
        if self._listener is None:
            return
        try:
            self._listener(Event(kind=kind, issuer=issuer, detail=detail, at=self._clock(), code=code))
        except Exception:
            if not self._raised:
                self._raised = True
                log.exception("on_event raised; further failures of it are not logged")


def noop(kind: EventKind, detail: str, code: TokenCode | None = None) -> None:
    """Emit nothing."""
