"""Enrollment: proof that an address or number is the user's, before a second factor relies on it.

Records stand under the user's id: nobody else can replace or burn them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.base.codes import OneTimeCodes
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.factors.delivery import Delivery, contact_kind
from authkit_issuer.domains.factors.queries import Factor
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

SETUP = "2fa_setup"

Restore = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Enrollment:
    """Sends set-up codes and keeps what they proved."""

    rt: Runtime

    async def send(self, person: Factor, method: str, destination: str, client: Client | None) -> None:
        """Send a set-up code to the destination; it replaces the one before."""
        self.rt.refuse_joining("sending a set-up code")
        limits = SendingLimits(self.rt)
        Messages(self.rt).require(contact_kind(method))
        await limits.check(SETUP, person.user_id, client)
        # Whoever asks, one number is not sent to without end: accounts are cheap, messages are not.
        await limits.check(f"{SETUP}_to", destination, client, cooldown=False)
        issued = await OneTimeCodes(self.rt).issue(
            SETUP,
            target=f"{method}:{destination}",
            code_ttl=self.rt.config.code_ttl,
            record_ttl=self.rt.config.code_ttl,
            request_id=person.user_id,
            user_id=person.user_id,
            auth_epoch=person.auth_epoch,
        )
        await Delivery(self.rt).setup_code(method, destination, person.username, issued.code)

    async def verify(self, person: Factor, method: str, destination: str, code: str) -> bool:
        """Use a set-up code up; the destination then counts as proved for as long as a code lives."""
        try:
            await self._redeem(person, method, destination, code)
        except errors.InvalidOrExpiredCode:
            return False
        await self.rt.ephemeral.set(
            _key(person), _proved(person, method, destination), self.rt.config.code_ttl
        )
        return True

    async def use(self, person: Factor, method: str, destination: str, code: str | None) -> Restore:
        """Use up the proof, or the code itself, and return what restores it.

        Raises ``InvalidOrExpiredCode``; without a code and a proof ``PhoneNotVerified`` or
        ``EmailNotVerified``.
        """
        if code is not None:
            return await self._redeem(person, method, destination, code)
        key, proof = _key(person), _proved(person, method, destination)
        if not await self.rt.ephemeral.take_if(key, proof):
            raise errors.PhoneNotVerified if method == "sms" else errors.EmailNotVerified
        store, ttl = self.rt.ephemeral, self.rt.config.code_ttl
        return lambda: store.set(key, proof, ttl, only_if_absent=True)

    async def _redeem(self, person: Factor, method: str, destination: str, code: str) -> Restore:
        one_time = OneTimeCodes(self.rt)
        record = await one_time.redeem_code(SETUP, person.user_id, f"{method}:{destination}", code)
        if record.auth_epoch != person.auth_epoch:
            raise errors.InvalidOrExpiredCode
        return lambda: one_time.restore(record)


def _key(person: Factor) -> str:
    return f"{SETUP}_ok:{person.user_id}"


def _proved(person: Factor, method: str, destination: str) -> bytes:
    return f"{person.auth_epoch}|{method}:{destination}".encode()
