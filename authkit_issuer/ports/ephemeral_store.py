"""The store for short-lived records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

EphemeralMode = Literal["memory", "redis"]


class EphemeralStore(Protocol):
    """Short-lived records: codes, challenges, counters. Every method is atomic.

    ``ttl`` is in seconds; zero or less raises ``ValueError``. A store that cannot answer raises
    ``EphemeralStoreUnavailable``; it never pretends that a key is absent.
    """

    @property
    def mode(self) -> EphemeralMode:
        """``"redis"`` when other processes see the same records, else ``"memory"``."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the value, or None when there is none or it has expired."""
        ...

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what ``get`` returns for each of the keys; only each for itself is atomic."""
        ...

    async def set(self, key: str, value: bytes, ttl: float, *, only_if_absent: bool = False) -> bool:
        """Store the value for ``ttl`` seconds; False when ``only_if_absent`` and a live value is there."""
        ...

    async def delete(self, key: str) -> bool:
        """Remove the key, a limited one too; False when it was not there."""
        ...

    async def take(self, key: str) -> bytes | None:
        """Return and remove in one step: of any number of callers at most one gets the value."""
        ...

    async def take_if(self, key: str, expected: bytes) -> bool:
        """Remove the key only while it holds exactly ``expected``; True for the one caller that did."""
        ...

    async def replace_if(self, key: str, expected: bytes, value: bytes, ttl: float) -> bool:
        """Store ``value`` only while the key holds exactly ``expected``; False when it does not."""
        ...

    async def incr(self, key: str, ttl: float) -> int:
        """Add one and return the new count; the first increment sets the ``ttl``, later ones keep it."""
        ...

    async def admit(self, key: str, calls: int, window: float) -> tuple[bool, float]:
        """Count one call unless ``calls`` of them were made within the last ``window`` seconds.

        A generic cell rate limit: all ``calls`` may come at once, and one more for each ``window / calls``
        that has passed. Returns whether the call is admitted, and the seconds until the key is as fresh as
        one that was never used. A refused call does not count.
        """
        ...

    async def give_back(self, key: str, calls: int, window: float) -> None:
        """Undo one admitted call of ``admit`` with the same arguments; a key that is fresh stays so."""
        ...

    async def ping(self) -> None:
        """Return when the store answers, else raise ``EphemeralStoreUnavailable``."""
        ...

    async def aclose(self) -> None:
        """Release the connections and records of this process."""
        ...
