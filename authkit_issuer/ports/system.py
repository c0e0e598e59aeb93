"""Time and randomness."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
"""Returns Unix time in seconds."""

RandomBytes = Callable[[int], bytes]
"""Returns that many bytes from a cryptographic generator."""
