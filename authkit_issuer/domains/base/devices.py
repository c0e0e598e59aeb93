"""Known devices: browsers that hold proof of an earlier sign-in, after OWASP's device cookies.

A device token signs no user in. Its effects:

- Wrong passwords from the device are counted on the device, so that guesses from elsewhere do not lock the
  owner out.
- Logins from the device keep a share of the hashing pool.
- A sign-in without a device token sends the owner a notice, unless it looks like a recent one
  (``sessions.creation``).
- With ``two_factor_remember`` the device may remember the second factor.

All but the notice end with the epoch of the account: after a new password, a sign-out everywhere, a ban or a
change of the second factor every device is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.device_token import ID_BYTES, DeviceToken, decode, encode

SecondFactor = Literal["verified", "verified_and_remembered", "remembered"]
"""The second factor of a sign-in.

``verified``: the user proved it, or has none. ``verified_and_remembered``: the device remembers it from now
on. ``remembered``: the user did not prove it, because the device remembers it.
"""

_AHEAD = 60
"""Seconds that the clock of the process that made a token may be ahead of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A browser in which a user signed in before; wrong passwords are counted under its ``id``."""

    id: str = field(repr=False)
    user_id: str
    auth_epoch: int
    factor_at: int

    def is_of(self, user_id: str) -> bool:
        """True if this user signed in there, at any epoch."""
        return self.user_id == user_id

    def is_trusted(self, user_id: str, auth_epoch: int) -> bool:
        """True if this user signed in there and the epoch is still the same."""
        return self.user_id == user_id and self.auth_epoch == auth_epoch


@dataclass(frozen=True, slots=True)
class Devices:
    """Makes and reads device tokens."""

    rt: Runtime

    def prove(
        self, user_id: str, auth_epoch: int, client: Client | None, *, remember_factor: bool = False
    ) -> str:
        """Return a new device token for a sign-in that has just finished.

        Args:
            user_id: The user.
            auth_epoch: The epoch of the account.
            client: The caller, with the device token that it sent.
            remember_factor: The user proved a second factor that the device remembers from now on. If false,
                a factor that the device remembers already keeps its end.
        """
        rt, before = self.rt, self.of(client)
        now = int(rt.clock())
        if before is not None and not before.is_trusted(user_id, auth_epoch):
            before = None
        remember_factor = remember_factor and rt.config.two_factor_remember is not None
        token = DeviceToken(
            user_id=user_id,
            auth_epoch=auth_epoch,
            issued_at=now,
            factor_at=now if remember_factor else before.factor_at if before else 0,
            # The same one for the same browser: each has its own tries.
            id=bytes.fromhex(before.id) if before else rt.random_bytes(ID_BYTES),
        )
        return encode(rt.keys.current(), rt.config.issuer, token)

    def of(self, client: Client | None) -> Device | None:
        """The device of a caller; None without a valid token younger than ``device_duration``."""
        if client is None or not client.device:
            return None
        token = decode(self.rt.keys.current(), self.rt.config.issuer, client.device)
        if token is None:
            return None
        age = self.rt.clock() - token.issued_at
        if not -_AHEAD <= age < self.rt.config.device_duration:
            return None
        return Device(
            id=token.id.hex(),
            user_id=token.user_id,
            auth_epoch=token.auth_epoch,
            factor_at=token.factor_at,
        )

    def trusted(self, client: Client | None, user_id: str, auth_epoch: int) -> Device | None:
        """The device of a caller if it is a known one of this account; None otherwise."""
        device = self.of(client)
        return device if device is not None and device.is_trusted(user_id, auth_epoch) else None

    def remembers_factor(self, client: Client | None, user_id: str, auth_epoch: int) -> bool:
        """True if the device remembers the second factor of this account at this epoch."""
        device, longest = self.of(client), self.rt.config.two_factor_remember
        if device is None or not device.factor_at or longest is None:
            return False
        return device.is_trusted(user_id, auth_epoch) and self.rt.clock() < device.factor_at + longest
