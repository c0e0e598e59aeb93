"""Challenges: sign-ins that wait for their second factor.

A challenge is 256 random bits; its record is stored under the digest of it, so that any number of sign-ins of
one user can wait side by side. A code that is sent is bound to its challenge. The record holds the factor
that is asked for; ``select`` replaces it by another one of the user's. A record is void when the user's epoch
or the address it was sent to has changed, after five wrong tries, or when all of the user's were cleared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base import stored_values
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.first_factor import UseUp
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.guesses import Guesses
from authkit_issuer.domains.codes.one_time import TRIES, Issued, Lives, OneTimeCodes, Record
from authkit_issuer.domains.factors import backup_codes, totp_codes
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.domains.factors.backup_codes import BackupCodes
from authkit_issuer.domains.factors.delivery import Delivery, masked
from authkit_issuer.domains.factors.kinds import EMAIL_CODE, TOTP, kind_of, methods_of, usable_factors
from authkit_issuer.domains.factors.queries import Factor, UserFactors
from authkit_issuer.domains.factors.records import BACKUP_CODE, Challenged, Redeemed, SignIn
from authkit_issuer.domains.factors.totp_codes import App
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import codes

CHALLENGE = "2fa_challenge"
CODE = "2fa_code"
LIMIT = "2fa_login"
"""The sending limit of the codes of sign-ins."""


@dataclass(frozen=True, slots=True)
class Challenges:
    """Stores, sends, finds and redeems challenges and the codes that go with them."""

    rt: Runtime

    async def send(self, user: UserFactors, sign_in: SignIn, client: Client | None) -> Challenged:
        """Store a challenge for the default factor, then send its code.

        A factor that cannot be verified now is passed over. Messages are limited and sign-ins are not: beyond
        the limits nothing is sent, and the challenge takes the code that was sent last, another factor, or a
        backup code. When sending fails, the error carries the challenge, so that those still help.
        """
        challenge = codes.new_token(self.rt.random_bytes)
        first = sign_in.first
        others = [factor for factor in user.factors if factor.kind != first.method]
        factors = usable_factors(self.rt, user, after=first) or others
        factor, mark = factors[0] if factors else None, await self._round(user.user_id)
        record = self._record(challenge, user, sign_in, factor, mark)
        return await self._issue(challenge, record, user, self._lives(), client)

    async def select(self, user_id: str, challenge: str, factor_id: str, client: Client | None) -> Challenged:
        """Ask for another factor of the user from now on, and send its code.

        The challenge keeps its end and its tries. Raises as ``send``, and ``InvalidChallenge``,
        ``SecondFactorNotFound``.
        """
        found = await self._find(user_id, challenge)
        if found is None:
            raise errors.InvalidChallenge
        record, user = found
        factor = user.factor(factor_id)
        if factor is None:
            raise errors.SecondFactorNotFound
        if factor not in usable_factors(self.rt, user, after=SignIn.of(record).first):
            raise errors.TwoFactorMethodUnavailable
        left = record.expires_at - self.rt.clock()
        lives = Lives(code=min(left, self.rt.config.code_ttl), record=left)
        if not await OneTimeCodes(self.rt).spend(record):
            raise errors.InvalidChallenge
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            # Beyond the sending limits, another sign-in of the user takes the code that was sent last.
            await OneTimeCodes(self.rt).keep_shared(record)
            new = self._record(challenge, user, SignIn.of(record), factor, record.data["round"])
            return await self._issue(challenge, new, user, lives, client)

    async def _issue(
        self, challenge: str, record: Record, user: UserFactors, lives: Lives, client: Client | None
    ) -> Challenged:
        issued = await self._offer(record, lives, client)
        kind, destination = kind_of(record.data["factor"]), record.data["destination"]
        challenged = Challenged(
            user_id=user.user_id,
            challenge=challenge,
            method=kind.name,
            destination=masked(destination) if destination else "",
            code_sent=issued.to_be_sent and bool(destination),
            factor_id=record.data["factor_id"] or None,
            methods=methods_of(self.rt, user, after=SignIn.of(record).first),
        )
        try:
            if not destination and (kind.contact is not None or not kind.available(self.rt)):
                raise errors.TwoFactorMethodUnavailable
            if kind.contact is not None and issued.to_be_sent:
                await Delivery(self.rt).login_code(kind.contact, destination, user.username, issued.code)
        except (errors.Conflict, errors.NotConfigured, errors.DeliveryFailed) as refusal:
            refusal.metadata.update(challenged.metadata | {"code_sent": False})
            raise
        return challenged

    async def _offer(self, record: Record, lives: Lives, client: Client | None) -> Issued:
        one_time = OneTimeCodes(self.rt)
        if not record.data["destination"]:
            return await one_time.store_without_code(record, lives.record)
        device = Devices(self.rt).trusted(client, record.user_id, record.auth_epoch)
        # No cool-down: a second sign-in must not have to wait for the first.
        return await one_time.offer(record, lives, limit=LIMIT, client=client, device=device, cooldown=False)

    async def create(self, user: UserFactors, sign_in: SignIn) -> str:
        """Store a challenge for the user's app, or for the code of ``issue_user_code``, and return it."""
        challenge = codes.new_token(self.rt.random_bytes)
        factors = usable_factors(self.rt, user)
        app = factors[0] if factors and factors[0].kind == TOTP.name else None
        record = self._record(challenge, user, sign_in, app, await self._round(user.user_id))
        await OneTimeCodes(self.rt).store_without_code(record, self._lives().record)
        return challenge

    def _record(
        self, challenge: str, user: UserFactors, sign_in: SignIn, factor: Factor | None, mark: str
    ) -> Record:
        kind = kind_of(factor.kind) if factor else EMAIL_CODE
        app = App.of(user, factor, self.rt.clock) if factor and kind is TOTP else None
        return Record(
            kind=CHALLENGE,
            target=user.user_id,
            request_id=_digest(challenge),
            user_id=user.user_id,
            auth_epoch=user.auth_epoch,
            data={
                **sign_in.to_data(),
                "factor": kind.name,
                "factor_id": factor.id if factor else "",
                "destination": kind.destination(user, factor) if factor and kind.contact else "",
                "round": mark,
                # Another code for the same challenge brings no new tries.
                TRIES: "all",
                **(app.to_data() if app else {}),
            },
        )

    def _lives(self) -> Lives:
        return Lives(code=self.rt.config.code_ttl, record=self.rt.config.two_factor_ttl)

    async def find(self, user_id: str, challenge: str) -> Record | None:
        """Return a live challenge of this user without using it up."""
        found = await self._find(user_id, challenge)
        return None if found is None else found[0]

    async def _find(self, user_id: str, challenge: str) -> tuple[Record, UserFactors] | None:
        record = await self._peek(user_id, challenge)
        user = await self._user_of(record) if record else None
        return (record, user) if record and user else None

    async def _user_of(self, record: Record) -> UserFactors | None:
        """Return the user of a challenge; None if the account is no longer as it was."""
        user = await self.rt.maybe(sql.USER_FACTORS, record.user_id)
        return user if user is not None and _is_current(record, user) else None

    async def _peek(self, user_id: str, challenge: str) -> Record | None:
        """Return a challenge that the store holds; whether the account is still the same is not read."""
        owner = identifiers.uuid_or_none(user_id)
        record = await OneTimeCodes(self.rt).peek(CHALLENGE, _digest(challenge)) if owner else None
        if record is None or record.user_id != owner or await Guesses(self.rt).is_void(record):
            return None
        # Without a mark, nothing was cleared while any live challenge could have been waiting.
        return record if await self._round(record.user_id) in {"", record.data["round"]} else None

    async def redeem(
        self, user_id: str, challenge: str, code: str, client: Client | None, *, is_backup: bool
    ) -> Redeemed:
        """Use a challenge up with its code. The caller runs ``use_up`` of the result, which is the proof.

        The sending limits of the user begin at zero again. Of parallel callers one succeeds. Raises
        ``InvalidChallenge``, ``InvalidOrExpiredCode``, ``TooManyRequests``.
        """
        record = await self._peek(user_id, challenge)
        app = App.of_record(record) if record and not is_backup else None
        if record is not None and app is not None:
            # The statement that accepts the code of an app looks at the account as well.
            return await self._redeem_app_code(record, app, code)
        if record is None or await self._user_of(record) is None:
            raise errors.InvalidChallenge
        if is_backup or not record.data["destination"]:
            redeemed = await self._redeem_user_code(record, code, client, is_backup=is_backup)
        else:
            await OneTimeCodes(self.rt).redeem_code(CHALLENGE, record.request_id, record.target, code)
            redeemed = _redeemed(record)
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            device = Devices(self.rt).trusted(client, record.user_id, record.auth_epoch)
            await SendingLimits(self.rt).forget(LIMIT, record.user_id, client, device=device)
        return redeemed

    async def _redeem_app_code(self, record: Record, app: App, code: str) -> Redeemed:
        await Guesses(self.rt).count_try(record)
        steps = await totp_codes.check(self.rt, app, code)
        if not await OneTimeCodes(self.rt).spend(record):
            raise errors.InvalidChallenge
        return _redeemed(record, use_up=partial(totp_codes.accept, app=app, steps=steps))

    async def _redeem_user_code(
        self, record: Record, code: str, client: Client | None, *, is_backup: bool
    ) -> Redeemed:
        """Redeem a backup code, or a code of the user that belongs to no challenge."""
        await Guesses(self.rt).count_try(record)
        if is_backup:
            fits = await BackupCodes(self.rt).holds(record.user_id, code)
        else:
            fits = await self.redeem_user_code(record.user_id, code)
        if not fits:
            raise errors.InvalidOrExpiredCode
        if not await OneTimeCodes(self.rt).spend(record):
            raise errors.InvalidChallenge
        if not is_backup:
            return _redeemed(record)
        use_up = partial(backup_codes.use_up, user_id=record.user_id, code=code, client=client)
        return _redeemed(record, factor=BACKUP_CODE, use_up=use_up)

    async def redeem_verified(
        self, user_id: str, challenge: str, *, factor: str, amr: tuple[str, ...]
    ) -> Redeemed:
        """Use a challenge up by a factor that the caller has verified itself; raises ``InvalidChallenge``.

        Also if it was the first factor of the sign-in.
        """
        record = await self.find(user_id, challenge)
        if record is None or record.data["method"] == factor:
            raise errors.InvalidChallenge
        if not await OneTimeCodes(self.rt).spend(record):
            raise errors.InvalidChallenge
        use_up = partial(totp_codes.forget_misses, user_id=record.user_id)
        return Redeemed(
            record=record, sign_in=SignIn.of(record), factor=factor, factor_amr=amr, use_up=use_up
        )

    async def issue_user_code(self, user: UserFactors, kind: str, destination: str) -> Issued:
        """Store a code that belongs to the user and to no challenge; it replaces the one before."""
        config = self.rt.config
        return await OneTimeCodes(self.rt).issue(
            CODE,
            target=f"{kind}:{destination}",
            code_ttl=config.code_ttl,
            record_ttl=config.code_ttl,
            request_id=user.user_id,
            user_id=user.user_id,
            auth_epoch=user.auth_epoch,
            data={"factor": kind, "destination": destination},
        )

    async def redeem_user_code(self, user_id: str, code: str) -> bool:
        """Use up the user's own code; False if it is wrong or no longer valid."""
        record = await OneTimeCodes(self.rt).peek(CODE, user_id)
        if record is None or await self._user_of(record) is None:
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
        return stored_values.text(await self.rt.ephemeral.get(_round_key(user_id)))


def _redeemed(record: Record, *, factor: str = "", use_up: UseUp | None = None) -> Redeemed:
    kind = record.data["factor"]
    return Redeemed(
        record=record,
        sign_in=SignIn.of(record),
        factor=factor or kind,
        factor_amr=("otp",) if factor == BACKUP_CODE else kind_of(kind).amr,
        # A code that was sent has ended with its challenge.
        use_up=use_up or partial(totp_codes.forget_misses, user_id=record.user_id),
    )


def _is_current(record: Record, user: UserFactors) -> bool:
    """True if the account is still as it was when the record was made."""
    # Also without a factor that can be used: backup codes remain to a user whose last one was suspended.
    if not user.allowed or user.auth_epoch != record.auth_epoch or not user.enabled:
        return False
    kind, destination = kind_of(record.data["factor"]), record.data["destination"]
    return not destination or any(
        factor.kind == kind.name and kind.destination(user, factor) == destination for factor in user.factors
    )


def _digest(challenge: str) -> str:
    """Return the plain digest of a challenge: 256 random bits need no key."""
    return hashlib.sha256(challenge.encode("utf-8", "replace")).hexdigest()


def _round_key(user_id: str) -> str:
    return f"2fa_round:{user_id}"
