"""The second factor: six digits by mail or SMS, and backup codes for when neither arrives.

Only "no row" means that a user has none: a database or store that does not answer is an error, so that an
outage never lets a sign-in past its second factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.codes import OneTimeCodes, on_outage
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.domains.factors.asking import Asking, Challenged
from authkit_issuer.domains.factors.backup_codes import BackupCodes
from authkit_issuer.domains.factors.challenges import Challenges, FirstFactor, Redeemed
from authkit_issuer.domains.factors.delivery import Delivery
from authkit_issuer.domains.factors.enrollment import Enrollment
from authkit_issuer.domains.factors.queries import Factor, TwoFactorSettings
from authkit_issuer.domains.factors.switch import Switch
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

__all__ = ["Challenged", "Redeemed", "TwoFactor", "TwoFactorSettings"]

METHODS = ("email", "sms")


@dataclass(frozen=True, slots=True)
class TwoFactor:
    """Switches second factors on and off, asks for them and checks them."""

    rt: Runtime

    async def get_settings(self, user_id: str) -> TwoFactorSettings | None:
        """Return what the user has set up, or None; a failing query is raised."""
        known = identifiers.user_id(user_id)
        return None if known is None else await self.rt.maybe(sql.SETTINGS, known)

    @raises(errors.InvalidPhoneNumber, *SMS_SENDING, errors.TooManyRequests, errors.EphemeralStoreUnavailable)
    async def send_phone_setup_code(self, user_id: str, phone: str, *, client: Client | None = None) -> None:
        """Send a code that proves a number is the user's.

        Raises ``UserNotFound``, ``UserBanned``, ``InvalidPhoneNumber``, ``SmsUnavailable``,
        ``SmsDeliveryFailed``, ``TooManyRequests``.
        """
        person = await self._person(user_id)
        await Enrollment(self.rt).send(person, "sms", identifiers.phone(phone), client)

    @raises(errors.EmailNotVerified, *EMAIL_SENDING, errors.TooManyRequests, errors.EphemeralStoreUnavailable)
    async def send_email_setup_code(self, user_id: str, *, client: Client | None = None) -> None:
        """Send a code to the user's verified address; ``EmailNotVerified`` where there is none."""
        person = await self._person(user_id)
        await Enrollment(self.rt).send(person, "email", _verified_email(person), client)

    async def verify_phone_setup_code(self, user_id: str, phone: str, code: str) -> bool:
        """Tell whether this is the code that was sent to the number; ``enable`` then needs none."""
        self.rt.refuse_joining("two_factor.verify_phone_setup_code")
        person = await self._person(user_id)
        return await Enrollment(self.rt).verify(person, "sms", identifiers.phone(phone), code)

    async def verify_email_setup_code(self, user_id: str, code: str) -> bool:
        """Tell whether this is the code that was sent to the address; ``enable`` then needs none."""
        self.rt.refuse_joining("two_factor.verify_email_setup_code")
        person = await self._person(user_id)
        return await Enrollment(self.rt).verify(person, "email", _verified_email(person), code)

    @raises(
        errors.TwoFactorMethodInvalid,
        errors.TwoFactorMethodUnavailable,
        errors.InvalidPhoneNumber,
        errors.EmailNotVerified,
        errors.InvalidOrExpiredCode,
        errors.EphemeralStoreUnavailable,
    )
    async def enable(
        self,
        user_id: str,
        method: str,
        phone_number: str | None = None,
        *,
        code: str | None = None,
        client: Client | None = None,
    ) -> list[str]:
        """Switch the second factor on, or to another method, and return ten backup codes, shown once.

        The destination must be proved: by ``code``, or by an earlier ``verify_*_setup_code``. Sign-ins that
        are under way end. Raises ``TwoFactorMethodInvalid``, ``TwoFactorMethodUnavailable`` (no sender),
        ``InvalidPhoneNumber``, ``PhoneNotVerified``, ``EmailNotVerified``, ``InvalidOrExpiredCode``,
        ``UserNotFound``, ``UserBanned``. When storage fails the proof stays good.
        """
        self.rt.refuse_joining("two_factor.enable")
        method = method.strip().lower()
        if method not in METHODS:
            raise errors.TwoFactorMethodInvalid(param="method")
        if not Delivery(self.rt).can_send(method):
            raise errors.TwoFactorMethodUnavailable(param="method")
        phone = identifiers.phone(phone_number or "") if method == "sms" else None
        person = await self._person(user_id)
        restore = await Enrollment(self.rt).use(person, method, phone or _verified_email(person), code)
        async with on_outage(restore):
            return await Switch(self.rt).on(person, method, phone, client)

    async def disable(self, user_id: str, *, client: Client | None = None) -> None:
        """Switch the second factor off; number, backup codes, codes and challenges are gone with it.

        Does nothing where it is off. Raises ``UserNotFound``. The caller has made sure that it is the owner
        who asks.
        """
        await Switch(self.rt).off(_known(user_id), client)

    async def admin_disable(
        self, user_id: str, *, actor: str, reason: str | None = None, client: Client | None = None
    ) -> bool:
        """Switch off the second factor of a user who lost it; False where it was off.

        ``actor`` is the operator who vouches for it, and stands in the event. The owner is told by mail.
        Raises ``UserNotFound``.
        """
        why = identifiers.reason(reason)
        return await Switch(self.rt).off(_known(user_id), client, actor=actor, reason=why)

    @raises(errors.TwoFactorNotEnabled)
    async def regenerate_backup_codes(self, user_id: str, *, client: Client | None = None) -> list[str]:
        """Replace the backup codes by ten fresh ones, shown once; raises ``TwoFactorNotEnabled``."""
        known = identifiers.user_id(user_id)
        if known is None:
            raise errors.TwoFactorNotEnabled
        shown = BackupCodes(self.rt).new()
        async with self.rt.transaction() as tx:
            stored = BackupCodes(tx).digests(known, shown)
            if not await tx.execute(sql.REPLACE_BACKUP_CODES, known, stored):
                raise errors.TwoFactorNotEnabled
            await Events(tx).record(
                SessionEventType.TWO_FACTOR_BACKUP_CODES_MADE, user_id=known, client=client
            )
        return shown

    async def begin(
        self,
        user_id: str,
        *,
        auth_epoch: int,
        method: str,
        amr: Sequence[str],
        org: str | None = None,
        extra: Mapping[str, object] | None = None,
        client: Client | None = None,
    ) -> Challenged:
        """Ask for the second factor of a sign-in that has proved the first one.

        The challenge is stored, then the code is sent. A failed sending is an error that carries the
        challenge in its metadata, so that a backup code still helps. Raises ``InvalidCredentials`` when the
        account changed since the proof, ``TooManyRequests``, ``TwoFactorMethodUnavailable``,
        ``EmailUnavailable``, ``SmsUnavailable``, ``EmailDeliveryFailed``, ``SmsDeliveryFailed``.
        """
        self.rt.refuse_joining("two_factor.begin")
        factor = await self._find(user_id)
        if factor is None or factor.auth_epoch != auth_epoch or not factor.enabled:
            raise errors.InvalidCredentials
        first = FirstFactor(method=method, amr=tuple(amr), org=org, extra=extra or {})
        return await Asking(self.rt).ask(factor, first, client)

    async def redeem(self, user_id: str, challenge: str, code: str, *, is_backup: bool = False) -> Redeemed:
        """Use up a challenge, for a caller who opens the session and may put the record back.

        A backup code is checked and left for ``use_backup_code`` in the transaction of the session.
        Raises ``InvalidChallenge``, ``InvalidOrExpiredCode``.
        """
        self.rt.refuse_joining("two_factor.redeem")
        return await Challenges(self.rt).redeem(user_id, challenge, code, is_backup=is_backup)

    async def use_backup_code(self, user_id: str, code: str, *, client: Client | None = None) -> None:
        """Use up a backup code in the caller's transaction, or raise ``InvalidOrExpiredCode``."""
        factor = await self._find(user_id)
        if factor is None or await BackupCodes(self.rt).use(factor.user_id, code, client) is None:
            raise errors.InvalidOrExpiredCode
        await Messages(self.rt).notify(factor.email, factor.username, "two_factor_backup_code_used")

    async def complete_login(
        self,
        user_id: str,
        challenge: str,
        code: str,
        is_backup: bool = False,  # noqa: FBT001, FBT002 - may be passed by position
        *,
        client: Client | None = None,
    ) -> None:
        """Return for the one caller who meets the challenge; a host then opens the session itself.

        Raises ``InvalidChallenge``, ``InvalidOrExpiredCode``; after five wrong codes the challenge is dead.
        """
        redeemed = await self.redeem(user_id, challenge, code, is_backup=is_backup)
        if not is_backup:
            return
        async with OneTimeCodes(self.rt).restore_on_outage(redeemed.record):
            await self.use_backup_code(redeemed.record.user_id, code, client=client)

    async def require_for_login(self, user_id: str, *, client: Client | None = None) -> str:
        """Send a code that belongs to no challenge and return where it went, unmasked.

        For hosts that walk the steps themselves. Raises as ``begin``, and ``UserNotFound``,
        ``TwoFactorNotEnabled``.
        """
        self.rt.refuse_joining("two_factor.require_for_login")
        factor = await self._enabled(user_id)
        destination = factor.destination
        if destination is None:
            raise errors.TwoFactorMethodUnavailable
        await SendingLimits(self.rt).check("2fa_code", factor.user_id, client)
        issued = await Challenges(self.rt).issue_user_code(factor, destination)
        await Delivery(self.rt).login_code(factor.method, destination, factor.username, issued.code)
        return destination

    async def create_challenge(self, user_id: str) -> str:
        """Return a new challenge, 43 characters, whose code ``require_for_login`` sends.

        Earlier challenges of the user stay good. Raises ``UserNotFound``, ``TwoFactorNotEnabled``.
        """
        factor = await self._enabled(user_id)
        challenge, _ = await Challenges(self.rt).create(factor, FirstFactor(method="host"), "")
        return challenge

    async def verify_challenge(self, user_id: str, challenge: str) -> bool:
        """Tell whether this is a live challenge of the user; nothing is used up."""
        return await Challenges(self.rt).find(user_id, challenge) is not None

    async def clear_challenge(self, user_id: str) -> None:
        """End every challenge of the user, and the code of ``require_for_login``."""
        known = identifiers.user_id(user_id)
        if known is not None:
            await Challenges(self.rt).clear(known)

    async def verify_code(self, user_id: str, code: str) -> bool:
        """Use up the code of ``require_for_login``; False when it is wrong, used, expired or replaced."""
        self.rt.refuse_joining("two_factor.verify_code")
        known = identifiers.user_id(user_id)
        return known is not None and await Challenges(self.rt).redeem_user_code(known, code)

    async def verify_backup_code(self, user_id: str, code: str, *, client: Client | None = None) -> bool:
        """Use up a backup code; five tries per user in ten minutes. Raises ``TwoFactorNotEnabled``."""
        if not await self.check_backup_code(user_id, code):
            return False
        try:
            await self.use_backup_code(user_id, code, client=client)
        except errors.InvalidOrExpiredCode:
            return False
        return True

    async def check_backup_code(self, user_id: str, code: str) -> bool:
        """Count a try and tell whether this is a backup code that is left, for ``use_backup_code``.

        Counted together with ``verify_backup_code``. Raises ``TwoFactorNotEnabled``.
        """
        self.rt.refuse_joining("a try of a backup code")
        factor = await self._find(user_id)
        if factor is None or not factor.enabled:
            raise errors.TwoFactorNotEnabled
        config = self.rt.config
        tries = await self.rt.ephemeral.incr(f"2fa_backup_tries:{factor.user_id}", config.two_factor_ttl)
        return tries <= config.max_code_attempts and await BackupCodes(self.rt).holds(factor.user_id, code)

    async def _find(self, user_id: str) -> Factor | None:
        known = identifiers.user_id(user_id)
        return None if known is None else await self.rt.maybe(sql.FACTOR, known)

    async def _person(self, user_id: str) -> Factor:
        found = await self._find(user_id)
        if found is None:
            raise errors.UserNotFound
        if not found.allowed:
            raise errors.UserBanned
        return found

    async def _enabled(self, user_id: str) -> Factor:
        found = await self._find(user_id)
        if found is None:
            raise errors.UserNotFound
        if not found.enabled:
            raise errors.TwoFactorNotEnabled
        return found


def _verified_email(person: Factor) -> str:
    if person.email is None or not person.email_verified:
        raise errors.EmailNotVerified
    return person.email


def _known(user_id: str) -> str:
    known = identifiers.user_id(user_id)
    if known is None:
        raise errors.UserNotFound
    return known
