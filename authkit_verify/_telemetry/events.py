"""What happens rarely and matters to whoever runs a verifier, told to one function of theirs.

Nothing here stands on the way of a token that was seen before. No event holds any part of a token.
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
    "would_refuse",
]
"""Every kind of event.

``keys_fetched``: the issuer answered; ``detail`` says whether the keys are new, the same or not modified.
``fetch_failed``: it did not. ``keys_refused``: its document was none or held no usable key, so the keys in
memory stay. ``stale_keys_used`` and ``last_known_good_used``: such keys judged tokens; told once for every
fetch that leaves it so. ``pinned_key_used``: a pin admitted a token because no key set could be had.
``keys_refetched``: an unknown key id, a bad signature under a known one, or ``fresh_keys`` caused a fetch;
``refetch_limited``: it would have, were there not too many (told once until the next one is allowed).
``private_key_published`` and ``repeated_kid``: what is wrong with the issuer's key set, told when it changes.
``would_refuse``: a rule in report-only mode fails for an accepted token; ``code`` is the one it would be
refused with.
"""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened with the keys or tokens of an issuer at a moment (Unix seconds)."""

    kind: EventKind
    issuer: str
    detail: str
    at: float
    code: TokenCode | None = None


Listener = Callable[[Event], None]


class Emit(Protocol):
    """Tell about one issuer."""

    def __call__(self, kind: EventKind, detail: str, code: TokenCode | None = None) -> None:
        """Report that this happened now."""
        ...


class Events:
    """Hands events to a listener. One that raises disturbs no verification; that is logged once."""

    def __init__(self, listener: Listener | None, clock: Callable[[], float]) -> None:
        if inspect.iscoroutinefunction(listener):
            raise ValueError("on_event is called and not awaited: give a plain function")
        self._listener = listener
        self._clock = clock
        self._raised = False

    def of(self, issuer: str) -> Emit:
        """Return what tells about this issuer."""
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
    """Tell nobody."""
