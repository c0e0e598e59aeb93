"""Known devices: browsers that hold proof of an earlier sign-in, after OWASP's device cookies.

A device token signs no user in. Its effects:

- Wrong passwords from the device are counted on the device, so that guesses from elsewhere do not lock the
  owner out.
- Logins from the device keep a share of the hashing pool.
- A sign-in without a device token sends the owner a notice, unless it looks like a recent one
  (``sessions.creation``).
- With ``two_factor_remember`` the device may remember the second factor, as long as it has a row in
  ``remembered_devices``.

All but the notice end with the epoch of the account: after a new password, a sign-out everywhere, a ban or a
change of the second factor every device is unknown.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from authkit_issuer import errors
from authkit_issuer.domains.base.first_factor import UseUp
from authkit_issuer.identifiers import browser_family, ip_prefix, uuid_or_none
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.device_token import ID_BYTES, DeviceToken, decode, encode
from authkit_issuer.store.query import Query, Statement

SecondFactor = Literal["verified", "verified_and_remembered", "remembered"]
"""The second factor of a sign-in.

``verified``: the user proved it, or has none. ``verified_and_remembered``: the device remembers it from now
on. ``remembered``: the user did not prove it, because the device remembers it.
"""

_PURGE_BATCH = 1000
_AHEAD = 60
"""Seconds that the clock of the process that made a token may be ahead of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A browser in which a user signed in before; wrong passwords are counted under its ``id``."""

    id: str = field(repr=False)
    user_id: str
    auth_epoch: int
    factor_at: int

    @property
    def row_id(self) -> str:
        """The id of the row that says what the device remembers; it does not lead to the token."""
        return str(uuid.UUID(bytes=hashlib.sha256(bytes.fromhex(self.id)).digest()[:16]))

    def is_of(self, user_id: str) -> bool:
        """True if this user signed in there, at any epoch."""
        return self.user_id == user_id

    def is_trusted(self, user_id: str, auth_epoch: int) -> bool:
        """True if this user signed in there and the epoch is still the same."""
        return self.user_id == user_id and self.auth_epoch == auth_epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedDevice:
    """A device that remembers the second factor of its user. Times are aware, in UTC."""

    id: str
    browser: str
    """The family of the browser, such as ``Firefox``; ``""`` when unknown."""
    network: str
    """The IPv4 address or the IPv6 /64 of the last sign-in; ``""`` when unknown."""
    created_at: datetime
    """When the second factor was verified."""
    last_used_at: datetime


REMEMBER = Statement(
    """
    insert into profiles.remembered_devices (id, user_id, auth_epoch, browser, network)
    values ($1::uuid, $2::uuid, $3, $4, $5)
    """
)
IS_REMEMBERED = Query(
    bool,
    """
    select exists (
        select from profiles.remembered_devices
        where id = $1::uuid and user_id = $2::uuid and auth_epoch = $3
    )
    """,
)
USE = Query(
    str,
    """
    update profiles.remembered_devices set last_used_at = now(), network = $4
    where id = $1::uuid and user_id = $2::uuid and auth_epoch = $3 returning id::text
    """,
)
LIST = Query(
    RememberedDevice,
    """
    select d.id::text, d.browser, d.network, d.created_at, d.last_used_at
    from profiles.remembered_devices d
         join profiles.users u on u.id = d.user_id and u.auth_epoch = d.auth_epoch
    where d.user_id = $1::uuid and d.created_at > now() - $2::float8 * interval '1 second'
    order by d.last_used_at desc, d.id
    """,
)
FORGET = Query(
    str,
    "delete from profiles.remembered_devices where id = $2::uuid and user_id = $1::uuid returning id::text",
)
FORGET_ALL = Statement("delete from profiles.remembered_devices where user_id = $1::uuid")
PURGE = Query(
    int,
    """
    with dead as (
        select id from profiles.remembered_devices
        where created_at < now() - $1::float8 * interval '1 second' limit $2 for update skip locked
    ),
    gone as (delete from profiles.remembered_devices d using dead where d.id = dead.id returning d.id)
    select count(*)::int from gone
    """,
)


@dataclass(frozen=True, slots=True)
class Devices:
    """Makes and reads device tokens, and lists the devices that remember a second factor."""

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

        Raises ``InvalidCredentials`` for the id of no user.
        """
        owner = uuid_or_none(user_id)
        if owner is None:
            raise errors.InvalidCredentials
        rt, before = self.rt, self.of(client)
        now = int(rt.clock())
        if before is not None and not before.is_trusted(owner, auth_epoch):
            before = None
        remember_factor = remember_factor and rt.config.two_factor_remember is not None
        token = DeviceToken(
            user_id=owner,
            auth_epoch=auth_epoch,
            issued_at=now,
            factor_at=now if remember_factor else before.factor_at if before else 0,
            # The same one for the same browser: each has its own tries. Another one where the factor is
            # remembered anew: copies of an earlier token must not be remembered with it.
            id=bytes.fromhex(before.id) if before and not remember_factor else rt.random_bytes(ID_BYTES),
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

    async def remembers_factor(self, client: Client | None, user_id: str, auth_epoch: int) -> bool:
        """True if the device remembers the second factor of this account at this epoch."""
        device, longest = self.trusted(client, user_id, auth_epoch), self.rt.config.two_factor_remember
        if device is None or longest is None or self.rt.clock() >= device.factor_at + longest:
            return False
        return await self.rt.one(IS_REMEMBERED, device.row_id, user_id, auth_epoch)

    async def note_factor(self, token: str, factor: SecondFactor, client: Client | None) -> None:
        """Store what the device of a new token remembers, in the transaction of the sign-in.

        Raises ``InvalidCredentials`` if it was forgotten since it let the sign-in skip the factor.
        """
        if factor == "verified" or self.rt.config.two_factor_remember is None:
            return
        device = self.of(Client(device=token))
        if device is None:
            return
        row = (device.row_id, device.user_id, device.auth_epoch)
        network = ip_prefix(client.ip if client else None)
        if factor == "verified_and_remembered":
            browser = browser_family(client.user_agent if client else None)
            await self.rt.execute(REMEMBER, *row, browser, network)
        elif await self.rt.maybe(USE, *row, network) is None:
            raise errors.InvalidCredentials

    async def list_remembered(self, user_id: str) -> list[RememberedDevice]:
        """Return the devices that remember the second factor of a user, the last used first."""
        longest = self.rt.config.two_factor_remember
        return [] if longest is None else await self.rt.all(LIST, user_id, longest)

    async def purge(self) -> int:
        """Delete the rows of devices that remember nothing any more; returns how many."""
        return await self.rt.purge(PURGE, self.rt.config.two_factor_remember or 0.0, batch=_PURGE_BATCH)


def noting_factor(
    token: str, factor: SecondFactor, client: Client | None, use_up: UseUp | None = None
) -> UseUp:
    """Return what a sign-in does in its transaction: ``use_up``, and ``note_factor`` of its device token."""

    async def note(tx: Runtime) -> None:
        await Devices(tx).note_factor(token, factor, client)
        if use_up is not None:
            await use_up(tx)

    return note
