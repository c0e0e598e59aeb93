"""Passwords: verify one, set one, reset one.

``policy`` says which passwords are accepted, ``login_attempts`` limits wrong ones, and ``obstacles`` refuses
logins with right ones. ``password_update`` stores a new one and ends the sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.contacts import EMAIL, PHONE
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.credentials import queries as sql
from authkit_issuer.domains.credentials.identifier import Identifier
from authkit_issuer.domains.credentials.password_reset import PasswordReset
from authkit_issuer.domains.credentials.password_update import PasswordUpdater, lock, readable
from authkit_issuer.domains.credentials.password_verifier import PasswordVerifier, prefix
from authkit_issuer.domains.credentials.policy import check_policy
from authkit_issuer.domains.tokens.service import AccessToken
from authkit_issuer.errors.declared import PASSWORD_RULES, STORES, raises
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Passwords:
    """Stores and verifies passwords."""

    rt: Runtime

    @raises(
        errors.InvalidCredentials,
        errors.UserBanned,
        errors.UserDeleted,
        errors.EmailNotVerified,
        errors.PhoneNotVerified,
        errors.PasswordResetRequired,
        errors.TooManyRequests,
        errors.ServerBusy,
        *STORES,
    )
    async def prove(self, identifier: str, password: str, *, client: Client | None = None) -> FirstFactor:
        """Verify the password of an email address, E.164 number or user name; opens no session.

        Not inside a transaction: hashing would hold its connection.

        Args:
            identifier: The email address, phone number or user name.
            password: What was typed.
            client: The client, for its counters and its place in the hashing queue.

        Returns:
            The first factor; its ``two_factor`` is True if the account has a second factor, still to be
            verified.

        Raises:
            InvalidCredentials: The identifier is unknown, or the password wrong.
            TooManyRequests: Too many passwords were wrong; see ``login_failure_limit``.
            ServerBusy: The hashing queue is full.
            UserBanned: The password is right; the user is banned.
            UserDeleted: The password is right; the user is deleted.
            PasswordResetRequired: The password must be replaced.
            EmailNotVerified: The password is right; the email address is not verified yet.
            PhoneNotVerified: The password is right; the phone number is not verified yet.
        """
        return await PasswordVerifier(self.rt).prove(Identifier.of(identifier), password, client)

    async def login(
        self,
        email: str,
        password: str,
        extra: Mapping[str, object] | None = None,
        *,
        client: Client | None = None,
    ) -> AccessToken:
        """Return an access token without a session for an email address and password; sets ``last_login``.

        Raises as ``prove`` does, ``ReservedClaim`` and, where the account asks for a second factor,
        ``TwoFactorRequired`` with the challenge that ``logins.complete_two_factor`` takes; where
        ``two_factor_policy`` requires one and there is none, ``TwoFactorEnrollmentRequired``.
        """
        return await PasswordVerifier(self.rt).login(
            Identifier.typed("email", email), password, extra, client
        )

    async def login_by_user_id(
        self,
        user_id: str,
        password: str,
        extra: Mapping[str, object] | None = None,
        *,
        client: Client | None = None,
    ) -> AccessToken:
        """Return an access token without a session for a user id and password; raises as ``login``."""
        return await PasswordVerifier(self.rt).login(
            Identifier.typed("user_id", user_id), password, extra, client
        )

    async def login_by_phone(
        self,
        phone: str,
        password: str,
        extra: Mapping[str, object] | None = None,
        *,
        client: Client | None = None,
    ) -> AccessToken:
        """Return an access token without a session for a phone number and password; raises as ``login``."""
        return await PasswordVerifier(self.rt).login(
            Identifier.typed("phone", phone), password, extra, client
        )

    async def login_by_username(
        self,
        username: str,
        password: str,
        extra: Mapping[str, object] | None = None,
        *,
        client: Client | None = None,
    ) -> AccessToken:
        """Return an access token without a session for a user name and password; raises as ``login``."""
        return await PasswordVerifier(self.rt).login(
            Identifier.typed("username", username), password, extra, client
        )

    @raises(errors.TooManyRequests, errors.ServerBusy, errors.EphemeralStoreUnavailable)
    async def verify(self, user_id: str, password: str, *, client: Client | None = None) -> bool:
        """True if this is the password of a user who is signed in; changes and reveals nothing else.

        Wrong passwords have a counter apart from failed logins. Raises ``TooManyRequests``, ``ServerBusy``.
        """
        self.rt.refuse_joining("passwords.verify")
        known = identifiers.uuid_or_none(user_id)
        found = await self.rt.maybe(sql.BY_ID, known) if known else None
        return await PasswordVerifier(self.rt).matches(found, known or "", password, client)

    @raises(
        errors.CurrentPasswordRequired,
        errors.InvalidCredentials,
        errors.PasswordResetRequired,
        *PASSWORD_RULES,
        errors.SessionNotFound,
        errors.UserNotFound,
        errors.UserBanned,
        errors.TooManyRequests,
        errors.ServerBusy,
        errors.EphemeralStoreUnavailable,
    )
    async def change(
        self,
        user_id: str,
        current: str,
        new: str,
        keep_session_id: str | None = None,
        *,
        client: Client | None = None,
    ) -> None:
        """Replace the password, or set the first one, and end every session except ``keep_session_id``.

        Hash, sessions and event are one transaction; logins in progress with the old password fail. Not
        inside a transaction.

        Args:
            user_id: The user.
            current: The password now; not checked if there is none yet.
            new: The password to set.
            keep_session_id: A live session of the user, usually the one that makes the change.
            client: The client, for the event and the hashing queue.

        Raises:
            CurrentPasswordRequired: ``current`` is empty.
            InvalidCredentials: ``current`` is wrong, or the account changed meanwhile.
            PasswordResetRequired: The hash was imported and must be replaced by a reset.
            PasswordTooShort: ``new`` breaks a rule; likewise ``PasswordTooLong``, ``PasswordTooCommon``,
                ``PasswordBreached``.
            SessionNotFound: The session to keep is not a live one of the user.
            UserNotFound: The user does not exist.
            UserBanned: The user is banned or deleted.
            TooManyRequests: Too many passwords were wrong.
            ServerBusy: The hashing queue is full.
        """
        self.rt.refuse_joining("passwords.change")
        keep = None
        if keep_session_id:
            keep = identifiers.uuid_or_none(keep_session_id)
            if keep is None:
                raise errors.SessionNotFound
        await PasswordUpdater(self.rt).change(user_id, current, new, keep, client)

    @raises(
        errors.InvalidCredentials,
        errors.UserBanned,
        errors.UserDeleted,
        errors.Conflict,
        errors.Invalid,
        *PASSWORD_RULES,
        errors.TooManyRequests,
        errors.ServerBusy,
        *STORES,
    )
    async def replace_temporary(
        self, identifier: str, current: str, new: str, *, client: Client | None = None
    ) -> None:
        """Replace a password that an operator set with ``must_change``; every session ends.

        The user then signs in with the new one. Not inside a transaction.

        Args:
            identifier: The email address, phone number or user name.
            current: The temporary password.
            new: The password to set.
            client: The client, for the counters, the event and the hashing queue.

        Raises:
            InvalidCredentials: ``current`` is wrong, or the account changed meanwhile.
            Conflict: ``current`` is right and not temporary: sign in, and change it there.
            Invalid: ``new`` is the temporary password.
            PasswordTooShort: ``new`` breaks a rule; likewise ``PasswordTooLong``, ``PasswordTooCommon``,
                ``PasswordBreached``.
            AuthError: Any other refusal of ``prove``, except those of an unverified contact.
        """
        self.rt.refuse_joining("passwords.replace_temporary")
        await PasswordUpdater(self.rt).replace_temporary(Identifier.of(identifier), current, new, client)

    @raises(errors.UserNotFound, *PASSWORD_RULES, errors.ServerBusy)
    async def admin_set(
        self,
        user_id: str,
        new: str,
        *,
        must_change: bool = False,
        actor: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Set the password of another user and end all their sessions.

        With ``must_change``, a login with it raises ``PasswordResetRequired`` until the owner sets another,
        by a reset or by ``replace_temporary``. ``actor`` is the operator, for the event. Raises
        ``password_*``, ``UserNotFound``, ``ServerBusy``. Not inside a transaction.
        """
        new_hash = await self.hash(new, client=client)
        known = identifiers.uuid_or_none(user_id)
        if known is None:
            raise errors.UserNotFound
        async with self.rt.transaction() as tx:
            await lock(tx, known)
            await PasswordUpdater(tx).store(
                known,
                new_hash,
                reason=SessionRevokeReason.ADMIN_SET_PASSWORD,
                must_change=must_change,
                actor=actor,
                client=client,
            )

    async def has(self, user_id: str) -> bool:
        """True if the user has a password."""
        known = identifiers.uuid_or_none(user_id)
        return known is not None and await self.rt.one(sql.HAS_PASSWORD, known)

    async def upsert_hash(
        self,
        user_id: str,
        hash: str,  # noqa: A002 - the name callers know
        algo: str,
        params: Mapping[str, object] | None = None,
        *,
        revoke_sessions: bool = False,
        actor: str | None = None,
    ) -> None:
        """Store a hash that was made elsewhere, after checking that it can be verified.

        Logins in progress fail.

        Args:
            user_id: The user.
            hash: The hash, at most 512 characters.
            algo: ``argon2id``, ``argon2i``, ``bcrypt``, ``pbkdf2``, ``scrypt``, ``""`` (by the hash itself)
                or ``legacy-reset-required``, which never fits and requires a reset.
            params: Parameters to store beside the hash, at most 4096 bytes of JSON.
            revoke_sessions: True if the user's sessions end.
            actor: What stored it, for the event.

        Raises:
            InvalidPasswordHash: The hash is unreadable, too expensive, or its parameters are not JSON.
            UserNotFound: The user does not exist.
        """
        await PasswordUpdater(self.rt).import_hash(
            user_id, readable(hash, algo), params, revoke_sessions=revoke_sessions, actor=actor
        )

    @raises(errors.InvalidEmail, errors.EmailUnavailable, *STORES)
    async def request_reset(
        self, email: str, ttl: float | None = None, *, client: Client | None = None
    ) -> str:
        """Send a reset; returns an opaque request id for every address and user name, known or not.

        Only a verified address (any address, if verification is not required) of a user who is neither
        banned nor deleted by an operator gets a message: a link, or a code if the sender sends no links. A
        user name stands for the email address of its user or, without one, the phone number. Beyond the
        sending limits nothing is sent, and the code that was sent last works with the new request id. Not
        inside a transaction.

        Args:
            email: The email address or user name.
            ttl: The life of the link or code in seconds; by default ``link_ttl`` or ``code_ttl``.
            client: The client, for the sending limits.

        Raises:
            EmailUnavailable: No email sender is configured.
            InvalidEmail: The text has an ``@`` and is not an email address.
        """
        self.rt.refuse_joining("passwords.request_reset")
        if "@" not in email:
            return await PasswordReset(self.rt).request_by_username(email, ttl, client)
        return await PasswordReset(self.rt).request(EMAIL, email, ttl, client)

    @raises(errors.InvalidPhoneNumber, errors.SmsUnavailable, *STORES)
    async def request_phone_reset(
        self, phone: str, ttl: float | None = None, *, client: Client | None = None
    ) -> str:
        """Send a reset to a verified phone number and return an opaque request id; see ``request_reset``.

        Raises ``SmsUnavailable``, ``InvalidPhoneNumber``.
        """
        self.rt.refuse_joining("passwords.request_phone_reset")
        return await PasswordReset(self.rt).request(PHONE, phone, ttl, client)

    @raises(errors.InvalidOrExpiredToken, *PASSWORD_RULES, errors.ServerBusy, *STORES)
    async def confirm_reset(self, token: str, new: str, *, client: Client | None = None) -> str:
        """Set a password with the token of an emailed link and return the user id; all sessions end.

        The new password is checked first: if it is refused, or storage fails, the token stays valid. Of
        parallel callers one succeeds. Raises ``InvalidOrExpiredToken``, ``password_*``,
        ``ServerBusy``. Not inside a transaction.
        """
        return await PasswordReset(self.rt).confirm_link(EMAIL, token, new, client)

    @raises(errors.InvalidOrExpiredCode, *PASSWORD_RULES, errors.ServerBusy, *STORES)
    async def confirm_reset_code(
        self,
        email: str,
        code: str,
        new: str,
        *,
        request_id: str | None = None,
        client: Client | None = None,
    ) -> str:
        """Set a password with a code that was sent to an email address or phone number.

        ``email`` is what the request named: the address, the number, or the user name. ``request_id`` is what
        ``request_reset`` returned; without it no code fits and no try is counted. Raises
        ``InvalidOrExpiredCode``, and as ``confirm_reset``.
        """
        return await PasswordReset(self.rt).confirm_code(email, code, new, request_id, client)

    @raises(errors.InvalidOrExpiredToken, *PASSWORD_RULES, errors.ServerBusy, *STORES)
    async def confirm_phone_reset(
        self, phone: str, token: str, new: str, *, client: Client | None = None
    ) -> str:
        """Set a password with the token of a link sent to this phone number; see ``confirm_reset``."""
        return await PasswordReset(self.rt).confirm_link(PHONE, token, new, client, phone=phone)

    async def hash(self, password: str, *, client: Client | None = None) -> str:
        """Return the hash to store; raises ``password_*``, ``ServerBusy``."""
        self.rt.refuse_joining("passwords.hash")
        await check_policy(self.rt, password)
        return await self.rt.hasher.hash(password, client=prefix(client))

    async def store_hash(self, user_id: str, password_hash: str) -> None:
        """Store an Argon2id hash as the password of a new user; joins the caller's transaction."""
        await self.rt.execute(sql.SET_HASH, user_id, password_hash, "argon2id", None, False)
