"""What a verifier has counted since it was made: plain integers, read by whoever wants to know."""

from __future__ import annotations

from typing import TypedDict

from authkit_verify.errors import TokenCode

UNKNOWN = "unknown"
"""Stands for the issuer of a token that names none of ours: no label is ever taken from a refused token."""


class IssuerCounters(TypedDict):
    """What was counted for one issuer.

    ``tokens`` maps an outcome to how often it was: ``accepted`` (examined), ``accepted_from_cache``, and the
    code of each refusal. ``would_refuse`` maps codes to tokens that a report-only rule would have refused.
    ``fetches`` of the key set ended well, ``fetch_failures`` did not.
    """

    tokens: dict[str, int]
    would_refuse: dict[str, int]
    fetches: int
    fetch_failures: int


Counters = dict[str, IssuerCounters]
"""By issuer; ``UNKNOWN`` holds what was refused before its issuer was known to be one of ours."""


class TokenCounters:
    """The counters of one issuer's tokens."""

    __slots__ = ("_refused", "_would_refuse", "accepted", "cached")

    def __init__(self) -> None:
        self.accepted = 0
        self.cached = 0
        self._refused: dict[str, int] = {}
        self._would_refuse: dict[str, int] = {}

    def refuse(self, code: TokenCode) -> None:
        """Count a refusal."""
        self._refused[code] = self._refused.get(code, 0) + 1

    def would_refuse(self, code: TokenCode) -> None:
        """Count what a report-only rule would have refused."""
        self._would_refuse[code] = self._would_refuse.get(code, 0) + 1

    def snapshot(self, *, fetches: int = 0, fetch_failures: int = 0) -> IssuerCounters:
        """Return a copy of the counters as they stand."""
        return {
            "tokens": {"accepted": self.accepted, "accepted_from_cache": self.cached, **self._refused},
            "would_refuse": {**self._would_refuse},
            "fetches": fetches,
            "fetch_failures": fetch_failures,
        }
