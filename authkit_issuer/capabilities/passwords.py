"""Passwords: proving one, and what a proof is worth.

Unknown account, account without a password and wrong password cost the same work and give the same refusal.
What else is true of an account (banned, unverified, second factor) shows only after the password was right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from authkit_issuer import errors, identifiers
from authkit_issuer.capabilities.entitlements import Entitlements
from authkit_issuer.capabilities.tokens import (
    ALLOWED,
    FACT_COLUMNS,
    AccessToken,
    TokenFacts,
    Tokens,
    check_extra,
)
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import RESET_REQUIRED, StoredHash, check_policy
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user's stored password and everything a login asks about the user, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    email_verified: bool
    phone_verified: bool
    password_hash: str | None = field(repr=False)
    hash_algo: str | None
    must_change: bool
    two_factor: bool

    @property
    def stored(self) -> StoredHash | None:
        """The hash to compare with, None for an account without a password."""
        if self.password_hash is None or self.hash_algo is None:
            return None
        return StoredHash(text=self.password_hash, algo=self.hash_algo)


_CREDENTIAL = f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, u.email_verified, u.phone_verified,
           p.password_hash, p.hash_algo, coalesce(p.must_change, false) as must_change,
           exists (
               select from profiles.two_factor_settings t where t.user_id = u.id and t.enabled
           ) as two_factor
    from profiles.users u left join profiles.user_passwords p on p.user_id = u.id
"""
BY_EMAIL = Query(Credential, _CREDENTIAL + "where lower(u.email) = $1")
BY_PHONE = Query(Credential, _CREDENTIAL + "where u.phone_number = $1")
BY_USERNAME = Query(Credential, _CREDENTIAL + "where lower(u.username) = lower($1)")
BY_ID = Query(Credential, _CREDENTIAL + "where u.id = $1::uuid")
STORE_HASH = Statement(
    """
    insert into profiles.user_passwords (user_id, password_hash, hash_algo) values ($1::uuid, $2, 'argon2id')
    on conflict (user_id) do update
    set password_hash = excluded.password_hash, hash_algo = excluded.hash_algo, hash_params = null,
        must_change = false, password_updated_at = now()
    """
)
# Compare and swap: an unconditional write could bring back a password that was changed a moment ago.
REHASH = Statement(
    """
    update profiles.user_passwords set password_hash = $3, hash_algo = 'argon2id', hash_params = null
    where user_id = $1::uuid and password_hash = $2
    """
)
HAS = Query(bool, "select exists (select from profiles.user_passwords where user_id = $1::uuid)")
LOGGED_IN = Query(
    TokenFacts,
    f"""
    with entered as (
        update profiles.users u set last_login = now()
        where u.id = $1::uuid and u.auth_epoch = $2 and {ALLOWED} returning u.id
    )
    select {FACT_COLUMNS} from profiles.users u join entered on entered.id = u.id
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A password was right at this epoch of the account; any later change of the account voids it."""

    user_id: str
    auth_epoch: int


@dataclass(frozen=True, slots=True)
class Passwords:
    """Stores and proves passwords."""

    rt: Runtime

    async def prove(self, identifier: str, password: str) -> Proof:
        """Check a password for a mail address, E.164 number or user name; nothing is opened.

        Raises ``InvalidCredentials``; after a right password ``UserBanned``, ``PasswordResetRequired``,
        ``EmailNotVerified``, ``PhoneNotVerified``, ``TwoFactorRequired``. Not inside a transaction: hashing
        would hold its connection.
        """
        found, verified = await self._find(identifier)
        proof = await self._prove(found, password)
        if self.rt.config.verification_required and not verified:
            phone = identifier.strip().startswith("+")
            raise errors.PhoneNotVerified if phone else errors.EmailNotVerified
        return proof

    async def login(
        self, email: str, password: str, extra: Mapping[str, object] | None = None
    ) -> AccessToken:
        """Return an access token without a session for a mail address and password; sets ``last_login``.

        Raises as ``prove`` does, and ``ReservedClaim``.
        """
        return await self._login(email, password, extra)

    async def login_by_phone(
        self, phone: str, password: str, extra: Mapping[str, object] | None = None
    ) -> AccessToken:
        """Return an access token without a session for a phone number and password; raises as ``login``."""
        return await self._login(phone, password, extra)

    async def login_by_username(
        self, username: str, password: str, extra: Mapping[str, object] | None = None
    ) -> AccessToken:
        """Return an access token without a session for a user name and password; raises as ``login``."""
        return await self._login(username, password, extra)

    async def _login(self, identifier: str, password: str, extra: Mapping[str, object] | None) -> AccessToken:
        check_extra(extra)
        proof = await self.prove(identifier, password)
        facts = await self.rt.maybe(LOGGED_IN, proof.user_id, proof.auth_epoch)
        if facts is None:
            raise errors.InvalidCredentials
        entitlements = await Entitlements(self.rt).for_token(proof.user_id)
        return Tokens(self.rt).mint(facts, entitlements, extra=extra)

    async def verify(self, user_id: str, password: str) -> bool:
        """Tell whether this is the user's password: mints nothing, moves nothing, reveals nothing else."""
        self.rt.refuse_joining("passwords.verify")
        known = identifiers.user_id(user_id)
        found = await self.rt.maybe(BY_ID, known) if known else None
        return (await self.rt.hasher.verify(found.stored if found else None, password)).fits

    async def has(self, user_id: str) -> bool:
        """Tell whether the user has a password."""
        known = identifiers.user_id(user_id)
        return known is not None and await self.rt.one(HAS, known)

    async def hash(self, password: str) -> str:
        """Return the hash to store; raises ``PasswordTooShort``, ``PasswordTooLong``, ``ServerBusy``."""
        self.rt.refuse_joining("passwords.hash")
        check_policy(password)
        return await self.rt.hasher.hash(password)

    async def store_hash(self, user_id: str, password_hash: str) -> None:
        """Make an Argon2id hash the user's password; joins the transaction it is called in."""
        await self.rt.execute(STORE_HASH, user_id, password_hash)

    async def _find(self, identifier: str) -> tuple[Credential | None, bool]:
        """Return the credential and whether the contact it was found by (any, for a name) is verified."""
        text = identifier.strip()
        if not identifiers.storable(text):
            text = ""
        if "@" in text:
            found = await self.rt.maybe(BY_EMAIL, text.lower())
            return found, found is not None and found.email_verified
        if text.startswith("+"):
            found = await self.rt.maybe(BY_PHONE, text)
            return found, found is not None and found.phone_verified
        found = await self.rt.maybe(BY_USERNAME, text)
        return found, found is not None and (found.email_verified or found.phone_verified)

    async def _prove(self, found: Credential | None, password: str) -> Proof:
        self.rt.refuse_joining("a password check")
        stored = found.stored if found else None
        verdict = await self.rt.hasher.verify(stored, password)
        if found is not None and stored is not None and stored.algo == RESET_REQUIRED:
            raise errors.PasswordResetRequired
        if found is None or stored is None or not verdict.fits:
            raise errors.InvalidCredentials
        if not found.allowed:
            raise errors.UserBanned
        if verdict.needs_rehash:
            await self.rt.execute(REHASH, found.user_id, stored.text, await self.rt.hasher.rehash(password))
        if found.must_change:
            raise errors.PasswordResetRequired
        if found.two_factor:
            raise errors.TwoFactorRequired
        return Proof(user_id=found.user_id, auth_epoch=found.auth_epoch)
