"""Several second factors of one user: listed, added, changed, removed, and chosen at a sign-in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base import devices as device_sql
from authkit_issuer.domains.base.devices import Devices, RememberedDevice
from authkit_issuer.domains.factors import changes, enrollment, enrollment_token, owners
from authkit_issuer.domains.factors.challenges import Challenges
from authkit_issuer.domains.factors.changes import AddedFactor, NewFactor
from authkit_issuer.domains.factors.kinds import SMS_CODE, kind_of, sent_kind
from authkit_issuer.domains.factors.records import Challenged
from authkit_issuer.domains.sessions.queries import RAISE_EPOCH
from authkit_issuer.domains.sessions.service import AuthenticatedSession, OtherSessions
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

MAX_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    """One second factor as its owner sees it."""

    id: str
    kind: str
    """``totp``, ``email``, ``sms`` or ``passkey``."""
    name: str
    hint: str
    """The masked address or number, or the name."""
    default: bool
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactorList:
    """The second factors of a user, the default first."""

    enabled: bool
    """True if sign-ins require a second factor."""
    frozen: bool
    """The factors are older than the owner's first proof of a contact, and await ``two_factor.confirm``."""
    required: bool
    """``two_factor_policy`` requires one of every user."""
    method: str
    """The kind of the default factor; ``email`` without one."""
    phone_number: str | None
    """The number of the default factor."""
    backup_codes_left: int
    factors: list[SecondFactor]
    devices: list[RememberedDevice]
    """The devices that remember the second factor, the last used first."""


@dataclass(frozen=True, slots=True)
class SecondFactors:
    """Lists, adds, changes and removes second factors, and chooses among them at a sign-in."""

    rt: Runtime

    async def list_for_user(self, user_id: str) -> SecondFactorList:
        """Return the second factors of a user; raises ``UserNotFound``."""
        user = await owners.existing(self.rt, user_id)
        default = next((factor for factor in user.all_factors if factor.is_default), None)
        return SecondFactorList(
            enabled=user.enabled,
            frozen=user.frozen,
            required=self.rt.config.two_factor_policy == "required",
            method=default.kind if default else "email",
            phone_number=default.phone_number if default else None,
            backup_codes_left=user.backup_codes_left if user.enabled else 0,
            factors=[
                SecondFactor(
                    id=factor.id,
                    kind=factor.kind,
                    name=factor.name,
                    hint=kind_of(factor.kind).hint(user, factor),
                    default=factor.is_default,
                    created_at=factor.created_at,
                    last_used_at=factor.last_used_at,
                )
                for factor in user.all_factors
            ],
            devices=await Devices(self.rt).list_remembered(user.user_id) if user.enabled else [],
        )

    @raises(
        errors.TwoFactorMethodInvalid,
        errors.TwoFactorMethodUnavailable,
        errors.InvalidPhoneNumber,
        errors.InvalidFactorName,
        errors.EmailNotVerified,
        errors.InvalidOrExpiredCode,
        errors.SecondFactorExists,
        errors.TooManySecondFactors,
        errors.EphemeralStoreUnavailable,
    )
    async def add(
        self,
        user_id: str,
        kind: str,
        *,
        code: str,
        phone_number: str | None = None,
        name: str = "",
        keep_session_id: str | None = None,
        end_other_sessions: bool | None = None,
        client: Client | None = None,
    ) -> AddedFactor:
        """Add a factor whose codes are sent, beside the others; ``totp.complete`` adds an app.

        Sign-ins in progress end. When storage fails, the code stays valid.

        Args:
            user_id: The user.
            kind: ``email`` (the verified address of the account, once) or ``sms`` (up to three numbers).
            code: The code of ``two_factor.send_email_setup_code`` or ``two_factor.send_phone_setup_code``.
            phone_number: For ``sms``, the number, in E.164.
            name: What the user calls the factor, up to 60 characters.
            keep_session_id: The session that asks. It must be live, and stays where the others end.
            end_other_sessions: Whether they end; None leaves it to ``factor_change_ends_sessions``.
            client: The client, for the event.

        Returns:
            The id; and ten backup codes, shown once, if it is the first factor.

        Raises:
            InvalidOrExpiredCode: The code is wrong, or the account changed meanwhile.
            SecondFactorExists: The user has this address or number as a factor already.
            TooManySecondFactors: The user has as many of the kind as allowed.
            AuthError: Any other refusal of ``two_factor.enable``.
        """
        self.rt.refuse_joining("second_factors.add")
        owners.require_offered(self.rt)
        sent = sent_kind(kind)
        assert sent.contact is not None  # noqa: S101 - by sent_kind
        if sent.contact.sender(self.rt.senders) is None:
            raise errors.TwoFactorMethodUnavailable(param="kind")
        phone = identifiers.phone(phone_number or "") if sent is SMS_CODE else None
        new = NewFactor(
            id=identifiers.new_id(self.rt.random_bytes),
            kind=sent,
            name=factor_name(name),
            phone_number=phone,
        )
        user = await owners.allowed(self.rt, user_id)
        destination = phone or owners.verified_email(user)
        async with enrollment.use_verification(self.rt, user, sent, destination, code):
            others = OtherSessions(keep=keep_session_id, end=end_other_sessions)
            return await changes.add(self.rt, user, new, client=client, others=others)

    @raises(errors.SecondFactorNotFound)
    async def remove(
        self,
        user_id: str,
        factor_id: str,
        *,
        keep_session_id: str | None = None,
        end_other_sessions: bool | None = None,
        client: Client | None = None,
    ) -> None:
        """Remove a factor; the last one disables two-factor sign-in, and its backup codes are deleted.

        The caller must have verified a second factor of the user recently. Sign-ins in progress end. Passkeys
        are removed with ``passkeys.remove``.

        Args:
            user_id: The user.
            factor_id: The factor.
            keep_session_id: The session that asks. It must be live, and stays where the others end.
            end_other_sessions: Whether they end; None leaves it to ``factor_change_ends_sessions``.
            client: The client, for the event.

        Raises:
            SecondFactorNotFound: The user has no factor of this id, or it is a passkey.
            UserNotFound: The user does not exist.
            SessionEnded: The session that asks has ended.
        """
        others = OtherSessions(keep=keep_session_id, end=end_other_sessions)
        await changes.remove(
            self.rt, owners.known_id(user_id), _known_factor(factor_id), client=client, others=others
        )

    @raises(errors.SecondFactorNotFound, errors.InvalidFactorName)
    async def update(
        self,
        user_id: str,
        factor_id: str,
        *,
        name: str | None = None,
        default: bool = False,
        client: Client | None = None,
    ) -> None:
        """Rename a factor, or make it the one that a sign-in asks for first.

        Args:
            user_id: The user.
            factor_id: The factor; not a passkey.
            name: The new name; None leaves it.
            default: True makes it the default, and ends sign-ins in progress.
            client: The client, for the event.

        Raises:
            SecondFactorNotFound: The user has no factor of this id.
            InvalidFactorName: The name is too long or cannot be stored.
            UserNotFound: The user does not exist.
        """
        await changes.change(
            self.rt,
            owners.known_id(user_id),
            _known_factor(factor_id),
            name=None if name is None else factor_name(name),
            default=default,
            client=client,
        )

    @raises(
        errors.InvalidChallenge,
        errors.SecondFactorNotFound,
        errors.TwoFactorMethodUnavailable,
        *EMAIL_SENDING,
        *SMS_SENDING,
        errors.EphemeralStoreUnavailable,
    )
    async def select(
        self, user_id: str, challenge: str, factor_id: str, *, client: Client | None = None
    ) -> Challenged:
        """Ask for another second factor in a sign-in, and send its code.

        The challenge keeps its end and its five tries; the code that was sent before is void here. Beyond
        the sending limits no code is sent (``code_sent`` is False).

        Args:
            user_id: The ``user_id`` of the challenge.
            challenge: The challenge.
            factor_id: One of its ``methods``.
            client: The client, for the sending limits.

        Raises:
            InvalidChallenge: The challenge is over, or the account changed: sign in again.
            SecondFactorNotFound: The user has no factor of this id.
            TwoFactorMethodUnavailable: The factor cannot be verified now.
            AuthError: The sender failed, as for ``two_factor.begin``; the metadata has the challenge.
        """
        self.rt.refuse_joining("second_factors.select")
        return await Challenges(self.rt).select(user_id, challenge, factor_id, client)

    async def authenticate_enrollment(self, token: str) -> AuthenticatedSession:
        """Return the account that an ``enrollment_token`` adds a second factor to; it has no session.

        Raises:
            TokenError: The token is not an enrollment token of this service, or has expired.
            SessionEnded: The account changed since, or has a second factor by now.
            UserDisabled: The user may not act.
        """
        return await enrollment_token.authenticate(self.rt, token)

    async def forget_devices(self, user_id: str, *, client: Client | None = None) -> None:
        """Let no device remember the second factor any longer; sessions stay.

        Sign-ins in progress end with the devices. Without any it changes nothing, so that a stolen token
        cannot end them again and again. Raises ``UserNotFound``.
        """
        owner = owners.known_id(user_id)
        async with self.rt.transaction() as tx:
            await changes.lock(tx, owner)
            if not await tx.execute(device_sql.FORGET_ALL, owner):
                return
            await tx.execute(RAISE_EPOCH, owner)
            await Events(tx).record(
                SessionEventType.DEVICES_FORGOTTEN, actor=None, user_id=owner, client=client
            )

    @raises(errors.DeviceNotFound)
    async def forget_device(self, user_id: str, device_id: str, *, client: Client | None = None) -> None:
        """Let one device remember the second factor no longer; its sessions stay.

        Raises:
            DeviceNotFound: No device of this id remembers the second factor of the user.
            UserNotFound: The user does not exist.
        """
        owner, device = owners.known_id(user_id), identifiers.uuid_or_none(device_id)
        if device is None:
            raise errors.DeviceNotFound
        async with self.rt.transaction() as tx:
            await changes.lock(tx, owner)
            if await tx.maybe(device_sql.FORGET, owner, device) is None:
                raise errors.DeviceNotFound
            await Events(tx).record(
                SessionEventType.DEVICES_FORGOTTEN, actor=None, user_id=owner, target=device, client=client
            )


def factor_name(text: str) -> str:
    """Return the name of a factor, trimmed; raises ``InvalidFactorName``."""
    name = " ".join(text.split())
    if len(name) > MAX_NAME or not name.isprintable() or not identifiers.storable(name):
        raise errors.InvalidFactorName(param="name")
    return name


def _known_factor(factor_id: str) -> str:
    known = identifiers.uuid_or_none(factor_id)
    if known is None:
        raise errors.SecondFactorNotFound
    return known
