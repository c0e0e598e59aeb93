"""Passwords: proving one, setting one, and getting back in without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.credentials.password_reset import EMAIL, PHONE, Resets
from authkit_issuer.domains.credentials.password_update import SET_HASH, Setting, lock, readable
from authkit_issuer.domains.credentials.password_verifier import Proving, prefix
from authkit_issuer.domains.credentials.policy import check_policy
from authkit_issuer.domains.credentials.queries import BY_ID, Identifier
from authkit_issuer.domains.tokens.service import AccessToken
from authkit_issuer.errors.declared import PASSWORD_RULES, STORES, raises
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query

HAS = Query(bool, "select exists (select from profiles.user_passwords where user_id = $1::uuid)")


@dataclass(frozen=True, slots=True)
class Passwords:
    """Stores and proves passwords."""

    rt: Runtime

    async def prove(self, identifier: str, password: str, *, client: Client | None = None) -> FirstFactor:
        """Check a password for an email address, E.164 number or user name; nothing is opened.

        Raises ``InvalidCredentials``, ``TooManyRequests`` after too many wrong ones, ``ServerBusy``; after a
        right password ``UserBanned``, ``PasswordResetRequired``, ``EmailNotVerified``, ``PhoneNotVerified``.
        ``two_factor`` of the result is True if the account has a second factor, still to be verified. Not
        inside a transaction: hashing would hold its connection.
        """
        return await Proving(self.rt).prove(Identifier.of(identifier), password, client)

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
        ``TwoFactorRequired`` with the challenge that ``logins.complete_two_factor`` takes.
        """
        return await Proving(self.rt).login(Identifier.typed("email", email), password, extra, client)

    async def login_by_user_id(
        self,
        user_id: str,
        password: str,
        extra: Mapping[str, object] | None = None,
        *,
        client: Client | None = None,
    ) -> AccessToken:
        """Return an access token without a session for a user id and password; raises as ``login``."""
        return await Proving(self.rt).login(Identifier.typed("user_id", user_id), password, extra, client)

    async def login_by_phone(
        self,
        phone: str,
        password: str,
        extra: Mapping[str, object] | None = None,
        *,
        client: Client | None = None,
    ) -> AccessToken:
        """Return an access token without a session for a phone number and password; raises as ``login``."""
        return await Proving(self.rt).login(Identifier.typed("phone", phone), password, extra, client)

    async def login_by_username(
        self,
        username: str,
        password: str,
        extra: Mapping[str, object] | None = None,
        *,
        client: Client | None = None,
    ) -> AccessToken:
        """Return an access token without a session for a user name and password; raises as ``login``."""
        return await Proving(self.rt).login(Identifier.typed("username", username), password, extra, client)

    @raises(errors.TooManyRequests, errors.ServerBusy, errors.EphemeralStoreUnavailable)
    async def verify(self, user_id: str, password: str, *, client: Client | None = None) -> bool:
        """Tell whether this is the user's password: mints nothing, moves nothing, reveals nothing else.

        For a user who is signed in. Wrong ones are counted apart from failed logins; raises
        ``TooManyRequests`` and ``ServerBusy``.
        """
        self.rt.refuse_joining("passwords.verify")
        known = identifiers.user_id(user_id)
        found = await self.rt.maybe(BY_ID, known) if known else None
        return await Proving(self.rt).fits(found, known or "", password, client)

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
        """Replace the password, or set the first one, and end every session but the one to keep.

        Hash, sessions and event are one transaction, and logins under way with the old password come to
        nothing. ``current`` is not asked for where there is no password yet. Raises ``password_*``,
        ``CurrentPasswordRequired``, ``InvalidCredentials``, ``PasswordResetRequired`` for an imported hash
        that must be replaced by a reset, ``SessionNotFound`` when the session to keep is not the user's,
        ``UserNotFound``, ``UserBanned``, ``TooManyRequests``, ``ServerBusy``. Not inside a transaction.
        """
        self.rt.refuse_joining("passwords.change")
        keep = None
        if keep_session_id:
            keep = identifiers.uuid_or_none(keep_session_id)
            if keep is None:
                raise errors.SessionNotFound
        await Setting(self.rt).change(user_id, current, new, keep, client)

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
        """Set a password for somebody else and end all their sessions.

        With ``must_change`` a login with it raises ``PasswordResetRequired`` until the owner has set another.
        ``actor`` is who did it, for the event. Raises ``password_*``, ``UserNotFound``, ``ServerBusy``. Not
        inside a transaction.
        """
        new_hash = await self.hash(new, client=client)
        known = identifiers.user_id(user_id)
        if known is None:
            raise errors.UserNotFound
        async with self.rt.transaction() as tx:
            await lock(tx, known)
            await Setting(tx).store(
                known,
                new_hash,
                reason=SessionRevokeReason.ADMIN_SET_PASSWORD,
                must_change=must_change,
                actor=actor,
                client=client,
            )

    async def has(self, user_id: str) -> bool:
        """Tell whether the user has a password."""
        known = identifiers.user_id(user_id)
        return known is not None and await self.rt.one(HAS, known)

    async def upsert_hash(
        self,
        user_id: str,
        hash: str,  # noqa: A002 - the name callers know
        algo: str,
        params: Mapping[str, object] | None = None,
        *,
        revoke_sessions: bool = False,
    ) -> None:
        """Store a hash that was made elsewhere, after reading it for its algorithm.

        ``argon2id``, ``bcrypt``, ``""`` (bcrypt by its prefix) or ``legacy-reset-required``, which never fits
        and sends its owner to a reset. Sessions stay unless ``revoke_sessions``; logins under way do not.
        Raises ``InvalidPasswordHash``, ``UserNotFound``.
        """
        await Setting(self.rt).import_hash(
            user_id, readable(hash, algo), params, revoke_sessions=revoke_sessions
        )

    @raises(errors.InvalidEmail, errors.EmailUnavailable, *STORES)
    async def request_reset(
        self, email: str, ttl: float | None = None, *, client: Client | None = None
    ) -> str:
        """Send a reset to an email address and return an opaque request id, whoever's address it is.

        Only a proved address of a user who may act gets one (any address where verification is not
        required), as a link, or as a code where the sender sends no links; beyond the sending limits nothing
        is sent. ``ttl`` is in seconds. Raises ``EmailUnavailable``, ``InvalidEmail``. Not inside a
        transaction.
        """
        return await Resets(self.rt).request_email(email, ttl, client)

    @raises(errors.InvalidPhoneNumber, errors.SmsUnavailable, *STORES)
    async def request_phone_reset(
        self, phone: str, ttl: float | None = None, *, client: Client | None = None
    ) -> str:
        """Send a reset to a proved phone number and return an opaque request id; see ``request_reset``.

        Raises ``SmsUnavailable``, ``InvalidPhoneNumber``.
        """
        return await Resets(self.rt).request_phone(phone, ttl, client)

    @raises(errors.InvalidOrExpiredToken, *PASSWORD_RULES, errors.ServerBusy, *STORES)
    async def confirm_reset(self, token: str, new: str, *, client: Client | None = None) -> str:
        """Set a password with the token of a mailed link and return the user id; all sessions end.

        The new password is checked first: a refused one leaves the token good, and so does a failing storage.
        Of any number of parallel callers one wins. Raises ``InvalidOrExpiredToken``, ``password_*``,
        ``ServerBusy``. Not inside a transaction.
        """
        return await Resets(self.rt).confirm_link(EMAIL, token, new, client)

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

        ``request_id`` is what the request answered; without it no code fits and no try is counted. Raises
        ``InvalidOrExpiredCode``, and as ``confirm_reset``.
        """
        return await Resets(self.rt).confirm_code(email, code, new, request_id, client)

    @raises(errors.InvalidOrExpiredToken, *PASSWORD_RULES, errors.ServerBusy, *STORES)
    async def confirm_phone_reset(
        self, phone: str, token: str, new: str, *, client: Client | None = None
    ) -> str:
        """Set a password with the token of a link that was sent to this number; see ``confirm_reset``."""
        return await Resets(self.rt).confirm_link(PHONE, token, new, client, phone=phone)

    async def hash(self, password: str, *, client: Client | None = None) -> str:
        """Return the hash to store; raises ``password_*``, ``ServerBusy``."""
        self.rt.refuse_joining("passwords.hash")
        await check_policy(self.rt, password)
        return await self.rt.hasher.hash(password, client=prefix(client))

    async def store_hash(self, user_id: str, password_hash: str) -> None:
        """Make an Argon2id hash a new user's password; joins the transaction it is called in."""
        await self.rt.execute(SET_HASH, user_id, password_hash, "argon2id", None, False)
