"""One-time codes and links: issued within limits, bound to a target and a purpose, redeemed by one winner.

A record lives in the ephemeral store under ``<kind>:<request id>``; the request id is opaque, random and
handed to the caller who asked, so that a stranger who knows only the address can neither replace a record nor
burn its tries (OWASP ASVS 6.6.2, 6.6.3). Only keyed digests of codes are stored.

The order of a check is fixed: read, count the try, compare in constant time, take. Counting first keeps
parallel guesses under the cap; taking by value makes exactly one of any number of right answers win.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

import msgspec

from authkit_issuer import errors
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import codes

_HOUR = 3600.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One pending proof. Times are Unix seconds of the injected clock."""

    kind: str
    request_id: str
    target: str
    code_digest: str
    code_expires_at: float
    expires_at: float
    link_hash: str = ""
    link_expires_at: float = 0.0
    user_id: str = ""
    auth_epoch: int = 0
    data: dict[str, str] = {}

    def __repr__(self) -> str:
        """Name the record without its digests or its data."""
        return f"Record(kind={self.kind!r}, request_id={self.request_id!r})"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What was just made. The code and the link token go to the target only, never into an answer."""

    record: Record
    code: str
    link: str

    def __repr__(self) -> str:
        """Keep the secrets out of logs."""
        return f"Issued({self.record!r})"


@dataclass(frozen=True, slots=True)
class OneTime:
    """Issues and redeems one-time codes and links."""

    rt: Runtime

    def new_request_id(self) -> str:
        """Return a fresh opaque id of 128 bits; unknown addresses get one too."""
        return base64.urlsafe_b64encode(self.rt.random_bytes(16)).rstrip(b"=").decode()

    async def may_send(self, kind: str, target: str, client: Client | None) -> bool:
        """Count one sending to ``target`` and tell whether it is within the limits.

        One in ``code_cooldown`` seconds and ``max_codes_per_hour`` per client, ``max_codes_per_target_hour``
        per target whoever asks. Counters are kept under a keyed digest: the store learns no addresses.
        """
        config, store = self.rt.config, self.rt.ephemeral
        who = f"{kind}:{self.identifier(kind, target)}:{ip_prefix(client.ip if client else None)}"
        if config.code_cooldown and not await store.set(
            f"cooldown:{who}", b"1", config.code_cooldown, only_if_absent=True
        ):
            return False
        if await store.incr(f"issued:{who}", _HOUR) > config.max_codes_per_hour:
            return False
        everyone = f"issued:{kind}:{self.identifier(kind, target)}"
        return await store.incr(everyone, _HOUR) <= config.max_codes_per_target_hour

    async def issue(
        self,
        kind: str,
        *,
        target: str,
        code_ttl: float,
        record_ttl: float,
        link_ttl: float = 0.0,
        request_id: str = "",
        user_id: str = "",
        auth_epoch: int = 0,
        data: dict[str, str] | None = None,
    ) -> Issued:
        """Store a fresh record (replacing the one under the same request id) and return its secrets."""
        now = self.rt.clock()
        request_id = request_id or self.new_request_id()
        code = codes.new_code(self.rt.random_bytes)
        link = codes.new_token(self.rt.random_bytes) if link_ttl else ""
        record = Record(
            kind=kind,
            request_id=request_id,
            target=target,
            code_digest=self._digest(kind, request_id, target, code),
            code_expires_at=now + code_ttl,
            expires_at=now + record_ttl,
            link_hash=_link_hash(link) if link else "",
            link_expires_at=now + link_ttl if link else 0.0,
            user_id=user_id,
            auth_epoch=auth_epoch,
            data=data or {},
        )
        await self.rt.ephemeral.set(_key(kind, request_id), _encode(record), record_ttl)
        if link:
            pointer = f"{kind}:{request_id}".encode()
            await self.rt.ephemeral.set(f"link:{record.link_hash}", pointer, link_ttl)
        await self.rt.ephemeral.delete(f"attempts:{kind}:{request_id}")
        return Issued(record=record, code=code, link=link)

    async def peek(self, kind: str, request_id: str) -> Record | None:
        """Return a live record without using it up."""
        found = await self._read(kind, request_id)
        return None if found is None else found[0]

    async def redeem_code(self, kind: str, request_id: str | None, target: str, code: str) -> Record:
        """Use up the record and return it, or raise ``InvalidOrExpiredCode``.

        A wrong or missing request id names no record and counts no try.
        """
        found = await self._read(kind, request_id or "")
        if found is None:
            raise errors.InvalidOrExpiredCode
        record, stored = found
        await self._count_try(record)
        presented = self._digests(kind, record.request_id, target, code)
        matches = [hmac.compare_digest(record.code_digest, candidate) for candidate in presented]
        if not any(matches) or record.code_expires_at <= self.rt.clock():
            raise errors.InvalidOrExpiredCode
        if not await self.rt.ephemeral.take_if(_key(kind, record.request_id), stored):
            raise errors.InvalidOrExpiredCode
        return record

    async def find_link(self, kind: str, token: str) -> Record:
        """Return the record a link token belongs to without using it up, or ``InvalidOrExpiredToken``."""
        pointer = await self.rt.ephemeral.get(f"link:{_link_hash(token)}")
        found_kind, _, request_id = (pointer or b"").decode().partition(":")
        found = await self._read(kind, request_id) if found_kind == kind else None
        if found is None or found[0].link_hash != _link_hash(token):
            raise errors.InvalidOrExpiredToken
        if found[0].link_expires_at <= self.rt.clock():
            raise errors.InvalidOrExpiredToken
        return found[0]

    async def redeem_link(self, kind: str, token: str) -> Record:
        """Use up the record of a link token and return it, or raise ``InvalidOrExpiredToken``."""
        record = await self.find_link(kind, token)
        if not await self.rt.ephemeral.take_if(_key(kind, record.request_id), _encode(record)):
            raise errors.InvalidOrExpiredToken
        return record

    async def put_back(self, record: Record) -> None:
        """Restore a record whose action failed for an infrastructure reason; never over a newer one."""
        left = record.expires_at - self.rt.clock()
        if left > 0:
            key = _key(record.kind, record.request_id)
            await self.rt.ephemeral.set(key, _encode(record), left, only_if_absent=True)

    async def _read(self, kind: str, request_id: str) -> tuple[Record, bytes] | None:
        if not request_id or not request_id.isascii():
            return None
        stored = await self.rt.ephemeral.get(_key(kind, request_id))
        if stored is None:
            return None
        record = _decode(stored)
        return (record, stored) if record.expires_at > self.rt.clock() else None

    async def _count_try(self, record: Record) -> None:
        """Count a guess; beyond the cap no further one is looked at, right or wrong.

        The record is left to its end: deleting it here would take it from a right guess that is under way.
        """
        left = max(record.expires_at - self.rt.clock(), 1.0)
        counter = f"attempts:{record.kind}:{record.request_id}"
        if await self.rt.ephemeral.incr(counter, left) > self.rt.config.max_code_attempts:
            raise errors.InvalidOrExpiredCode

    def _digest(self, kind: str, request_id: str, target: str, code: str) -> str:
        return codes.digest(self.rt.keys.current(), kind, f"{request_id}|{target}", code)

    def _digests(self, kind: str, request_id: str, target: str, code: str) -> list[str]:
        return codes.digests(self.rt.keys.current(), kind, f"{request_id}|{target}", code)

    def identifier(self, kind: str, target: str) -> str:
        """Return the keyed digest under which an address stands in the store: the store learns none."""
        key = self.rt.keys.current().derive("identifiers")
        return hmac.new(key, f"{kind}|{target}".encode(), hashlib.sha256).hexdigest()[:32]


def _key(kind: str, request_id: str) -> str:
    return f"{kind}:{request_id}"


def _link_hash(token: str) -> str:
    """256 random bits need no key: their plain digest cannot be searched."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
