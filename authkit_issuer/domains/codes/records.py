"""The stored records of one-time codes and links, and their keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from authkit_issuer.keys import KeySet
from authkit_issuer.security.sealing import seal, unseal

_TO = "destination"
TRIES = "tries"
"""The data that names the count of tries of a record, whatever its code."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One pending code or link. Times are Unix seconds of the injected clock."""

    kind: str
    request_id: str
    target: str
    code_digest: str = ""
    code_expires_at: float = 0.0
    expires_at: float = 0.0
    link_hash: str = ""
    link_expires_at: float = 0.0
    user_id: str = ""
    auth_epoch: int = 0
    code_of: str = ""
    """The earlier request whose code this one shares, because it came too soon to get its own."""
    long: bool = False
    """The code is too long to be guessed."""
    secret_id: int = 0
    """The refresh secret under which the record is sealed."""
    data: dict[str, str] = {}

    def __repr__(self) -> str:
        """Leave out the digests and the data."""
        return f"Record(kind={self.kind!r}, request_id={self.request_id!r})"

    @property
    def key(self) -> str:
        """The key of the record."""
        return key_of(self.kind, self.request_id)

    @property
    def coded_for(self) -> str:
        """The request id that the digest of the code holds."""
        return self.code_of or self.request_id

    @property
    def tries_key(self) -> str:
        """The key of the count of tries: each request has its own, and without ``TRIES`` each code.

        No client uses up the tries of another. ``Guesses`` bounds them all together.
        """
        return f"attempts:{self.kind}:{self.request_id}:{self.data.get(TRIES) or self.code_digest[-16:]}"

    @property
    def used_key(self) -> str:
        """The key of the mark that the code was used, by any of the requests that share it."""
        return f"used:{self.kind}:{self.code_digest[-32:]}"

    def went_where(self, record: Record) -> bool:
        """True if the code of this record went to the same account and destination as another one would."""
        return self.auth_epoch == record.auth_epoch and self.data.get(_TO) == record.data.get(_TO)

    def sharing_code_of(self, sent: Record) -> Record:
        """Return this record with the code that was sent for another request of the same address."""
        return msgspec.structs.replace(
            self,
            code_of=sent.coded_for,
            code_digest=sent.code_digest,
            code_expires_at=sent.code_expires_at,
            long=sent.long,
        )

    def kept_as(self, request_id: str) -> Record:
        """Return a record under another id that has the code of this one."""
        return msgspec.structs.replace(self, request_id=request_id, code_of=self.coded_for)

    def without_code(self) -> Record:
        """Return this record with an expired code and link, because none was sent."""
        return msgspec.structs.replace(self, code_expires_at=0.0, link_expires_at=0.0)

    def sealed(self, keys: KeySet) -> bytes:
        """Return the stored form, which the store cannot read; equal records have equal bytes."""
        return seal(keys, self.secret_id, self.key, _encode(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """How many seconds the parts of a record live; a ``link`` of 0 makes no link."""

    code: float
    record: float
    link: float = 0.0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


def unsealed(keys: KeySet, key: str, stored: bytes) -> Record | None:
    """Return the record that is stored under a key, or None if its secret is no longer in force."""
    found = unseal(keys, key, stored)
    return None if found is None else _decode(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new record with its secrets. Code and link token go to the target only, never into a response."""

    record: Record
    code: str
    link: str

    def __repr__(self) -> str:
        """Leave out the secrets."""
        return f"Issued({self.record!r})"

    @property
    def to_be_sent(self) -> bool:
        """False beyond the sending limits: the record is live but has no code of its own."""
        return bool(self.code)


def key_of(kind: str, request_id: str) -> str:
    """The key of a record."""
    return f"{kind}:{request_id}"


def link_hash(token: str) -> str:
    """The digest of a link token. It needs no key: 256 random bits cannot be searched."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
