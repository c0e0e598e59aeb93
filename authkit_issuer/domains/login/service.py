"""Logins: from a verified credential to a session with its tokens.

``credentials.password_verifier`` verifies passwords, and ``factors.service`` decides if a second factor is
needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.codes.one_time import OneTimeCodes
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.factors.enrollment_token import refuse_without_factor
from authkit_issuer.domains.factors.service import TwoFactor
from authkit_issuer.domains.factors.step_up import StepUpCode
from authkit_issuer.domains.login import reauthentication, second_factor
from authkit_issuer.domains.sessions.service import Sessions, TokenPair
from authkit_issuer.domains.signup.service import Registration
from authkit_issuer.domains.tokens.claims import check_extra
from authkit_issuer.domains.tokens.service import AccessToken, Tokens
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, STORES, declared, raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

_RECORDED_PER_MINUTE = 10


@dataclass(frozen=True, slots=True)
class Logins:
    """Signs users in, and reauthenticates them."""

    rt: Runtime

    @raises(
        *declared(Passwords.prove),
        errors.TwoFactorRequired,
        errors.TwoFactorEnrollmentRequired,
        errors.TwoFactorRequiredByOrg,
        errors.OrgModeNotMulti,
        errors.InvalidOrgSlug,
        errors.OrgNotFound,
        errors.NotOrgMember,
        errors.MissingSigner,
    )
    async def with_password(
        self, identifier: str, password: str, *, org: str | None = None, client: Client | None = None
    ) -> TokenPair:
        """Sign in by email address, phone number or user name and a password.

        Args:
            identifier: The email address, phone number or user name.
            password: The password.
            org: The slug of the organization that the access token is to name.
            client: The client that signs in.

        Raises:
            InvalidCredentials: No such account, or the password is wrong.
            UserBanned, UserDeleted: The password is right, and the user may not act.
            EmailNotVerified, PhoneNotVerified: The password is right, and the contact is not verified;
                ``metadata.registration_id`` names a pending registration.
            PasswordResetRequired: The password is right, and must be replaced first.
            TooManyRequests, ServerBusy: No attempt was made.
            AuthError: Any other refusal of ``finish``.
        """
        try:
            proof = await self._prove(identifier, password, client)
            return await self.finish(proof, method="password_login", amr=("pwd",), org=org, client=client)
        except errors.Unauthenticated as refusal:
            await self.note_failure(refusal, client)
            raise

    @raises(
        errors.InvalidOrExpiredCode,
        errors.AlreadyConfirmed,
        errors.EmailInUse,
        errors.PhoneInUse,
        errors.UsernameInUse,
        errors.OwnerSlugTaken,
        errors.UserBanned,
        errors.InvalidCredentials,
        errors.MissingSigner,
        *STORES,
    )
    async def with_registration_code(
        self, identifier: str, code: str, *, registration_id: str | None, client: Client | None = None
    ) -> TokenPair:
        """Confirm a registration by the code that was sent to its contact, and sign the new user in.

        Raises:
            Unavailable: Storage failed. The code is still good.
            AuthError: Any refusal of ``registration.confirm_email`` or ``finish``.
        """
        try:
            record = await Registration(self.rt).redeem(identifier, code, registration_id=registration_id)
        except errors.InvalidOrExpiredCode as refusal:
            await self.note_failure(refusal, client)
            raise
        proof = FirstFactor(user_id=record.user_id, auth_epoch=record.auth_epoch)
        method = "phone_verification" if identifiers.is_phone(identifier) else "email_verification"
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            return await self.finish(proof, method=method, amr=("otp",), client=client)

    async def finish(
        self,
        proof: FirstFactor,
        *,
        method: str,
        amr: Sequence[str],
        org: str | None = None,
        client: Client | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> TokenPair:
        """Open a session for a verified first factor; every login goes through here.

        The second factor is required if the account has one, ``method`` is not among
        ``two_factor_exempt_methods``, and the device does not remember it.

        Args:
            proof: The user, and the epoch as read with the credential.
            method: The method of the session and its event.
            amr: The authentication methods (RFC 8176).
            org: The slug of the organization that the access token is to name.
            client: The client that signs in.
            extra: Further claims of the access token.

        Raises:
            TwoFactorRequired: A code was sent; the metadata is for ``complete_two_factor``.
            TwoFactorEnrollmentRequired: ``two_factor_policy`` requires a second factor, and there is none.
            InvalidCredentials: The account changed since the first factor.
            UserBanned: The user may not act.
            ReservedClaim: ``extra`` names a claim that only this service sets.
            OrgModeNotMulti, InvalidOrgSlug, OrgNotFound, NotOrgMember: ``org`` was refused; no session was
                opened.
            AuthError: Any other refusal of ``two_factor.begin``.
        """
        check_extra(extra)
        first = replace(proof, method=method, amr=tuple(amr))
        factors = TwoFactor(self.rt)
        if await factors.required_for(first, client):
            if org is not None:
                await Tokens(self.rt).org_grant(proof.user_id, org)
            challenged = await factors.begin(
                proof.user_id,
                auth_epoch=proof.auth_epoch,
                method=method,
                amr=amr,
                contact=proof.contact,
                authenticated_at=proof.authenticated_at,
                org=org,
                extra=extra,
                client=client,
            )
            raise challenged.required()
        await refuse_without_factor(self.rt, first)
        return await Sessions(self.rt).sign_in(
            proof.user_id,
            method=method,
            auth_epoch=proof.auth_epoch,
            amr=amr,
            org=org,
            client=client,
            extra=extra,
            factor="remembered" if factors.applies_to(first) else "verified",
            authenticated_at=first.authenticated_at,
        )

    @raises(
        errors.InvalidChallenge,
        errors.InvalidOrExpiredCode,
        errors.TooManyRequests,
        errors.TwoFactorMethodUnavailable,
        errors.UserBanned,
        errors.MissingSigner,
        errors.EntitlementsUnavailable,
        *STORES,
    )
    async def complete_two_factor(
        self,
        user_id: str,
        challenge: str,
        code: str,
        *,
        is_backup: bool = False,
        remember_device: bool = False,
        client: Client | None = None,
    ) -> TokenPair:
        """Answer the challenge of a ``TwoFactorRequired`` and open the session; of concurrent calls one does.

        Args:
            user_id: The ``user_id`` of the refusal's metadata.
            challenge: The ``challenge`` of the refusal's metadata.
            code: The code that was sent or that the app shows, or a backup code.
            is_backup: True if ``code`` is a backup code.
            remember_device: Skip the second factor on this device for ``two_factor_remember`` seconds, or
                until the account's epoch is raised. Reauthentication still requires it.
            client: The client that signs in.

        Raises:
            InvalidChallenge: The challenge is over, or the account changed: sign in again.
            InvalidOrExpiredCode: The code is wrong, used or too old.
            TooManyRequests: Too many wrong codes of an app; another factor and backup codes still work.
            UserBanned: The user may not act.
            Unavailable: Storage failed. Challenge and code are still good.
        """
        try:
            redeemed = await TwoFactor(self.rt).redeem(
                user_id, challenge, code, is_backup=is_backup, client=client
            )
        except (errors.InvalidChallenge, errors.InvalidOrExpiredCode) as refusal:
            await self.note_failure(refusal, client)
            raise
        return await second_factor.resume(self.rt, redeemed, client, remember=remember_device)

    async def complete_verified(
        self,
        user_id: str,
        challenge: str,
        *,
        factor: str,
        amr: tuple[str, ...],
        remember_device: bool = False,
        client: Client | None = None,
    ) -> TokenPair:
        """Open the session of a challenge whose second factor the caller has verified, such as a passkey.

        ``factor`` is the kind of the factor, ``amr`` its authentication methods (RFC 8176). For the other
        arguments and the refusals see ``complete_two_factor``.
        """
        redeemed = await TwoFactor(self.rt).redeem_verified(user_id, challenge, factor=factor, amr=amr)
        return await second_factor.resume(self.rt, redeemed, client, remember=remember_device)

    @raises(
        errors.InvalidCredentials,
        errors.TwoFactorRequired,
        errors.ServerBusy,
        errors.TooManyRequests,
        errors.MissingSigner,
        errors.EntitlementsUnavailable,
        errors.EphemeralStoreUnavailable,
    )
    async def step_up_password(
        self, user_id: str, session_id: str, password: str, *, client: Client | None = None
    ) -> AccessToken:
        """Reauthenticate in a live session with the password.

        Returns:
            An access token; the session keeps its ``auth_time`` and ``amr`` for later tokens.

        Raises:
            InvalidCredentials: The password is wrong.
            TwoFactorRequired: The second factor is on, and must be used.
            TooManyRequests, ServerBusy: No attempt was made.
            SessionEnded, UserDisabled: The session is over, or the user may not act.
        """
        return await reauthentication.with_password(self.rt, user_id, session_id, password, client)

    @raises(
        errors.TwoFactorNotEnabled,
        errors.TwoFactorMethodUnavailable,
        *EMAIL_SENDING,
        *SMS_SENDING,
        errors.TooManyRequests,
        errors.EphemeralStoreUnavailable,
    )
    async def step_up_send_code(
        self, user_id: str, session_id: str, *, factor_id: str | None = None, client: Client | None = None
    ) -> StepUpCode:
        """Send a code to reauthenticate with.

        The code goes to the second factor; without a second factor and a password, to the verified contact.

        ``factor_id`` chooses a second factor; None is the default one.

        Returns:
            Where the code went. Nothing is sent for an app, and ``methods`` names the other factors.

        Raises:
            TwoFactorMethodUnavailable: Codes are not open to this user.
            TooManyRequests: A code was sent too recently, or too many were.
            SessionEnded, UserDisabled: The session is over, or the user may not act.
            EmailUnavailable, SmsUnavailable: The service has no such sender.
            EmailDeliveryFailed, SmsDeliveryFailed: The sender failed.
        """
        return await reauthentication.send_code(self.rt, user_id, session_id, client, factor_id=factor_id)

    @raises(
        errors.InvalidOrExpiredCode,
        errors.TwoFactorNotEnabled,
        errors.TwoFactorMethodUnavailable,
        errors.TooManyRequests,
        errors.MissingSigner,
        errors.EntitlementsUnavailable,
        errors.EphemeralStoreUnavailable,
    )
    async def step_up_two_factor(
        self,
        user_id: str,
        session_id: str,
        code: str,
        *,
        is_backup: bool = False,
        factor_id: str | None = None,
        client: Client | None = None,
    ) -> AccessToken:
        """Reauthenticate in a live session with a code that was sent, a code of an app, or a backup code.

        Without a ``factor_id`` it is the code that was sent, else one of the first app.

        Returns:
            An access token, as ``step_up_password`` does.

        Raises:
            InvalidOrExpiredCode: The code is wrong, used or too old.
            TooManyRequests: Too many wrong codes of an app.
            TwoFactorNotEnabled: A backup code, and the second factor is off.
            SessionEnded, UserDisabled: The session is over, or the user may not act.
        """
        if is_backup:
            return await reauthentication.with_backup_code(self.rt, user_id, session_id, code, client)
        return await reauthentication.with_code(
            self.rt, user_id, session_id, code, client, factor_id=factor_id
        )

    async def step_up_vouched(
        self,
        user_id: str,
        session_id: str,
        *,
        auth_epoch: int,
        method: str,
        amr: Sequence[str],
        two_factors: bool = False,
        client: Client | None = None,
    ) -> AccessToken:
        """Reauthenticate in a live session with a proof that the caller has verified itself.

        The proof is of a wallet, a provider account or a passkey of the user; ``auth_epoch`` was read with
        it. ``amr`` holds the authentication methods (RFC 8176), ``method`` is the one in the event.
        ``two_factors`` is true for a proof of two factors, to which no second one is added.

        Raises:
            TwoFactorRequired: The second factor is on, and ``method`` is not exempt from it.
            SessionEnded, UserDisabled: The session is over, the account changed, or the user may not act.
        """
        return await reauthentication.with_verified_proof(
            self.rt,
            user_id,
            session_id,
            auth_epoch=auth_epoch,
            method=method,
            amr=amr,
            two_factors=two_factors,
            client=client,
        )

    async def step_up_methods(self, user_id: str) -> list[str]:
        """Return what the user can reauthenticate with.

        ``2fa`` if the second factor is on; else ``password`` or ``code``, ``solana`` and
        ``oidc:<provider>``. ``passkey`` comes first, unless it cannot stand in for the second factor.
        """
        return await reauthentication.available_methods(self.rt, user_id)

    async def _prove(self, identifier: str, password: str, client: Client | None) -> FirstFactor:
        try:
            return await Passwords(self.rt).prove(identifier, password, client=client)
        except errors.InvalidCredentials:
            # Only a client with the password of the pending registration learns that there is one.
            pending = await Registration(self.rt).find_by_password(identifier, password, client=client)
            if pending is None:
                raise
        unverified = errors.PhoneNotVerified if identifiers.is_phone(identifier) else errors.EmailNotVerified
        raise unverified(metadata={"registration_id": pending})

    async def note_failure(self, refusal: errors.AuthError, client: Client | None) -> None:
        """Record a failed login, unless a second factor is still required.

        Beyond 10 failures a minute from one network, only each failure whose count is a power of two leaves a
        row, with the count.
        """
        if isinstance(refusal, errors.TwoFactorRequired | errors.TwoFactorEnrollmentRequired):
            return
        prefix = ip_prefix(client.ip if client else None)
        count = await self.rt.ephemeral.incr(f"failed:{prefix}", 60.0)
        if count > _RECORDED_PER_MINUTE and count & (count - 1):
            return
        await Events(self.rt).record(
            SessionEventType.SESSION_FAILED,
            actor=None,
            user_id=refusal.about if isinstance(refusal, errors.Unauthenticated) else "",
            reason=refusal.code,
            client=client,
            data={"count": count} if count > _RECORDED_PER_MINUTE else None,
        )
