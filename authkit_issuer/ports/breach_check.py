"""Passwords from breaches."""

from __future__ import annotations

from typing import Protocol


class BreachCheck(Protocol):
    """Knows passwords from breaches. Asked about every new password that the rules allow."""

    async def is_breached(self, password: str) -> bool:
        """True if the password is known; raising ``BreachCheckUnavailable`` keeps it from being set."""
        ...
