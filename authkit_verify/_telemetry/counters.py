"""The counters of a verifier since it was made: plain integers."""

from __future__ import annotations

from typing import TypedDict

from authkit_verify.errors import TokenCode

UNKNOWN = "unknown"
"""The issuer label of tokens of unknown issuers: no label ever comes from a refused token."""


class IssuerCounters(TypedDict):
    """The counters of one issuer."""

    tokens: dict[str, int]
    """Tokens by outcome: ``accepted`` (fully checked), ``accepted_from_cache``, or the code of a refusal."""
    would_refuse: dict[str, int]
    """Accepted tokens that a report-only rule would have refused, by code."""
    fetches: int
    """Fetches of the key set that succeeded."""
    fetch_failures: int
    """Fetches of the key set that failed."""
    introspections: int
    """Requests to the introspection endpoint that brought an answer."""
    introspection_failures: int
    """Requests to the introspection endpoint that failed."""


Counters = dict[str, IssuerCounters]
"""By issuer; ``UNKNOWN`` counts tokens that were refused before an accepted issuer was found."""


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
        """Count an accepted token that a report-only rule would have refused."""
        self._would_refuse[code] = self._would_refuse.get(code, 0) + 1

    def snapshot(
        self, *, fetches: tuple[int, int] = (0, 0), introspections: tuple[int, int] = (0, 0)
    ) -> IssuerCounters:
        """Return a copy of the counters; of requests those that succeeded, then those that failed."""
        return {
            "tokens": {"accepted": self.accepted, "accepted_from_cache": self.cached, **self._refused},
            "would_refuse": {**self._would_refuse},
            "fetches": fetches[0],
            "fetch_failures": fetches[1],
            "introspections": introspections[0],
            "introspection_failures": introspections[1],
        }
