"""Logins: from a proof to a session with its tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.capabilities.events import Events
from authkit_issuer.capabilities.one_time import OneTime
from authkit_issuer.capabilities.passwords import Passwords, Proof
from authkit_issuer.capabilities.registration import Registration
from authkit_issuer.capabilities.sessions import Sessions, TokenPair
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

_RECORDED_PER_MINUTE = 10


@dataclass(frozen=True, slots=True)
class Logins:
    """Signs people in."""

    rt: Runtime

    async def with_password(
        self, identifier: str, password: str, *, org: str | None = None, client: Client | None = None
    ) -> TokenPair:
        """Sign in by mail address, phone number or user name and a password.

        Raises ``InvalidCredentials`` and, after a right password, ``UserBanned``, ``EmailNotVerified`` (with
        ``metadata.registration_id`` while a registration is pending), ``PhoneNotVerified``,
        ``PasswordResetRequired``, ``TwoFactorRequired``; ``InvalidTarget`` for an organisation that cannot be
        had, before anything is opened; ``ServerBusy``.
        """
        if org is not None:
            raise errors.InvalidTarget(metadata={"reason": "org_mode_not_multi"})
        try:
            proof = await self._prove(identifier, password)
            return await Sessions(self.rt).sign_in(
                proof.user_id,
                method="password_login",
                auth_epoch=proof.auth_epoch,
                amr=("pwd",),
                client=client,
            )
        except errors.Unauthenticated as refusal:
            await self._note_failure(refusal, client)
            raise

    async def with_registration_code(
        self, email: str, code: str, *, registration_id: str | None, client: Client | None = None
    ) -> TokenPair:
        """Confirm a registration by its code and sign its owner in.

        Raises as ``registration.confirm_email`` does. When storage fails on the way, the code stays good.
        """
        try:
            record = await Registration(self.rt).redeem(email, code, registration_id=registration_id)
        except errors.InvalidOrExpiredCode as refusal:
            await self._note_failure(refusal, client)
            raise
        try:
            return await Sessions(self.rt).sign_in(
                record.user_id,
                method="email_verification",
                auth_epoch=record.auth_epoch,
                amr=("otp",),
                client=client,
            )
        except (errors.Unavailable, asyncio.CancelledError):
            await asyncio.shield(OneTime(self.rt).put_back(record))
            raise

    async def _prove(self, identifier: str, password: str) -> Proof:
        try:
            return await Passwords(self.rt).prove(identifier, password)
        except errors.InvalidCredentials:
            # Only someone who knows the password of the pending registration learns that there is one.
            pending = await Registration(self.rt).find_by_password(identifier, password)
            if pending is None:
                raise
        raise errors.EmailNotVerified(metadata={"registration_id": pending})

    async def _note_failure(self, refusal: errors.AuthError, client: Client | None) -> None:
        """Record a refused sign-in; a flood from one address leaves ever fewer rows, with the count."""
        prefix = ip_prefix(client.ip if client else None)
        count = await self.rt.ephemeral.incr(f"failed:{prefix}", 60.0)
        if count > _RECORDED_PER_MINUTE and count & (count - 1):
            return
        await Events(self.rt).record(
            SessionEventType.SESSION_FAILED,
            reason=refusal.code,
            client=client,
            data={"count": count} if count > _RECORDED_PER_MINUTE else None,
        )
