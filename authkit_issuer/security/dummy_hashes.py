"""Dummy hashes: the cost of a login that has no stored hash to compare with.

Imported accounts may have more or less expensive hashes than new ones. If every unknown account cost the
default, response times would tell imported accounts apart. So the cost for an unknown identifier is drawn
from the stored costs by a keyed digest of the identifier: the same on every try, and as frequent as in the
table. ``hashing.verify`` does the work, and ``credentials.identifier`` samples the stored costs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from authkit_issuer.security.stored_hashes import Cost

REFRESH = 3600.0
"""Seconds between two samples of the stored costs."""


class DummyHashes:
    """Knows how frequent each cost is, and draws from that distribution."""

    def __init__(self, default: Cost) -> None:
        """Start with the cost of new hashes alone."""
        self._default = default
        self._shares: list[tuple[float, Cost]] = [(1.0, default)]
        self._due = float("-inf")

    @property
    def empty(self) -> bool:
        """True until the first sample."""
        return self._due == float("-inf")

    def due(self, now: float) -> bool:
        """True if it is time for another sample."""
        return now >= self._due

    def claim(self, now: float) -> None:
        """Put the next sample off, because one is being taken."""
        self._due = now + REFRESH

    def learn(self, accounts: Mapping[Cost, int]) -> None:
        """Set how many accounts have each cost; without any, the default is drawn."""
        total = sum(accounts.values())
        shares: list[tuple[float, Cost]] = []
        reached = 0
        # In a fixed order, so that a small change of the shares moves few identifiers.
        for cost in sorted(accounts):
            reached += accounts[cost]
            shares.append((reached / total, cost))
        self._shares = shares or [(1.0, self._default)]

    def draw(self, key: bytes, identifier: str) -> Cost:
        """Return the cost for an identifier; ``key`` keeps others from computing it."""
        digest = hmac.new(key, identifier.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        place = int.from_bytes(digest[:6], "big") / (1 << 48)
        return next((cost for share, cost in self._shares if place < share), self._shares[-1][1])
