"""Sending codes, and masking the addresses they go to."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.base.contacts import PHONE, ContactKind
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Delivery:
    """Hands codes to the senders; a failure to send is raised to the caller."""

    rt: Runtime

    async def login_code(self, kind: ContactKind, destination: str, username: str, code: str) -> None:
        """Send a sign-in code; ``EmailUnavailable``, ``SmsUnavailable``, ``*DeliveryFailed``."""
        messages = Messages(self.rt)
        messages.require(kind)
        await messages.send(kind, self._login_code(kind, destination, username, code))

    async def setup_code(self, kind: ContactKind, destination: str, username: str, code: str) -> None:
        """Send a code that verifies an address or number; raises as ``login_code``."""
        messages = Messages(self.rt)
        messages.require(kind)
        await messages.send(kind, messages.verification(kind, destination, username, code))

    async def _login_code(self, kind: ContactKind, destination: str, username: str, code: str) -> None:
        senders = self.rt.senders
        await Messages(self.rt).admit(kind, destination)
        if kind is PHONE:
            assert senders.sms is not None  # noqa: S101 - required before
            await senders.sms.send_login_code(destination, code)
            return
        assert senders.email is not None  # noqa: S101 - required before
        await senders.email.send_login_code(destination, username, code)


def masked(destination: str) -> str:
    """Return enough of an address or number for its owner to know it: ``j***@e***.com``, ``+49*****12``."""
    local, at, domain = destination.partition("@")
    if at:
        name, _, ending = domain.rpartition(".")
        return f"{local[:1]}***@{name[:1]}***.{ending}"
    if len(destination) < 8:
        return "+" + "*" * (len(destination) - 1)
    return destination[:3] + "*" * (len(destination) - 5) + destination[-2:]
