"""Logins: from a proof to a session with its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.codes import OneTimeCodes
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.credentials.service import Passwords, Proof
from authkit_issuer.domains.factors.service import Redeemed, TwoFactor
from authkit_issuer.domains.login.reauthentication import StepUp
from authkit_issuer.domains.sessions.service import Sessions, TokenPair
from authkit_issuer.domains.signup.service import Registration
from authkit_issuer.domains.tokens.service import AccessToken, Tokens, check_extra
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, STORES, raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

_RECORDED_PER_MINUTE = 10


@dataclass(frozen=True, slots=True)
class Logins:
    """Signs people in."""

    rt: Runtime

    @raises(
        errors.InvalidCredentials,
        errors.UserBanned,
        errors.EmailNotVerified,
        errors.PhoneNotVerified,
        errors.PasswordResetRequired,
        errors.TwoFactorRequired,
        errors.OrgModeNotMulti,
        errors.InvalidOrgSlug,
        errors.OrgNotFound,
        errors.NotOrgMember,
        errors.TooManyRequests,
        errors.MissingSigner,
        errors.ServerBusy,
        *STORES,
    )
    async def with_password(
        self, identifier: str, password: str, *, org: str | None = None, client: Client | None = None
    ) -> TokenPair:
        """Sign in by email address, phone number or user name and a password.

        Raises ``InvalidCredentials`` and, after a right password, ``UserBanned``, ``EmailNotVerified`` (with
        ``metadata.registration_id`` while a registration is pending), ``PhoneNotVerified``,
        ``PasswordResetRequired``; the rest as ``finish`` does; ``TooManyRequests``, ``ServerBusy``.
        """
        try:
            proof = await self._prove(identifier, password, client)
            return await self.finish(proof, method="password_login", amr=("pwd",), org=org, client=client)
        except errors.Unauthenticated as refusal:
            await self.note_failure(refusal, client)
            raise

    @raises(
        errors.InvalidOrExpiredCode,
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
        """Confirm the registration of an email address or phone number by its code and sign its owner in.

        Raises as ``registration.confirm_email`` does. When storage fails on the way, the code stays good.
        """
        try:
            registration = Registration(self.rt)
            record = await registration.redeem(identifier, code, registration_id=registration_id)
        except errors.InvalidOrExpiredCode as refusal:
            await self.note_failure(refusal, client)
            raise
        # The account is new: a second factor switched on since would have moved its epoch.
        proof = Proof(user_id=record.user_id, auth_epoch=record.auth_epoch)
        method = "phone_verification" if _is_phone(identifier) else "email_verification"
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            return await self.finish(proof, method=method, amr=("otp",), client=client)

    async def finish(
        self,
        proof: Proof,
        *,
        method: str,
        amr: Sequence[str],
        org: str | None = None,
        client: Client | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> TokenPair:
        """Open a session for a first factor that was proved: the one way behind all of them.

        Where the account asks for a second factor, ``method`` is not among ``two_factor_exempt_methods`` and
        the device does not remember it, nothing is opened: a code goes out and ``TwoFactorRequired`` comes
        with ``user_id``, ``method``, ``destination`` and ``challenge`` in its metadata; what
        ``two_factor.begin`` raises passes through. ``extra`` goes into the access token. Raises
        ``InvalidCredentials`` when the account changed since the proof, ``UserBanned``, ``ReservedClaim``,
        and what ``tokens.issue_org_access`` raises of an organization, before anything is opened.
        """
        check_extra(extra)
        factor = proof.factor(self.rt, method, client)
        if factor is None:
            if org is not None:
                await Tokens(self.rt).org_grant(proof.user_id, org)
            challenged = await TwoFactor(self.rt).begin(
                proof.user_id,
                auth_epoch=proof.auth_epoch,
                method=method,
                amr=amr,
                org=org,
                extra=extra,
                client=client,
            )
            raise challenged.required()
        return await Sessions(self.rt).sign_in(
            proof.user_id,
            method=method,
            auth_epoch=proof.auth_epoch,
            amr=amr,
            org=org,
            client=client,
            extra=extra,
            factor=factor,
        )

    @raises(
        errors.InvalidChallenge,
        errors.InvalidOrExpiredCode,
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
        """Meet the challenge of a ``TwoFactorRequired`` and open the session that waited for it.

        With ``remember_device`` and ``two_factor_remember`` the device of the answer is asked for no second
        factor for that long, unless the account's epoch moves; what asks for a fresh proof still does.
        One of any number of callers wins. Raises ``InvalidChallenge`` (sign in again),
        ``InvalidOrExpiredCode``, ``UserBanned``. When storage fails on the way, challenge and code stay good.
        """
        try:
            redeemed = await TwoFactor(self.rt).redeem(user_id, challenge, code, is_backup=is_backup)
        except (errors.InvalidChallenge, errors.InvalidOrExpiredCode) as refusal:
            await self.note_failure(refusal, client)
            raise
        try:
            async with OneTimeCodes(self.rt).restore_on_outage(redeemed.record):
                if not is_backup:
                    return await _resume(self.rt, redeemed, client, remember=remember_device)
                entitlements = await Entitlements(self.rt).for_token(redeemed.record.user_id)
                # One transaction: the code is used up if and only if the session is opened.
                async with self.rt.transaction() as tx:
                    pair = await _resume(tx, redeemed, client, entitlements, remember=remember_device)
                    await TwoFactor(tx).use_backup_code(redeemed.record.user_id, code, client=client)
        except errors.InvalidCredentials as error:
            # The account changed since the first factor was proved.
            raise errors.InvalidChallenge from error
        return pair

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
        """Prove the password again for a live session, which then says when and how.

        Raises ``InvalidCredentials``, ``TooManyRequests``, ``SessionEnded``, ``UserDisabled``;
        ``TwoFactorRequired`` where the second factor is on, and must be used.
        """
        return await self._stepping(user_id, session_id, client).with_password(password)

    @raises(
        errors.TwoFactorNotEnabled,
        errors.TwoFactorMethodUnavailable,
        *EMAIL_SENDING,
        *SMS_SENDING,
        errors.TooManyRequests,
        errors.EphemeralStoreUnavailable,
    )
    async def step_up_send_code(self, user_id: str, session_id: str, *, client: Client | None = None) -> str:
        """Send a code to step up with and return where it went, masked.

        It goes to the second factor; without one and without a password to the verified contact. Raises
        ``TwoFactorMethodUnavailable`` for everybody else, ``TooManyRequests``, ``SessionEnded``,
        ``UserDisabled``, ``EmailUnavailable``, ``SmsUnavailable``, ``*DeliveryFailed``.
        """
        return await self._stepping(user_id, session_id, client).send_code()

    @raises(
        errors.InvalidOrExpiredCode,
        errors.TwoFactorNotEnabled,
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
        client: Client | None = None,
    ) -> AccessToken:
        """Prove the code of ``step_up_send_code``, or a backup code, for a live session.

        Raises ``InvalidOrExpiredCode``, ``TwoFactorNotEnabled``, ``SessionEnded``, ``UserDisabled``.
        """
        stepping = self._stepping(user_id, session_id, client)
        return await (stepping.with_backup_code(code) if is_backup else stepping.with_code(code))

    async def step_up_vouched(
        self,
        user_id: str,
        session_id: str,
        *,
        auth_epoch: int,
        method: str,
        amr: Sequence[str],
        client: Client | None = None,
    ) -> AccessToken:
        """Take a proof that the caller has checked itself, of a wallet or provider of this user.

        ``auth_epoch`` is the user's as it was read with the credential. Raises as ``step_up_password``.
        """
        return await self._stepping(user_id, session_id, client).vouched(auth_epoch, method, tuple(amr))

    async def step_up_methods(self, user_id: str) -> list[str]:
        """Return what the user can step up with.

        ``2fa`` alone where it is on; else ``password`` or ``code``, ``solana``, ``oidc:<provider>``.
        """
        return await StepUp(rt=self.rt, user_id=user_id, session_id=user_id, client=None).methods()

    def _stepping(self, user_id: str, session_id: str, client: Client | None) -> StepUp:
        return StepUp(rt=self.rt, user_id=user_id, session_id=session_id, client=client)

    async def _prove(self, identifier: str, password: str, client: Client | None) -> Proof:
        try:
            return await Passwords(self.rt).prove(identifier, password, client=client)
        except errors.InvalidCredentials:
            # Only someone who knows the password of the pending registration learns that there is one.
            pending = await Registration(self.rt).find_by_password(identifier, password, client=client)
            if pending is None:
                raise
        unverified = errors.PhoneNotVerified if _is_phone(identifier) else errors.EmailNotVerified
        raise unverified(metadata={"registration_id": pending})

    async def note_failure(self, refusal: errors.AuthError, client: Client | None) -> None:
        """Record a refused sign-in; a flood from one address leaves ever fewer rows, with the count.

        That a second factor is asked for is no refusal.
        """
        if isinstance(refusal, errors.TwoFactorRequired):
            return
        prefix = ip_prefix(client.ip if client else None)
        count = await self.rt.ephemeral.incr(f"failed:{prefix}", 60.0)
        if count > _RECORDED_PER_MINUTE and count & (count - 1):
            return
        await Events(self.rt).record(
            SessionEventType.SESSION_FAILED,
            user_id=refusal.about if isinstance(refusal, errors.Unauthenticated) else "",
            reason=refusal.code,
            client=client,
            data={"count": count} if count > _RECORDED_PER_MINUTE else None,
        )


def _is_phone(identifier: str) -> bool:
    return identifier.strip().startswith("+")


async def _resume(
    rt: Runtime,
    redeemed: Redeemed,
    client: Client | None,
    entitlements: list[str] | None = None,
    *,
    remember: bool,
) -> TokenPair:
    first = redeemed.first
    return await Sessions(rt).sign_in(
        redeemed.record.user_id,
        method=f"{first.method}_2fa",
        auth_epoch=redeemed.record.auth_epoch,
        amr=redeemed.amr,
        org=first.org,
        client=client,
        extra=first.extra,
        entitlements=entitlements,
        factor="remember" if remember else "asked",
    )
