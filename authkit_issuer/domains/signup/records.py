"""Pending registrations: their records, and the pointers by which they are found.

A record is stored under its own id. An address points to ids, once for all clients and once for each network,
and a pointer counts only while the record it names agrees. A name points to nothing: a pending registration
reserves none, and the first that is confirmed gets it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from authkit_issuer.domains.base import stored_values
from authkit_issuer.domains.base.contacts import CONTACT_KINDS, EMAIL, ContactKind
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.domains.codes.one_time import NO_RECORD, OneTimeCodes, Record
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import StoredHash

if TYPE_CHECKING:
    from typing import Self

MAX_LIVE = 3
"""How many live registrations of one address a login looks at, beside the newest of its own network."""


class PendingCode(str):
    """The code that was sent, ``""`` if none was. Secret: send it to the address, never in a response."""

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
    """A registration that waits for its code or link."""

    email: str | None
    phone: str | None
    username: str
    """Empty where one is derived at the confirmation."""
    password_hash: str = field(repr=False)
    registration_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The answer to a registration form: the same for free and taken addresses."""

    registration_id: str
    email: str | None = None
    phone: str | None = None


def record_kind(kind: ContactKind) -> str:
    """The kind of the one-time records of registrations."""
    return f"reg_{kind.name}"


KINDS = {record_kind(kind): kind for kind in CONTACT_KINDS}


@dataclass(frozen=True, slots=True)
class PendingRecords:
    """Finds the records of pending registrations by address and number."""

    rt: Runtime

    async def point_to(self, record: Record, ttl: float, client: Client | None) -> None:
        """Point from the target to the record, for ``ttl`` seconds.

        The pointer of the client's network cannot be pushed out by registrations from elsewhere.
        """
        store, key = self.rt.ephemeral, self._target_key(record.kind, record.target)
        earlier = [known for known in _ids(await store.get(key)) if known != record.request_id]
        newest = [record.request_id, *earlier][:MAX_LIVE]
        await store.set(key, ",".join(newest).encode(), ttl)
        await store.set(self._own_key(record.kind, record.target, client), record.request_id.encode(), ttl)

    async def newest(self, kind: ContactKind, text: str) -> Record | None:
        """The newest live registration of an address or number, or None."""
        live = await self.live(kind, text)
        return live[0] if live else None

    async def live(self, kind: ContactKind, text: str, client: Client | None = None) -> list[Record]:
        """The live registrations of an address or number, the newest first, then that of the client."""
        target = kind.normal_or_none(text)
        if target is None:
            return []
        store, name = self.rt.ephemeral, record_kind(kind)
        ids = _ids(await store.get(self._target_key(name, target)))
        own = _ids(await store.get(self._own_key(name, target, client)))
        ids = list(dict.fromkeys([*ids, *own]))
        # As many look-ups whatever there is: what the pointer still names may have become an account.
        ids = (ids + [NO_RECORD] * (MAX_LIVE + 1))[: MAX_LIVE + 1]
        found = [await OneTimeCodes(self.rt).peek(record_kind(kind), request_id) for request_id in ids]
        return [record for record in found if record is not None and record.target == target]

    def _own_key(self, kind: str, target: str, client: Client | None) -> str:
        return f"{self._target_key(kind, target)}:{ip_prefix(client.ip if client else None)}"

    def _target_key(self, kind: str, target: str) -> str:
        return f"pending:{kind}:{identifier_digest(self.rt, kind, target)}"


def public(record: Record | None) -> PendingRegistration | None:
    """What a host may see of a record; None for one that can never be confirmed."""
    if record is None or record.data["taken"]:
        return None
    by_email = KINDS[record.kind] is EMAIL
    return PendingRegistration(
        email=record.target if by_email else None,
        phone=None if by_email else record.target,
        username=record.data["username"],
        password_hash=record.data["password_hash"],
        registration_id=record.request_id,
    )


def hash_of(record: Record | None) -> StoredHash | None:
    """The password hash of a pending registration, None without one."""
    text = "" if record is None else record.data["password_hash"]
    return StoredHash(text=text, algo="argon2id") if text else None


def _ids(pointer: bytes | None) -> list[str]:
    return stored_values.text(pointer).split(",") if pointer else []
