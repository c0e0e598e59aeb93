"""Sign-in by a passkey, alone or as the second factor, and step-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.factors.challenges import Challenges as TwoFactorChallenges
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.passkeys import assertions, ceremonies
from authkit_issuer.domains.passkeys import queries as sql
from authkit_issuer.domains.passkeys.records import Challenges, Purpose
from authkit_issuer.domains.passkeys.registration import read_owner
from authkit_issuer.domains.sessions.service import TokenPair
from authkit_issuer.domains.tokens.service import AccessToken
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, STORES, raises
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.webauthn_types import AssertionResponse

METHOD = "passkey"
_ASSERTION = (
    errors.PasskeysNotConfigured,
    errors.PasskeyInvalid,
    errors.PasskeyUnknown,
    errors.PasskeyChallengeExpired,
    errors.PasskeySuspended,
    errors.LoginFrozen,
    errors.UserBanned,
    errors.UserDeleted,
    *STORES,
)


@dataclass(frozen=True, slots=True)
class PasskeyLogins:
    """Signs users in by their passkeys, and reauthenticates them."""

    rt: Runtime

    @raises(errors.PasskeysNotConfigured, errors.EphemeralStoreUnavailable)
    async def begin_login(self) -> dict[str, Any]:
        """Return the options of ``navigator.credentials.get`` in their JSON form, good for five minutes.

        They name no credential and so no account: the authenticator offers what it has for this site.
        """
        ceremonies.relying_party(self.rt.config)
        challenge = await Challenges(self.rt).issue("login")
        return ceremonies.request_options(self.rt.config, challenge=challenge)

    @raises(
        *_ASSERTION,
        errors.InvalidCredentials,
        errors.TwoFactorRequired,
        errors.TwoFactorEnrollmentRequired,
        errors.TwoFactorMethodUnavailable,
        *EMAIL_SENDING,
        *SMS_SENDING,
        errors.OrgModeNotMulti,
        errors.InvalidOrgSlug,
        errors.OrgNotFound,
        errors.NotOrgMember,
        errors.TwoFactorRequiredByOrg,
        errors.MissingSigner,
        errors.EntitlementsUnavailable,
    )
    async def finish_login(
        self, credential: Mapping[str, object], *, org: str | None = None, client: Client | None = None
    ) -> TokenPair:
        """Sign in by the response of an authenticator; of concurrent calls with one challenge one succeeds.

        A passkey verifies its user, so no second factor is required unless
        ``passkey_counts_as_two_factors`` is off.

        Args:
            credential: The response in the JSON form of ``PublicKeyCredential.toJSON``.
            org: The slug of the organization that the access token is to name.
            client: The client that signs in.

        Raises:
            PasskeyInvalid, PasskeyUnknown: A check failed, or no account has the credential.
            PasskeyChallengeExpired: The challenge is over.
            PasskeySuspended: The counter showed a copy of the passkey, now or before.
            LoginFrozen: The passkey awaits the confirmation of its owner.
            UserBanned, UserDeleted: The passkey is right, and the user may not act.
            Unavailable: Storage failed. Begin again.
            AuthError: Any other refusal of ``logins.finish``.
        """
        self.rt.refuse_joining("passkeys.finish_login")
        logins, two_factors = Logins(self.rt), self.rt.config.passkey_counts_as_two_factors
        try:
            proof = await assertions.verify(self.rt, "login", AssertionResponse.from_json(credential))
            await assertions.accept(self.rt, proof, client)
            first = FirstFactor(
                user_id=proof.passkey.user_id,
                auth_epoch=proof.passkey.auth_epoch,
                two_factor=proof.passkey.two_factor and not two_factors,
                is_multi_factor=two_factors,
            )
            amr = proof.amr(two_factors=two_factors)
            return await logins.finish(first, method=METHOD, amr=amr, org=org, client=client)
        except errors.Unauthenticated as refusal:
            await logins.note_failure(refusal, client)
            raise

    @raises(errors.PasskeysNotConfigured, errors.PasskeyNotFound, errors.EphemeralStoreUnavailable)
    async def begin_step_up(self, user_id: str) -> dict[str, Any]:
        """Return the options of a reauthentication, which name the passkeys of the user.

        Raises:
            PasskeyNotFound: The user has no passkey that signs in.
            UserNotFound, UserBanned: No such user, or the user may not act.
        """
        ceremonies.relying_party(self.rt.config)
        owner = await read_owner(self.rt, user_id)
        return await self._options_of("step_up", owner.user_id, owner.auth_epoch)

    @raises(*_ASSERTION, errors.TwoFactorRequired, errors.MissingSigner, errors.EntitlementsUnavailable)
    async def finish_step_up(
        self,
        user_id: str,
        session_id: str,
        credential: Mapping[str, object],
        *,
        client: Client | None = None,
    ) -> AccessToken:
        """Reauthenticate in a live session with a passkey of its user.

        Returns:
            An access token; the session keeps its ``auth_time`` and ``amr`` for later tokens.

        Raises:
            PasskeyInvalid, PasskeyUnknown: A check failed, or the passkey is not this user's.
            PasskeyChallengeExpired: The challenge is over, or the account changed since.
            PasskeySuspended, LoginFrozen: The passkey is right and does not sign in.
            TwoFactorRequired: The second factor is on, and ``passkey_counts_as_two_factors`` is off.
            SessionEnded, UserDisabled: The session is over, or the user may not act.
        """
        self.rt.refuse_joining("passkeys.finish_step_up")
        owner_id = identifiers.uuid_or_none(user_id)
        if owner_id is None:
            raise errors.SessionEnded
        response = AssertionResponse.from_json(credential)
        proof = await assertions.verify(self.rt, "step_up", response, user_id=owner_id)
        await assertions.accept(self.rt, proof, client)
        two_factors = self.rt.config.passkey_counts_as_two_factors
        return await Logins(self.rt).step_up_vouched(
            owner_id,
            session_id,
            auth_epoch=proof.passkey.auth_epoch,
            method=METHOD,
            amr=proof.amr(two_factors=two_factors),
            two_factors=two_factors,
            client=client,
        )

    @raises(
        errors.PasskeysNotConfigured,
        errors.InvalidChallenge,
        errors.PasskeyNotFound,
        *STORES,
    )
    async def begin_second_factor(self, user_id: str, challenge: str) -> dict[str, Any]:
        """Return the options of a second factor, which name the passkeys of the user.

        Only the holder of a live challenge, whose first factor was right, gets them.

        Args:
            user_id: The ``user_id`` of a ``TwoFactorRequired``.
            challenge: Its ``challenge``.

        Raises:
            InvalidChallenge: The challenge is over, or the account changed: sign in again.
            PasskeyNotFound: The user has no passkey that signs in, or a passkey was the first factor.
        """
        ceremonies.relying_party(self.rt.config)
        waiting = await TwoFactorChallenges(self.rt).find(user_id, challenge)
        if waiting is None:
            raise errors.InvalidChallenge
        if waiting.data["method"] == METHOD:
            raise errors.PasskeyNotFound("A passkey was the first factor of this sign-in: use another one.")
        return await self._options_of("second_factor", waiting.user_id, waiting.auth_epoch)

    @raises(*_ASSERTION, errors.InvalidChallenge, errors.MissingSigner, errors.EntitlementsUnavailable)
    async def finish_second_factor(
        self,
        user_id: str,
        challenge: str,
        credential: Mapping[str, object],
        *,
        remember_device: bool = False,
        client: Client | None = None,
    ) -> TokenPair:
        """Answer the challenge of a ``TwoFactorRequired`` by a passkey, and open the session.

        Args:
            user_id: The ``user_id`` of the refusal's metadata.
            challenge: The ``challenge`` of the refusal's metadata.
            credential: The response in the JSON form of ``PublicKeyCredential.toJSON``.
            remember_device: Skip the second factor on this device, as in ``logins.complete_two_factor``.
            client: The client that signs in.

        Raises:
            InvalidChallenge: The challenge is over, or the account changed: sign in again.
            PasskeyInvalid, PasskeyUnknown: A check failed, or the passkey is not this user's.
            PasskeyChallengeExpired: The challenge of the passkey is over.
            PasskeySuspended, LoginFrozen: The passkey is right and does not sign in.
        """
        self.rt.refuse_joining("passkey_logins.finish_second_factor")
        owner_id = identifiers.uuid_or_none(user_id)
        if owner_id is None:
            raise errors.InvalidChallenge
        try:
            response = AssertionResponse.from_json(credential)
            proof = await assertions.verify(self.rt, "second_factor", response, user_id=owner_id)
            await assertions.accept(self.rt, proof, client)
            return await Logins(self.rt).complete_verified(
                owner_id,
                challenge,
                factor=METHOD,
                amr=proof.amr(two_factors=False),
                remember_device=remember_device,
                client=client,
            )
        except errors.Unauthenticated as refusal:
            await Logins(self.rt).note_failure(refusal, client)
            raise

    async def _options_of(self, purpose: Purpose, user_id: str, auth_epoch: int) -> dict[str, Any]:
        """Return options that name the passkeys of a user; raises ``PasskeyNotFound`` without any."""
        present = await self.rt.all(sql.LIST, user_id)
        usable = [passkey for passkey in present if not (passkey.suspended or passkey.frozen)]
        if not usable:
            raise errors.PasskeyNotFound
        challenge = await Challenges(self.rt).issue(purpose, user_id=user_id, auth_epoch=auth_epoch)
        return ceremonies.request_options(self.rt.config, challenge=challenge, allowed=usable)
