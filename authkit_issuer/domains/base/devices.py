"""Known devices: browsers that hold proof of an earlier sign-in, after OWASP's device cookies.

The proof opens nothing. Wrong passwords from such a device are counted on the device, so that strangers who
guess do not keep an account's owner out; its logins keep a share of the hashing lanes; and a sign-in without
it is news to the owner. With ``two_factor_remember`` the owner may have the second factor remembered there.
All of it ends with the epoch of the account: a new password, a sign-out everywhere, a ban or a change of the
second factor makes every device a stranger, apart from the news.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.device_token import ID_BYTES, DeviceToken, decode, encode

Factor = Literal["asked", "remember", "spared"]
"""The second factor of a sign-in: proved if there is one, to be remembered, or left out because it was."""

_AHEAD = 60
"""Seconds that the clock of the process that made a token may be ahead of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A browser in which somebody signed in before; ``id`` is what its wrong passwords are counted by."""

    id: str = field(repr=False)
    user_id: str
    auth_epoch: int
    factor_at: int

    def is_of(self, user_id: str) -> bool:
        """Tell whether this account was signed in to there, at whatever epoch."""
        return self.user_id == user_id

    def is_trusted(self, user_id: str, auth_epoch: int) -> bool:
        """Tell whether this account was signed in to there, and nothing has ended that since."""
        return self.user_id == user_id and self.auth_epoch == auth_epoch


@dataclass(frozen=True, slots=True)
class Devices:
    """Makes and reads the proof."""

    rt: Runtime

    def prove(
        self, user_id: str, auth_epoch: int, client: Client | None, *, remember_factor: bool = False
    ) -> str:
        """Return a new proof of a sign-in that has just been finished.

        With ``remember_factor`` the second factor that was just proved is remembered; without, the one that
        the device remembered before still is, and no longer than it was.
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
        """Return the device behind a call; None without a proof of ours that is young enough."""
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

    def remembers_factor(self, client: Client | None, user_id: str, auth_epoch: int) -> bool:
        """Tell whether the second factor of this account, as it stands, need not be proved again there."""
        device, longest = self.of(client), self.rt.config.two_factor_remember
        if device is None or not device.factor_at or longest is None:
            return False
        return device.is_trusted(user_id, auth_epoch) and self.rt.clock() < device.factor_at + longest
