"""Send mails with your own transport: an object with these four methods is an ``EmailSender``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

SendMail = Callable[[str, str, str], Awaitable[None]]
"""Takes an address, a subject and a text."""


@dataclass(frozen=True, slots=True)
class HouseMailer:
    """Writes the mails; ``send`` delivers them with your transport."""

    send: SendMail

    async def send_email_verification_code(self, email: str, username: str, code: str) -> None:
        """Send the code that confirms an address."""
        await self.send(email, "Confirm your address", f"Hello {username}, your code is {code}.")

    async def send_password_reset_code(self, email: str, username: str, code: str) -> None:
        """Send the code that resets a password."""
        await self.send(email, "Reset your password", f"Hello {username}, your code is {code}.")

    async def send_login_code(self, email: str, username: str, code: str) -> None:
        """Send a second-factor code."""
        await self.send(email, "Your sign-in code", f"Hello {username}, your code is {code}.")

    async def send_welcome(self, email: str, username: str) -> None:
        """Greet a new user."""
        await self.send(email, "Welcome", f"Hello {username}.")
