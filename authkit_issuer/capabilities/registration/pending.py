"""Pending registrations: what they are, and how they are found by address and by name.

A record stands under its own id. An address and a name point to ids, and a pointer counts only while the
record it names agrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from authkit_issuer import errors, identifiers
from authkit_issuer.capabilities.one_time import OneTime, Record
from authkit_issuer.runtime import Runtime

if TYPE_CHECKING:
    from typing import Self

KIND = "reg_email"
REMEMBERED = 3
"""How many live registrations of one address a login looks at."""


class PendingCode(str):
    """The code that was sent, ``""`` when none was. Secret: it belongs to the address and to no answer."""

    registration_id: str
    """What the browser that registers must show to confirm; ``""`` when nothing is pending."""

    __slots__ = ("registration_id",)

    def __new__(cls, code: str, *, registration_id: str) -> Self:
        """Keep the code as the text itself."""
        self = super().__new__(cls, code)
        self.registration_id = registration_id
        return self

    def __repr__(self) -> str:
        """Keep the code out of logs."""
        return f"PendingCode(registration_id={self.registration_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRegistration:
    """A registration that waits for its proof."""

    email: str | None
    phone: str | None
    username: str
    password_hash: str = field(repr=False)
    registration_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a registration form may be told: the same for free and taken addresses."""

    registration_id: str
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Finds pending registrations."""

    rt: Runtime

    async def remember(self, record: Record, ttl: float) -> None:
        """Point from the address and from the name to the record; a pointer counts only while both agree."""
        store, email_key = self.rt.ephemeral, self._email_key(record.target)
        earlier = _ids(await store.get(email_key))
        newest = [record.request_id, *earlier][:REMEMBERED]
        await store.set(email_key, ",".join(newest).encode(), ttl)
        await store.set(_name_key(record.data["username"]), record.request_id.encode(), ttl)

    async def newest(self, email: str) -> Record | None:
        """Return the newest live registration of an address, or None."""
        live = await self.live(email)
        return live[0] if live else None

    async def live(self, email: str) -> list[Record]:
        """Return the live registrations of an address, the newest first."""
        try:
            target = identifiers.email(email)
        except errors.InvalidEmail:
            return []
        return [r for r in await self._follow(self._email_key(target)) if r.target == target]

    async def of_name(self, name: str) -> Record | None:
        """Return the live registration that holds a name, or None."""
        for record in await self._follow(_name_key(name)):
            if record.data["username"].lower() == name.lower():
                return record
        return None

    async def _follow(self, key: str) -> list[Record]:
        one_time = OneTime(self.rt)
        found = [
            await one_time.peek(KIND, request_id) for request_id in _ids(await self.rt.ephemeral.get(key))
        ]
        return [record for record in found if record is not None]

    def _email_key(self, email: str) -> str:
        return f"pending:email:{OneTime(self.rt).identifier(KIND, email)}"


def _ids(pointer: bytes | None) -> list[str]:
    return pointer.decode().split(",") if pointer else []


def _name_key(username: str) -> str:
    return f"pending:username:{username.strip().lower()}"
