"""What is stored of a one-time code or link, and under which keys."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import msgspec

from authkit_issuer.runtime import Runtime


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One pending proof. Times are Unix seconds of the injected clock."""

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
    """The request whose code was mailed, where this one came too soon after it to get its own."""
    data: dict[str, str] = {}

    def __repr__(self) -> str:
        """Name the record without its digests or its data."""
        return f"Record(kind={self.kind!r}, request_id={self.request_id!r})"

    @property
    def key(self) -> str:
        """Where the record is stored."""
        return key_of(self.kind, self.request_id)

    @property
    def coded_for(self) -> str:
        """The request id that the digest of the code holds."""
        return self.code_of or self.request_id

    @property
    def tries_key(self) -> str:
        """Where the tries are counted: a new code under the same request id has a count of its own.

        Requests that lean on the code of another share one count, apart from that of the other.
        """
        shared = ":again" if self.code_of else ""
        return f"attempts:{self.kind}:{self.coded_for}:{self.code_digest[-16:]}{shared}"

    def leaning_on(self, sent: Record) -> Record:
        """Return this record with the code that was sent for another of the same address."""
        return msgspec.structs.replace(
            self,
            code_of=sent.request_id,
            code_digest=sent.code_digest,
            code_expires_at=sent.code_expires_at,
        )

    def without_code(self) -> Record:
        """Return this record with a code and a link that nobody can redeem, because none was sent."""
        return msgspec.structs.replace(self, code_expires_at=0.0, link_expires_at=0.0)

    def encoded(self) -> bytes:
        """Return the stored form; the same record always has the same."""
        return _encode(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """How many seconds the parts of a record live; no link is made with 0."""

    code: float
    record: float
    link: float = 0.0


_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Record).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What was just made. The code and the link token go to the target only, never into an answer."""

    record: Record
    code: str
    link: str

    def __repr__(self) -> str:
        """Keep the secrets out of logs."""
        return f"Issued({self.record!r})"

    @property
    def to_be_sent(self) -> bool:
        """False beyond the sending limits: the record is live and has no secret of its own to send."""
        return bool(self.code)


def key_of(kind: str, request_id: str) -> str:
    """Return where a record is stored."""
    return f"{kind}:{request_id}"


def identifier_digest(rt: Runtime, kind: str, identifier: str) -> str:
    """Return the keyed digest that names an identifier in the store, which learns no addresses."""
    key = rt.keys.current().derive("identifiers")
    return hmac.new(key, f"{kind}|{identifier}".encode(), hashlib.sha256).hexdigest()[:32]


def link_hash(token: str) -> str:
    """Return the digest of a link token; 256 random bits need no key, it cannot be searched."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
