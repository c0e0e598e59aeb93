"""Passkeys (Web Authentication Level 3): a key pair per site and authenticator, which verifies its user.

``registration`` adds passkeys, ``logins`` signs in with them, ``ceremonies`` has the options. A passkey is a
way to sign in: it is frozen, counted and removed by the rules of external logins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.external_identities import Providers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.asking_session import require_live
from authkit_issuer.domains.factors.changes import disable_without_factors
from authkit_issuer.domains.passkeys import ceremonies, registration
from authkit_issuer.domains.passkeys import queries as sql
from authkit_issuer.domains.passkeys.queries import Passkey
from authkit_issuer.domains.sessions.service import OtherSessions, Sessions
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import LOCK_USER

__all__ = ["AcceptedPasskeys", "Passkey", "Passkeys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedPasskeys:
    """The passkeys of a user, and what the browser's signal methods take.

    ``user_handle`` is None for a user who never began to add one. ``accepted`` are the ids of the credentials
    that authenticators should keep: those of suspended passkeys are missing.
    """

    rp_id: str
    user_handle: bytes | None
    name: str
    display_name: str
    passkeys: list[Passkey]

    @property
    def accepted(self) -> list[bytes]:
        """The ids of the credentials that are not suspended."""
        return [passkey.credential_id for passkey in self.passkeys if not passkey.suspended]


@dataclass(frozen=True, slots=True)
class Passkeys:
    """Registers passkeys, signs their users in, and manages them."""

    rt: Runtime

    @raises(errors.PasskeysNotConfigured, errors.PasskeyLimitExceeded, errors.EphemeralStoreUnavailable)
    async def begin_registration(self, user_id: str, *, conditional: bool = False) -> dict[str, Any]:
        """Return the options of ``navigator.credentials.create`` in their JSON form, good for five minutes.

        Args:
            user_id: The user, whom the caller has authenticated recently.
            conditional: The browser may add the passkey without a gesture, right after a sign-in by password.

        Raises:
            PasskeysNotConfigured: ``webauthn_rp_id`` is not set.
            PasskeyLimitExceeded: The user has ``passkeys_max_per_user`` passkeys.
            UserNotFound, UserBanned: No such user, or the user may not act.
        """
        return await registration.begin(self.rt, user_id, conditional=conditional)

    @raises(
        errors.PasskeysNotConfigured,
        errors.InvalidPasskeyName,
        errors.PasskeyInvalid,
        errors.PasskeyChallengeExpired,
        errors.PasskeyAlreadyRegistered,
        errors.PasskeyLimitExceeded,
        errors.EphemeralStoreUnavailable,
    )
    async def finish_registration(
        self,
        user_id: str,
        credential: Mapping[str, object],
        *,
        name: str | None = None,
        keep_session_id: str | None = None,
        end_other_sessions: bool | None = None,
        enrolling: bool = False,
        client: Client | None = None,
    ) -> Passkey:
        """Store the passkey that an authenticator has made; the owner gets a notice by email.

        Args:
            user_id: The user of ``begin_registration``.
            credential: The response in the JSON form of ``PublicKeyCredential.toJSON``.
            name: The name, at most 60 characters; None is the name of the authenticator, or a date.
            keep_session_id: The session that asks. It must be live, and stays where the others end.
            end_other_sessions: Whether they end; None leaves it to ``factor_change_ends_sessions``.
            enrolling: It must be the first factor of the user, whom an enrollment token named; sign-ins in
                progress end.
            client: The client, for the event.

        Raises:
            PasskeyInvalid: A check of the response failed.
            PasskeyChallengeExpired: The challenge is over, or the account changed since.
            PasskeyAlreadyRegistered: An account has this credential.
            PasskeyLimitExceeded: The user has ``passkeys_max_per_user`` passkeys.
            InvalidPasskeyName: The name is empty, too long or not printable.
            UserNotFound, UserBanned: No such user, or the user may not act.
            SessionEnded: The session that asks has ended.
            Unavailable: Storage failed. The challenge takes the response again.
        """
        self.rt.refuse_joining("passkeys.finish_registration")
        request = registration.Registration(
            user_id=user_id,
            name=None if name is None else registration.passkey_name(name),
            others=OtherSessions(keep=keep_session_id, end=end_other_sessions),
            enrolling=enrolling,
            client=client,
        )
        return await registration.finish(self.rt, request, credential)

    @raises(errors.PasskeysNotConfigured)
    async def accepted_for_user(self, user_id: str) -> AcceptedPasskeys:
        """Return the passkeys of a user with what the browser's signal methods take.

        Raises:
            UserNotFound, UserBanned: No such user, or the user may not act.
        """
        rp_id = ceremonies.relying_party(self.rt.config)
        owner = await registration.read_owner(self.rt, user_id)
        name, display_name = ceremonies.names(owner)
        return AcceptedPasskeys(
            rp_id=rp_id,
            user_handle=await self.rt.maybe(sql.FIND_USER_HANDLE, owner.user_id),
            name=name,
            display_name=display_name,
            passkeys=await self.rt.all(sql.LIST, owner.user_id),
        )

    async def list_for_user(self, user_id: str) -> list[Passkey]:
        """Return the passkeys of a user, the oldest first."""
        owner_id = identifiers.uuid_or_none(user_id)
        return [] if owner_id is None else await self.rt.all(sql.LIST, owner_id)

    @raises(errors.PasskeyNotFound, errors.InvalidPasskeyName)
    async def rename(self, user_id: str, passkey_id: str, name: str) -> Passkey:
        """Give a passkey of the user another name, and return it.

        Raises:
            InvalidPasskeyName: The name is empty, longer than 60 characters or not printable.
            PasskeyNotFound: The user has no such passkey.
        """
        chosen = registration.passkey_name(name)
        renamed = await self.rt.maybe(sql.RENAME, *_identified(user_id, passkey_id), chosen)
        if renamed is None:
            raise errors.PasskeyNotFound
        return renamed

    async def confirm(
        self,
        user_id: str,
        passkey_id: str,
        *,
        session_id: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Let a frozen passkey of the user sign in again; changes nothing if it is not frozen.

        The caller must have authenticated the owner recently. Raises ``PasskeyNotFound``, and
        ``SessionEnded`` if ``session_id``, the session that asks, has ended.
        """
        passkey, owner_id = _identified(user_id, passkey_id)
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, owner_id)
            await require_live(tx, owner_id, session_id)
            if not await tx.one(sql.HAS, passkey, owner_id):
                raise errors.PasskeyNotFound
            if await tx.maybe(sql.CONFIRM, passkey, owner_id) is not None:
                await Events(tx).record(
                    SessionEventType.PASSKEY_CONFIRMED,
                    actor=None,
                    user_id=owner_id,
                    target=passkey,
                    client=client,
                )

    @raises(errors.PasskeyNotFound, errors.CannotUnlinkLastLoginMethod)
    async def remove(
        self,
        user_id: str,
        passkey_id: str,
        *,
        keep_session_id: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Remove a passkey of the user, and end sign-ins in progress; the owner gets a notice by email.

        Of parallel calls that would together leave no way to sign in, one is refused. The other sessions end
        if ``factor_change_ends_sessions`` is on.

        Args:
            user_id: The user, whom the caller has authenticated recently.
            passkey_id: The passkey.
            keep_session_id: The session that asks. It must be live, and stays where the others end.
            client: The client, for the event.

        Raises:
            PasskeyNotFound: The user has no such passkey.
            SessionEnded: The session that asks has ended.
            CannotUnlinkLastLoginMethod: No other way to sign in would remain.
        """
        passkey, owner_id = _identified(user_id, passkey_id)
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, owner_id)
            if not await tx.one(sql.HAS, passkey, owner_id):
                raise errors.PasskeyNotFound
            if not await Providers(tx).has_other_login(owner_id, passkey_id=passkey):
                raise errors.CannotUnlinkLastLoginMethod
            await _remove(tx, owner_id, passkey, actor=None, reason=None, client=client)
            await Sessions(tx).end_others(
                owner_id, OtherSessions(keep=keep_session_id, end=None), client=client
            )

    @raises(errors.PasskeyNotFound)
    async def admin_remove(
        self,
        user_id: str,
        passkey_id: str,
        *,
        actor: str,
        reason: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Remove a passkey of a user who lost it, the only way to sign in as well.

        ``actor`` is the responsible operator, for the event. The owner gets a notice by email. Raises
        ``PasskeyNotFound``.
        """
        why = identifiers.reason(reason)
        passkey, owner_id = _identified(user_id, passkey_id)
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, owner_id)
            await _remove(tx, owner_id, passkey, actor=actor, reason=why, client=client)


async def _remove(
    tx: Runtime,
    user_id: str,
    passkey_id: str,
    *,
    actor: str | None,
    reason: str | None,
    client: Client | None,
) -> None:
    """Remove a passkey with its event, and two-factor sign-in if it was the last factor.

    Raises ``PasskeyNotFound``.
    """
    if await tx.maybe(sql.REMOVE, passkey_id, user_id) is None:
        raise errors.PasskeyNotFound
    await Events(tx).record(
        SessionEventType.PASSKEY_REMOVED,
        actor=actor,
        user_id=user_id,
        target=passkey_id,
        reason=reason,
        client=client,
    )
    await disable_without_factors(tx, user_id, client, actor=actor, reason=reason)


def _identified(user_id: str, passkey_id: str) -> tuple[str, str]:
    """Return the ids of the passkey and of its user in their canonical form; raises ``PasskeyNotFound``."""
    passkey, owner = identifiers.uuid_or_none(passkey_id), identifiers.uuid_or_none(user_id)
    if passkey is None or owner is None:
        raise errors.PasskeyNotFound
    return passkey, owner
