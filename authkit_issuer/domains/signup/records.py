"""Pending registrations: what they are, and how they are found by address and by name.

A record stands under its own id. An address and a name point to ids, and a pointer counts only while the
record it names agrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from authkit_issuer.domains.base.code_records import identifier_digest
from authkit_issuer.domains.base.codes import NOBODYS, OneTimeCodes, Record
from authkit_issuer.domains.signup.channels import BY_KIND, EMAIL, Channel
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import StoredHash

if TYPE_CHECKING:
    from typing import Self

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
        """Point from the target and from the name to the record; a pointer counts only while both agree."""
        store, key = self.rt.ephemeral, self._target_key(record.kind, record.target)
        earlier = [known for known in _words(await store.get(key)) if known != record.request_id]
        newest = [record.request_id, *earlier][:REMEMBERED]
        await store.set(key, ",".join(newest).encode(), ttl)
        await store.set(
            _name_key(record.data["username"]), f"{record.kind}:{record.request_id}".encode(), ttl
        )

    async def newest(self, channel: Channel, text: str) -> Record | None:
        """Return the newest live registration of an address or number, or None."""
        live = await self.live(channel, text)
        return live[0] if live else None

    async def live(self, channel: Channel, text: str) -> list[Record]:
        """Return the live registrations of an address or number, the newest first."""
        target = channel.target(text)
        if target is None:
            return []
        ids = _words(await self.rt.ephemeral.get(self._target_key(channel.kind, target)))
        # As many look-ups whatever there is: what the pointer still names may have become an account.
        ids = (ids + [NOBODYS] * REMEMBERED)[:REMEMBERED]
        found = [await OneTimeCodes(self.rt).peek(channel.kind, request_id) for request_id in ids]
        return [record for record in found if record is not None and record.target == target]

    async def of_name(self, name: str) -> Record | None:
        """Return the live registration that holds a name, by mail or by phone, or None."""
        pointer = await self.rt.ephemeral.get(_name_key(name))
        kind, _, request_id = (pointer or b"").decode().partition(":")
        record = await OneTimeCodes(self.rt).peek(kind, request_id) if kind in BY_KIND else None
        if record is None or record.data["username"].lower() != name.lower():
            return None
        return record

    def _target_key(self, kind: str, target: str) -> str:
        return f"pending:{kind}:{identifier_digest(self.rt, kind, target)}"


def public(record: Record | None) -> PendingRegistration | None:
    """Return what a host may see of a record; nothing of one that can never be confirmed."""
    if record is None or record.data["taken"]:
        return None
    by_email = record.kind == EMAIL.kind
    return PendingRegistration(
        email=record.target if by_email else None,
        phone=None if by_email else record.target,
        username=record.data["username"],
        password_hash=record.data["password_hash"],
        registration_id=record.request_id,
    )


def hash_of(record: Record | None) -> StoredHash | None:
    """Return the password hash of a pending registration, None when there is none."""
    return None if record is None else StoredHash(text=record.data["password_hash"], algo="argon2id")


def _words(pointer: bytes | None) -> list[str]:
    return pointer.decode().split(",") if pointer else []


def _name_key(username: str) -> str:
    return f"pending:username:{username.strip().lower()}"
