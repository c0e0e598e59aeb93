"""One-time codes and links: issued within limits, bound to a target and a purpose, redeemed by one winner.

A record is stored in the ephemeral store under ``<kind>:<request id>``. The request id is opaque, random and
returned to the caller, so an attacker who knows only the address can neither replace a record nor use up its
tries (OWASP ASVS 6.6.2, 6.6.3). Only keyed digests of codes are stored.

The order of a check is fixed: read, count the try and the guess, compare in constant time, take. Counting
first keeps parallel guesses under the limits. Taking by value lets exactly one of any number of right answers
win. ``guesses`` bounds the wrong ones, ``security.codes`` makes codes, and ``base.sending_limits`` limits how
many are sent.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import msgspec

from authkit_issuer import errors
from authkit_issuer.domains.base import stored_values
from authkit_issuer.domains.base.devices import Device
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.base.sms_limits import SmsLimits
from authkit_issuer.domains.codes.guesses import Guesses
from authkit_issuer.domains.codes.records import (
    TRIES,
    Issued,
    Lives,
    Record,
    key_of,
    link_hash,
    unsealed,
)
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import codes
from authkit_issuer.security.token_codec import random_text

__all__ = ["NO_RECORD", "TRIES", "Issued", "Lives", "OneTimeCodes", "Record", "on_outage"]

NO_RECORD = "-"
"""A request id that no record has; a look-up of it costs as much as any other."""

_HOUR = 3600.0


@asynccontextmanager
async def on_outage(undo: Callable[[], Awaitable[object]], *also: type[Exception]) -> AsyncGenerator[None]:
    """Run ``undo``, shielded from cancellation, if the block ends with ``Unavailable`` or is cancelled.

    Args:
        undo: Makes what was redeemed valid again.
        also: Further errors after which it must stay valid.

    """
    caught: tuple[type[BaseException], ...] = (errors.Unavailable, asyncio.CancelledError, *also)
    try:
        yield
    except caught:
        await asyncio.shield(undo())
        raise


@dataclass(frozen=True, slots=True)
class OneTimeCodes:
    """Issues and redeems one-time codes and links."""

    rt: Runtime

    def new_request_id(self) -> str:
        """Return a new opaque id of 128 random bits; unknown addresses get one too."""
        return random_text(self.rt.random_bytes, 16)

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
        """Store a new record and return it with its secrets; it replaces the one under the same request id.

        The TTLs are in seconds; a ``link_ttl`` of 0 makes no link. ``target`` is the contact or other subject
        that the code is bound to.
        """
        record = Record(
            kind=kind,
            request_id=request_id or self.new_request_id(),
            target=target,
            user_id=user_id,
            auth_epoch=auth_epoch,
            data=data or {},
        )
        return await self.store(record, Lives(code=code_ttl, record=record_ttl, link=link_ttl))

    async def store(self, record: Record, lives: Lives) -> Issued:
        """Store a record with new secrets and return it with them, as ``issue``."""
        issued = await self._make(record, lives)
        await self._store(issued, lives)
        return issued

    async def store_without_code(self, record: Record, life: float) -> Issued:
        """Store a record that only ``spend`` uses up, for ``life`` seconds."""
        made = msgspec.structs.replace(
            record,
            expires_at=self.rt.clock() + life,
            secret_id=self.rt.keys.current().active_secret,
        )
        await self.rt.ephemeral.set(made.key, self._sealed(made), life)
        return Issued(record=made, code="", link="")

    async def offer(
        self,
        record: Record,
        lives: Lives,
        *,
        limit: str,
        client: Client | None,
        device: Device | None = None,
        cooldown: bool = True,
    ) -> Issued:
        """Store a record for a caller that is not signed in, beyond the sending limits too.

        1. Within the limits the record gets a code of its own, to be sent.
        2. Beyond them nothing is to be sent. A caller that asks again within the cool-down (a double click, a
           corrected form) still has the earlier message, and its code works with either request.
        3. Each request has ``max_code_attempts`` tries, which no other caller can use up. A shared code is
           used up for all of them together.
        4. If no code was sent there is none to guess: only ``renew`` gives the record one.

        The calls to the store do not depend on which accounts exist. ``device`` is a known device of the
        account, which has limits of its own.
        """
        issued = await self._make(record, lives)
        newest = self._newest(record.kind, record.target)
        wait = await SendingLimits(self.rt).count(
            limit, record.target, client, device=device, cooldown=cooldown
        )
        if not wait:
            await self._store(issued, lives)
            if lives.code:
                await self.rt.ephemeral.set(newest, record.request_id.encode(), lives.code)
            return issued
        pointer = await self.rt.ephemeral.get(newest)
        sent = await self.peek(record.kind, stored_values.text(pointer) or NO_RECORD)
        if sent is not None and sent.went_where(record):
            made = issued.record.sharing_code_of(sent)
        else:
            made = issued.record.without_code()
        beyond = Issued(record=made, code="", link="")
        await self._store(beyond, lives)
        return beyond

    async def are_stored(self, kinds: Sequence[str], request_id: str) -> list[bool]:
        """Return for each kind whether there is a record, read or not, in one call to the store."""
        found = await self.rt.ephemeral.get_many([key_of(kind, request_id) for kind in kinds])
        return [bool(stored) for stored in found]

    async def renew(self, record: Record, lives: Lives) -> Issued | None:
        """Give a live record new secrets and a new lifetime; None if it was used or replaced meanwhile.

        Only the record that was read is replaced: one that was just redeemed does not come back.
        """
        issued = await self._make(msgspec.structs.replace(record, code_of=""), lives)
        old, new = self._sealed(record), self._sealed(issued.record)
        if not await self.rt.ephemeral.replace_if(record.key, old, new, lives.record):
            return None
        await self._point_link(issued, lives)
        await self.rt.ephemeral.set(
            self._newest(record.kind, record.target), record.request_id.encode(), lives.code
        )
        return issued

    async def forget(self, kind: str, request_id: str) -> None:
        """Drop a record; does nothing without one.

        An empty value takes its place for an hour, and ``restore`` writes nothing over it. So a record that
        is being redeemed at this moment stays dropped, even if that redemption fails.
        """
        await self.rt.ephemeral.set(key_of(kind, request_id), b"", _HOUR)

    async def void(self, kind: str, request_id: str) -> None:
        """End a request whose successor was sent, and its code for other requests that share it.

        A code that it shares itself is another client's, and stays. The calls to the store are the same
        whether or not there is a record.
        """
        record = await self.peek(kind, request_id)
        used = record.used_key if record is not None and not record.code_of else f"used:{kind}:{NO_RECORD}"
        await self.rt.ephemeral.set(used, b"1", self.rt.config.code_ttl)
        await self.forget(kind, request_id)

    async def _make(self, record: Record, lives: Lives) -> Issued:
        now, long = self.rt.clock(), await Guesses(self.rt).are_many(record)
        code = (codes.new_long_code if long else codes.new_code)(self.rt.random_bytes)
        link = codes.new_token(self.rt.random_bytes) if lives.link else ""
        made = msgspec.structs.replace(
            record,
            code_digest=self._digest(record.kind, record.request_id, record.target, code),
            code_expires_at=now + lives.code,
            long=long,
            expires_at=now + lives.record,
            link_hash=link_hash(link) if link else "",
            link_expires_at=now + lives.link if link else 0.0,
            secret_id=self.rt.keys.current().active_secret,
        )
        return Issued(record=made, code=code, link=link)

    async def _store(self, issued: Issued, lives: Lives) -> None:
        await self.rt.ephemeral.set(issued.record.key, self._sealed(issued.record), lives.record)
        await self._point_link(issued, lives)

    async def _point_link(self, issued: Issued, lives: Lives) -> None:
        if issued.link:
            pointer = f"{issued.record.kind}:{issued.record.request_id}".encode()
            await self.rt.ephemeral.set(f"link:{issued.record.link_hash}", pointer, lives.link)

    async def keep_shared(self, record: Record) -> None:
        """Keep the code of a record that is no longer asked for, if other requests of its target share it."""
        left, newest = record.code_expires_at - self.rt.clock(), self._newest(record.kind, record.target)
        own = record.request_id.encode()
        if left > 0 and await self.rt.ephemeral.get(newest) == own:
            kept = record.kept_as(self.new_request_id())
            await self.rt.ephemeral.set(kept.key, self._sealed(kept), left)
            await self.rt.ephemeral.replace_if(newest, own, kept.request_id.encode(), left)

    async def end_sharing(self, kind: str, target: str) -> None:
        """Share no code that was sent to this target so far."""
        await self.rt.ephemeral.delete(self._newest(kind, target))

    def _newest(self, kind: str, target: str) -> str:
        """The key of the pointer to the request whose code was sent to an address last."""
        return f"sent:{kind}:{identifier_digest(self.rt, kind, target)}"

    async def peek(self, kind: str, request_id: str) -> Record | None:
        """Return a live record without using it up, or None."""
        found = await self._read(kind, request_id)
        return None if found is None else found[0]

    async def redeem_code(self, kind: str, request_id: str | None, target: str | None, code: str) -> Record:
        """Use up the record and return it, or raise ``InvalidOrExpiredCode``.

        For what ``remember`` keeps, the right code again raises ``AlreadyConfirmed``.

        Args:
            kind: The purpose of the code.
            request_id: A wrong or missing one names no record and counts no try.
            target: The target that the caller names. None for the target of the record; only safe where the
                request id belongs to a signed-in user, or to the client that named the target.
            code: The code that the caller presents.
        """
        found = await self._read(kind, request_id or "")
        if found is None:
            await self._refuse_done(kind, request_id or "", target, code)
            raise errors.InvalidOrExpiredCode
        record, stored = found
        await Guesses(self.rt).count_try(record)
        if record.code_expires_at <= self.rt.clock():
            raise errors.InvalidOrExpiredCode
        wanted = record.target if target is None else target
        if not await self._guess(record, wanted, code):
            raise errors.InvalidOrExpiredCode
        if not await self._take(record, stored):
            raise errors.InvalidOrExpiredCode
        return record

    async def _take(self, record: Record, stored: bytes) -> bool:
        """Use up the code, which other requests may share, and the record; True for the one winner."""
        left = max(record.code_expires_at - self.rt.clock(), 1.0)
        if not await self.rt.ephemeral.set(record.used_key, b"1", left, only_if_absent=True):
            return False
        async with on_outage(lambda: self.rt.ephemeral.delete(record.used_key)):
            return await self.rt.ephemeral.take_if(record.key, stored)

    async def _guess(self, record: Record, target: str, code: str) -> bool:
        """Count a guess and return if it is right; an outage takes no try from a right one."""
        fits = self._fits(record, target, code)

        async def give_back() -> None:
            if fits:
                await self.rt.ephemeral.delete(record.tries_key)

        async with on_outage(give_back):
            allowed = await Guesses(self.rt).count(record)
            if fits and allowed:
                await Guesses(self.rt).forget(record)
                await SmsLimits(self.rt).used(record.data.get("destination") or record.target)
        return fits and allowed

    def _fits(self, record: Record, target: str, code: str) -> bool:
        presented = self._digests(record.kind, record.coded_for, target, code)
        matches = [hmac.compare_digest(record.code_digest, candidate) for candidate in presented]
        return any(matches)

    async def spend(self, record: Record) -> bool:
        """Use up a record without its code; True for the one caller that did."""
        return await self.rt.ephemeral.take_if(record.key, self._sealed(record))

    async def find_link(self, kind: str, token: str) -> Record:
        """Return the record a link token belongs to without using it up, or ``InvalidOrExpiredToken``."""
        pointer = await self.rt.ephemeral.get(f"link:{link_hash(token)}")
        found_kind, _, request_id = stored_values.text(pointer).partition(":")
        found = await self._read(kind, request_id) if found_kind == kind else None
        if found is None or not hmac.compare_digest(found[0].link_hash, link_hash(token)):
            raise errors.InvalidOrExpiredToken
        if found[0].link_expires_at <= self.rt.clock():
            raise errors.InvalidOrExpiredToken
        return found[0]

    async def redeem_link(self, kind: str, token: str, *, with_code: bool = False) -> Record:
        """Use up the record of a link token and return it, or raise ``InvalidOrExpiredToken``.

        ``with_code`` uses up the code of the same message too, for other requests that share it.
        """
        record = await self.find_link(kind, token)
        stored = self._sealed(record)
        taken = self._take(record, stored) if with_code else self.rt.ephemeral.take_if(record.key, stored)
        if not await taken:
            raise errors.InvalidOrExpiredToken
        return record

    async def remember(self, record: Record) -> None:
        """Keep a record, without its data, whose code has done its work, for ``redeem_code``."""
        left = record.code_expires_at - self.rt.clock()
        done = msgspec.structs.replace(record, kind=f"done:{record.kind}", data={})
        # The work is done either way.
        with suppress(errors.EphemeralStoreUnavailable):
            if left > 0:
                await self.rt.ephemeral.set(done.key, self._sealed(done), left)

    async def _refuse_done(self, kind: str, request_id: str, target: str | None, code: str) -> None:
        """Raise ``AlreadyConfirmed`` if this very code has done its work; otherwise it counts a try."""
        found = await self._read(f"done:{kind}", request_id)
        if found is None:
            return
        record = msgspec.structs.replace(found[0], kind=kind)
        await Guesses(self.rt).count_try(record)
        if self._fits(record, record.target if target is None else target, code):
            raise errors.AlreadyConfirmed

    def restore_on_outage(self, record: Record) -> AbstractAsyncContextManager[None]:
        """Restore a redeemed record if storage fails or the caller leaves inside the block."""
        return on_outage(lambda: self.restore(record))

    async def restore(self, record: Record) -> None:
        """Store a redeemed record again, never over a newer one.

        Its tries start at zero again: the caller had the right proof and guessed nothing.
        """
        left = record.expires_at - self.rt.clock()
        if left > 0:
            await self.rt.ephemeral.set(record.key, self._sealed(record), left, only_if_absent=True)
            await self.rt.ephemeral.delete(record.tries_key)
            await self.rt.ephemeral.delete(record.used_key)

    async def _read(self, kind: str, request_id: str) -> tuple[Record, bytes] | None:
        if not request_id or not request_id.isascii():
            return None
        key = key_of(kind, request_id)
        stored = await self.rt.ephemeral.get(key)
        record = unsealed(self.rt.keys.current(), key, stored) if stored else None
        if stored is None or record is None or record.expires_at <= self.rt.clock():
            return None
        return record, stored

    def _sealed(self, record: Record) -> bytes:
        return record.sealed(self.rt.keys.current())

    def _digest(self, kind: str, request_id: str, target: str, code: str) -> str:
        return codes.digest(self.rt.keys.current(), kind, f"{request_id}|{target}", codes.typed(code))

    def _digests(self, kind: str, request_id: str, target: str, code: str) -> list[str]:
        return codes.digests(self.rt.keys.current(), kind, f"{request_id}|{target}", codes.typed(code))
