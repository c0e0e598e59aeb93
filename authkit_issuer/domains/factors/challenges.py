"""Challenges: sign-ins that wait for their second factor.

A challenge is 256 random bits; its record is stored under the digest of it, so that any number of sign-ins of
one user can wait side by side. The code is bound to its challenge. A record is void when the user's epoch or
the address it was sent to has changed, after five wrong tries, or when all of the user's were cleared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import Issued, Lives, OneTimeCodes, Record
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.domains.factors.backup_codes import BackupCodes
from authkit_issuer.domains.factors.delivery import Delivery, masked
from authkit_issuer.domains.factors.queries import UserFactor
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import codes

CHALLENGE = "2fa_challenge"
CODE = "2fa_code"
LIMIT = "2fa_login"
"""The sending limit of the codes of sign-ins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenged:
    """A sign-in that waits for its second factor. ``destination`` is masked."""

    user_id: str
    challenge: str = field(repr=False)
    method: str
    destination: str
    code_sent: bool = True
    """False beyond the sending limits: the code that was sent last still works, or a backup code."""

    @property
    def metadata(self) -> dict[str, object]:
        """What the client needs to go on."""
        return {
            "user_id": self.user_id,
            "method": self.method,
            "destination": self.destination,
            "challenge": self.challenge,
            "code_sent": self.code_sent,
        }

    def required(self) -> errors.TwoFactorRequired:
        """Return the refusal that asks for the second factor."""
        return errors.TwoFactorRequired(metadata=self.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What waits for the second factor: the first one, and what the session is for."""

    first: FirstFactor
    org: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict[str, object])

    def to_data(self) -> dict[str, str]:
        """Return it as it is stored."""
        return {
            "method": self.first.method,
            "amr": " ".join(self.first.amr),
            "org": self.org or "",
            "extra": msgspec.json.encode(dict(self.extra)).decode(),
        }

    @classmethod
    def of(cls, record: Record) -> SignIn:
        """Read it back."""
        data = record.data
        return cls(
            first=FirstFactor(
                user_id=record.user_id,
                auth_epoch=record.auth_epoch,
                two_factor=True,
                method=data["method"],
                amr=tuple(data["amr"].split()),
            ),
            org=data["org"] or None,
            extra=msgspec.json.decode(data["extra"], type=dict[str, object]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """A challenge that was just used up: the sign-in that waited, and how the challenge was met."""

    record: Record = field(repr=False)
    sign_in: SignIn
    factor: str
    """``email``, ``sms`` or ``backup_code``."""

    @property
    def amr(self) -> Sequence[str]:
        """Authentication methods (RFC 8176 section 2) of both factors."""
        second = "sms" if self.factor == "sms" else "otp"
        return tuple(dict.fromkeys((*self.sign_in.first.amr, second, "mfa")))


@dataclass(frozen=True, slots=True)
class Challenges:
    """Stores, sends, finds and redeems challenges and the codes that go with them."""

    rt: Runtime

    async def send(self, factor: UserFactor, sign_in: SignIn, client: Client | None) -> Challenged:
        """Store a challenge, then send its code.

        Messages are limited and sign-ins are not: beyond the limits nothing is sent, and the challenge takes
        the code that was sent last, or a backup code. When sending fails, the error carries the challenge, so
        that a backup code still helps.
        """
        destination = factor.destination or ""
        challenge, record = await self._new(factor, sign_in, destination)
        issued = await self._offer(record, client)
        challenged = Challenged(
            user_id=factor.user_id,
            challenge=challenge,
            method=factor.method,
            destination=masked(destination) if destination else "",
            code_sent=issued.to_be_sent,
        )
        try:
            if not destination:
                raise errors.TwoFactorMethodUnavailable
            if issued.to_be_sent:
                await Delivery(self.rt).login_code(factor.method, destination, factor.username, issued.code)
        except (errors.Conflict, errors.NotConfigured, errors.DeliveryFailed) as refusal:
            refusal.metadata.update(challenged.metadata | {"code_sent": False})
            raise
        return challenged

    async def _offer(self, record: Record, client: Client | None) -> Issued:
        one_time, lives = OneTimeCodes(self.rt), self._lives()
        if not record.data["destination"]:
            return await one_time.store(record, lives)
        device = Devices(self.rt).trusted(client, record.user_id, record.auth_epoch)
        # No cool-down: a second sign-in must not have to wait for the first.
        return await one_time.offer(record, lives, limit=LIMIT, client=client, device=device, cooldown=False)

    async def create(self, factor: UserFactor, sign_in: SignIn) -> str:
        """Store a challenge without a destination, which no code of its own fits, and return it."""
        challenge, record = await self._new(factor, sign_in, "")
        await OneTimeCodes(self.rt).store(record, self._lives())
        return challenge

    async def _new(self, factor: UserFactor, sign_in: SignIn, destination: str) -> tuple[str, Record]:
        """Return a new challenge and its record, which is not stored yet."""
        challenge = codes.new_token(self.rt.random_bytes)
        record = Record(
            kind=CHALLENGE,
            target=factor.user_id,
            request_id=_digest(challenge),
            user_id=factor.user_id,
            auth_epoch=factor.auth_epoch,
            data={
                **sign_in.to_data(),
                "factor": factor.method,
                "destination": destination,
                "round": await self._round(factor.user_id),
            },
        )
        return challenge, record

    def _lives(self) -> Lives:
        return Lives(code=self.rt.config.code_ttl, record=self.rt.config.two_factor_ttl)

    async def find(self, user_id: str, challenge: str) -> Record | None:
        """Return a live challenge of this user without using it up."""
        owner = identifiers.uuid_or_none(user_id)
        record = await OneTimeCodes(self.rt).peek(CHALLENGE, _digest(challenge)) if owner else None
        if record is None or record.user_id != owner or await OneTimeCodes(self.rt).is_void(record):
            return None
        # Without a mark, nothing was cleared while any live challenge could have been waiting.
        if await self._round(record.user_id) not in {"", record.data["round"]}:
            return None
        factor = await self.rt.maybe(sql.FACTOR, owner)
        return record if _is_current(record, factor) else None

    async def redeem(
        self, user_id: str, challenge: str, code: str, client: Client | None, *, is_backup: bool
    ) -> Redeemed:
        """Use a challenge up with its code, or with a backup code that is left for the caller to use up.

        The sending limits of the user begin at zero again. Of parallel callers one succeeds. Raises
        ``InvalidChallenge``, ``InvalidOrExpiredCode``.
        """
        record = await self.find(user_id, challenge)
        if record is None:
            raise errors.InvalidChallenge
        one_time = OneTimeCodes(self.rt)
        factor = record.data["factor"]
        if record.data["destination"] and not is_backup:
            await one_time.redeem_code(CHALLENGE, record.request_id, record.target, code)
        else:
            await one_time.count_try(record)
            if is_backup:
                factor = "backup_code"
                fits = await BackupCodes(self.rt).holds(record.user_id, code)
            else:
                fits = await self.redeem_user_code(record.user_id, code)
            if not fits:
                raise errors.InvalidOrExpiredCode
            if not await one_time.spend(record):
                raise errors.InvalidChallenge
        async with one_time.restore_on_outage(record):
            device = Devices(self.rt).trusted(client, record.user_id, record.auth_epoch)
            await SendingLimits(self.rt).forget(LIMIT, record.user_id, client, device=device)
        return Redeemed(record=record, sign_in=SignIn.of(record), factor=factor)

    async def issue_user_code(self, factor: UserFactor, destination: str) -> Issued:
        """Store a code that belongs to the user and to no challenge; it replaces the one before."""
        config = self.rt.config
        return await OneTimeCodes(self.rt).issue(
            CODE,
            target=f"{factor.method}:{destination}",
            code_ttl=config.code_ttl,
            record_ttl=config.code_ttl,
            request_id=factor.user_id,
            user_id=factor.user_id,
            auth_epoch=factor.auth_epoch,
            data={"factor": factor.method, "destination": destination},
        )

    async def redeem_user_code(self, user_id: str, code: str) -> bool:
        """Use up the user's own code; False if it is wrong or no longer valid."""
        record = await OneTimeCodes(self.rt).peek(CODE, user_id)
        if record is None or not _is_current(record, await self.rt.maybe(sql.FACTOR, user_id)):
            return False
        try:
            await OneTimeCodes(self.rt).redeem_code(CODE, user_id, record.target, code)
        except errors.InvalidOrExpiredCode:
            return False
        return True

    async def clear(self, user_id: str) -> None:
        """End every challenge and the code of a user."""
        mark = codes.new_token(self.rt.random_bytes).encode()
        await self.rt.ephemeral.set(_round_key(user_id), mark, self.rt.config.two_factor_ttl)
        await self.rt.ephemeral.delete(f"{CODE}:{user_id}")
        await OneTimeCodes(self.rt).end_sharing(CHALLENGE, user_id)

    async def _round(self, user_id: str) -> str:
        return (await self.rt.ephemeral.get(_round_key(user_id)) or b"").decode()


def _is_current(record: Record, factor: UserFactor | None) -> bool:
    """True if the account is still as it was when the record was made."""
    if factor is None or not factor.allowed or not factor.enabled or factor.auth_epoch != record.auth_epoch:
        return False
    destination = record.data["destination"]
    return not destination or (factor.method, factor.destination) == (record.data["factor"], destination)


def _digest(challenge: str) -> str:
    """Return the plain digest of a challenge: 256 random bits need no key."""
    return hashlib.sha256(challenge.encode("utf-8", "replace")).hexdigest()


def _round_key(user_id: str) -> str:
    return f"2fa_round:{user_id}"
