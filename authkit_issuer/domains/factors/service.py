"""Two-factor sign-in: a code by email or SMS or of an authenticator app, a passkey, or a backup code.

Only "no row" means that a user has no second factor: a database or store that does not answer is an error, so
that an outage never lets a sign-in pass without it. ``kinds`` says what differs between the factors,
``enrollment`` proves an address, ``changes`` adds and removes factors, ``challenges`` holds the sign-ins that
wait for one, and ``base.devices`` remembers it on a device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import OneTimeCodes
from authkit_issuer.domains.factors import backup_codes, changes, enrollment, owners
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.domains.factors.backup_codes import BackupCodes
from authkit_issuer.domains.factors.challenges import Challenges
from authkit_issuer.domains.factors.changes import NewFactor
from authkit_issuer.domains.factors.delivery import Delivery
from authkit_issuer.domains.factors.kinds import EMAIL_CODE, SMS_CODE, kind_of, sent_kind, usable_factors
from authkit_issuer.domains.factors.queries import TwoFactorSettings, UserFactors
from authkit_issuer.domains.factors.records import Challenged, Redeemed, SignIn
from authkit_issuer.domains.sessions.service import OtherSessions
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, raises
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

__all__ = ["Challenged", "Redeemed", "TwoFactor", "TwoFactorSettings"]


@dataclass(frozen=True, slots=True)
class TwoFactor:
    """Enables and disables second factors, sends their codes and verifies them."""

    rt: Runtime

    async def get_settings(self, user_id: str) -> TwoFactorSettings | None:
        """Return the settings of a user, or None if there are none; a failing query is raised."""
        owner = identifiers.uuid_or_none(user_id)
        return None if owner is None else await self.rt.maybe(sql.SETTINGS, owner)

    async def required_for(self, first: FirstFactor, client: Client | None) -> bool:
        """True if this sign-in must verify a second factor before anything is opened.

        It need not where the account has none, the first factor counts for two, the method is among
        ``two_factor_exempt_methods``, or the device remembers an earlier verification.
        """
        return self.applies_to(first) and not await Devices(self.rt).remembers_factor(
            client, first.user_id, first.auth_epoch
        )

    def applies_to(self, first: FirstFactor) -> bool:
        """True if this sign-in must verify a second factor, unless the device remembers it."""
        return (
            first.two_factor
            and not first.is_multi_factor
            and first.method not in self.rt.config.two_factor_exempt_methods
        )

    @raises(errors.InvalidPhoneNumber, *SMS_SENDING, errors.TooManyRequests, errors.EphemeralStoreUnavailable)
    async def send_phone_setup_code(self, user_id: str, phone: str, *, client: Client | None = None) -> None:
        """Send a code that verifies a phone number of the user.

        Raises ``UserNotFound``, ``UserBanned``, ``InvalidPhoneNumber``, ``SmsUnavailable``,
        ``SmsDeliveryFailed``, ``TooManyRequests``.
        """
        user = await owners.allowed(self.rt, user_id)
        await enrollment.send_setup_code(self.rt, user, SMS_CODE, identifiers.phone(phone), client)

    @raises(errors.EmailNotVerified, *EMAIL_SENDING, errors.TooManyRequests, errors.EphemeralStoreUnavailable)
    async def send_email_setup_code(self, user_id: str, *, client: Client | None = None) -> None:
        """Send a code to the user's verified email address; raises ``EmailNotVerified`` without one."""
        user = await owners.allowed(self.rt, user_id)
        await enrollment.send_setup_code(self.rt, user, EMAIL_CODE, owners.verified_email(user), client)

    async def verify_phone_setup_code(self, user_id: str, phone: str, code: str) -> bool:
        """Use up the code sent to the number; True if it was right, and ``enable`` then needs none."""
        self.rt.refuse_joining("two_factor.verify_phone_setup_code")
        user = await owners.allowed(self.rt, user_id)
        return await enrollment.verify_setup_code(self.rt, user, SMS_CODE, identifiers.phone(phone), code)

    async def verify_email_setup_code(self, user_id: str, code: str) -> bool:
        """Use up the code sent to the address; True if it was right, and ``enable`` then needs none."""
        self.rt.refuse_joining("two_factor.verify_email_setup_code")
        user = await owners.allowed(self.rt, user_id)
        return await enrollment.verify_setup_code(
            self.rt, user, EMAIL_CODE, owners.verified_email(user), code
        )

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
        keep_session_id: str | None = None,
        end_other_sessions: bool | None = None,
        client: Client | None = None,
    ) -> list[str]:
        """Enable a second factor by email or SMS as the default, and return ten backup codes, shown once.

        It takes the place of every other factor whose codes are sent; apps and passkeys stay beside it.
        ``second_factors.add`` replaces none. Sign-ins in progress end. When storage fails, the verification
        stays valid.

        Args:
            user_id: The user.
            method: ``email`` (the verified address of the account) or ``sms``.
            phone_number: For ``sms``, the number, in E.164.
            code: A set-up code; not needed after ``verify_phone_setup_code`` or ``verify_email_setup_code``.
            keep_session_id: The session that asks. It must be live, and stays where the others end.
            end_other_sessions: Whether they end; None leaves it to ``factor_change_ends_sessions``.
            client: The client, for the event.

        Raises:
            TwoFactorMethodInvalid: The method is neither ``email`` nor ``sms``.
            TwoFactorMethodUnavailable: No sender is configured for the method.
            InvalidPhoneNumber: The number is not in E.164.
            PhoneNotVerified: Neither a code nor an earlier verification of the number was given.
            EmailNotVerified: As for the number; or the account has no verified email address.
            InvalidOrExpiredCode: The code is wrong, or the account changed meanwhile.
            UserNotFound: the user does not exist.
            SessionEnded: The session that asks has ended.
            UserBanned: The user is banned or deleted.
        """
        self.rt.refuse_joining("two_factor.enable")
        owners.require_offered(self.rt)
        kind = sent_kind(method)
        assert kind.contact is not None  # noqa: S101 - by sent_kind
        if kind.contact.sender(self.rt.senders) is None:
            raise errors.TwoFactorMethodUnavailable(param="method")
        phone = identifiers.phone(phone_number or "") if kind is SMS_CODE else None
        user = await owners.allowed(self.rt, user_id)
        destination = phone or owners.verified_email(user)
        new = NewFactor(id=identifiers.new_id(self.rt.random_bytes), kind=kind, phone_number=phone)
        async with enrollment.use_verification(self.rt, user, kind, destination, code):
            others = OtherSessions(keep=keep_session_id, end=end_other_sessions)
            return await changes.enable(self.rt, user, new, client=client, others=others)

    async def disable(
        self,
        user_id: str,
        *,
        keep_session_id: str | None = None,
        end_other_sessions: bool | None = None,
        client: Client | None = None,
    ) -> None:
        """Disable two-factor sign-in: factors, backup codes and challenges are deleted; passkeys stay.

        Does nothing if it is off. The caller must have authenticated the owner. The other sessions end as for
        ``enable``. Raises ``UserNotFound``.
        """
        others = OtherSessions(keep=keep_session_id, end=end_other_sessions)
        await changes.disable(self.rt, owners.known_id(user_id), client, others=others)

    async def confirm(
        self, user_id: str, *, session_id: str | None = None, client: Client | None = None
    ) -> bool:
        """Let a frozen second factor count again; False if it is not frozen.

        The caller must have authenticated the owner recently. Raises ``UserNotFound``, and ``SessionEnded``
        if ``session_id``, the session that asks, has ended.
        """
        return await changes.confirm(self.rt, owners.known_id(user_id), session_id, client)

    async def admin_disable(
        self, user_id: str, *, actor: str, reason: str | None = None, client: Client | None = None
    ) -> bool:
        """Disable the second factor of a user who lost it; False if it was off.

        ``actor`` is the responsible operator, for the event. The owner gets a notice by email. Raises
        ``UserNotFound``.
        """
        why = identifiers.reason(reason)
        return await changes.disable(self.rt, owners.known_id(user_id), client, actor=actor, reason=why)

    @raises(errors.TwoFactorNotEnabled)
    async def regenerate_backup_codes(
        self, user_id: str, *, session_id: str | None = None, client: Client | None = None
    ) -> list[str]:
        """Replace the backup codes by ten new ones, shown once.

        Raises ``TwoFactorNotEnabled``, and ``SessionEnded`` if ``session_id``, the session that asks, has
        ended.
        """
        owner = identifiers.uuid_or_none(user_id)
        if owner is None:
            raise errors.TwoFactorNotEnabled
        return await BackupCodes(self.rt).replace(owner, session_id, client)

    async def begin(
        self,
        user_id: str,
        *,
        auth_epoch: int,
        method: str,
        amr: Sequence[str],
        contact: str = "",
        authenticated_at: float | None = None,
        org: str | None = None,
        extra: Mapping[str, object] | None = None,
        client: Client | None = None,
    ) -> Challenged:
        """Ask for a second factor after a verified first one, and send the code of the default factor.

        The challenge is stored, then the code is sent. ``methods`` are the other factors, which
        ``second_factors.select`` asks for in its place. Beyond the sending limits no code is sent
        (``code_sent`` is False): the one before still works, or a backup code. When sending fails, the error
        carries the challenge in its metadata, so that a backup code still helps.

        Args:
            user_id: The user who signs in.
            auth_epoch: The epoch of the account at which the first factor was verified.
            method: How the user signs in, such as ``password_login``.
            amr: The authentication methods of the first factor (RFC 8176).
            contact: The address or number that the first factor has proved; its codes are asked for only if
                the user has no other factor.
            authenticated_at: When a provider authenticated the user (Unix seconds); None is now.
            org: The organization that the session is for.
            extra: Further claims of the access token.
            client: The client, for the sending limits.

        Raises:
            InvalidCredentials: The account changed since the first factor was verified.
            TwoFactorMethodUnavailable: The account has no verified address for its method.
            EmailUnavailable: No email sender is configured.
            SmsUnavailable: No SMS sender is configured.
            EmailDeliveryFailed: The email sender failed.
            SmsDeliveryFailed: The SMS sender failed.
        """
        self.rt.refuse_joining("two_factor.begin")
        user = await owners.find(self.rt, user_id)
        if user is None or user.auth_epoch != auth_epoch or not user.enabled:
            raise errors.InvalidCredentials
        first = replace(_first_factor(user, method, amr), contact=contact, authenticated_at=authenticated_at)
        return await Challenges(self.rt).send(user, SignIn(first=first, org=org, extra=extra or {}), client)

    async def redeem(
        self,
        user_id: str,
        challenge: str,
        code: str,
        *,
        is_backup: bool = False,
        client: Client | None = None,
    ) -> Redeemed:
        """Use up a challenge, for a caller that opens the session and may restore the record.

        The caller runs ``use_up`` of the result in the transaction of the session: it uses up a backup code
        or the code of an app, which are only checked here. Raises ``InvalidChallenge``,
        ``InvalidOrExpiredCode``, ``TooManyRequests``.
        """
        self.rt.refuse_joining("two_factor.redeem")
        return await Challenges(self.rt).redeem(user_id, challenge, code, client, is_backup=is_backup)

    async def redeem_verified(
        self, user_id: str, challenge: str, *, factor: str, amr: tuple[str, ...]
    ) -> Redeemed:
        """Use up a challenge by a second factor that the caller has verified itself, such as a passkey.

        Args:
            user_id: The ``user_id`` of the challenge.
            challenge: The challenge.
            factor: The kind of the factor.
            amr: The authentication methods of the factor (RFC 8176).

        Raises:
            InvalidChallenge: The challenge is over, or the account changed.
        """
        self.rt.refuse_joining("two_factor.redeem_verified")
        return await Challenges(self.rt).redeem_verified(user_id, challenge, factor=factor, amr=amr)

    async def use_backup_code(self, user_id: str, code: str, *, client: Client | None = None) -> None:
        """Use up a backup code in the caller's transaction, or raise ``InvalidOrExpiredCode``."""
        owner = identifiers.uuid_or_none(user_id)
        if owner is None:
            raise errors.InvalidOrExpiredCode
        await backup_codes.use_up(self.rt, owner, code, client)

    async def complete_login(
        self,
        user_id: str,
        challenge: str,
        code: str,
        is_backup: bool = False,  # noqa: FBT001, FBT002 - may be passed by position
        *,
        client: Client | None = None,
    ) -> None:
        """Use up a challenge with its code; the host then opens the session itself.

        Of parallel callers one succeeds. Raises ``InvalidChallenge``, ``InvalidOrExpiredCode``; after five
        wrong codes the challenge is void.
        """
        redeemed = await self.redeem(user_id, challenge, code, is_backup=is_backup, client=client)
        async with OneTimeCodes(self.rt).restore_on_outage(redeemed.record):
            await redeemed.use_up(self.rt)

    async def require_for_login(self, user_id: str, *, client: Client | None = None) -> str:
        """Send a code that belongs to no challenge, and return its destination, unmasked.

        For hosts that implement the steps themselves. Raises as ``begin``, and ``UserNotFound``,
        ``TwoFactorNotEnabled``.
        """
        self.rt.refuse_joining("two_factor.require_for_login")
        user = await owners.enabled(self.rt, user_id)
        for factor in usable_factors(self.rt, user):
            kind = kind_of(factor.kind)
            destination = kind.destination(user, factor)
            if kind.contact is not None:
                break
        else:
            raise errors.TwoFactorMethodUnavailable
        limits = SendingLimits(self.rt)
        await limits.check("2fa_code", user.user_id, client)
        issued = await Challenges(self.rt).issue_user_code(user, kind.name, destination)
        async with limits.sending("2fa_code", user.user_id, client):
            await Delivery(self.rt).login_code(kind.contact, destination, user.username, issued.code)
        return destination

    async def create_challenge(self, user_id: str) -> str:
        """Return a new challenge, 43 characters, whose code ``require_for_login`` sends or an app shows.

        Earlier challenges of the user stay valid. Raises ``UserNotFound``, ``TwoFactorNotEnabled``.
        """
        user = await owners.enabled(self.rt, user_id)
        return await Challenges(self.rt).create(user, SignIn(first=_first_factor(user, "host", ())))

    async def verify_challenge(self, user_id: str, challenge: str) -> bool:
        """True if this is a live challenge of the user; it stays unused."""
        return await Challenges(self.rt).find(user_id, challenge) is not None

    async def clear_challenge(self, user_id: str) -> None:
        """End every challenge of the user, and the code of ``require_for_login``."""
        owner = identifiers.uuid_or_none(user_id)
        if owner is not None:
            await Challenges(self.rt).clear(owner)

    async def verify_code(self, user_id: str, code: str) -> bool:
        """Use up the code of ``require_for_login``; False if it is wrong, used, expired or replaced."""
        self.rt.refuse_joining("two_factor.verify_code")
        owner = identifiers.uuid_or_none(user_id)
        return owner is not None and await Challenges(self.rt).redeem_user_code(owner, code)

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
        """Count a try; True if this is an unused backup code, for ``use_backup_code``.

        Counted together with ``verify_backup_code``. Raises ``TwoFactorNotEnabled``.
        """
        self.rt.refuse_joining("a try of a backup code")
        factor = await owners.find(self.rt, user_id)
        if factor is None or not factor.enabled:
            raise errors.TwoFactorNotEnabled
        config = self.rt.config
        tries = await self.rt.ephemeral.incr(f"2fa_backup_tries:{factor.user_id}", config.two_factor_ttl)
        return tries <= config.max_code_attempts and await BackupCodes(self.rt).holds(factor.user_id, code)


def _first_factor(user: UserFactors, method: str, amr: Sequence[str]) -> FirstFactor:
    return FirstFactor(
        user_id=user.user_id, auth_epoch=user.auth_epoch, two_factor=True, method=method, amr=tuple(amr)
    )
