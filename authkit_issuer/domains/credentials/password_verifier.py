"""Password verification.

An unknown account, an account without a password and a wrong password cost the same work and get the same
refusal. Anything else about an account (banned, unverified, second factor) shows only after a right password,
which also replaces a weak hash (``Verdict.needs_rehash``). Without a stored hash, a dummy hash is computed;
``security.dummy_hashes`` knows how much work that is.
``obstacles`` refuses what is not the fault of the password, ``login_attempts`` counts wrong ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.credentials import queries as sql
from authkit_issuer.domains.credentials.identifier import Identifier
from authkit_issuer.domains.credentials.login_attempts import (
    DEVICE,
    LOGIN,
    REAUTHENTICATION,
    USER,
    LoginAttempts,
)
from authkit_issuer.domains.credentials.obstacles import login_obstacle, refusal_of
from authkit_issuer.domains.credentials.queries import Credential
from authkit_issuer.domains.factors.enrollment_token import refuse_without_factor
from authkit_issuer.domains.factors.service import TwoFactor
from authkit_issuer.domains.tokens.claims import check_extra
from authkit_issuer.domains.tokens.service import AccessToken, TokenFacts, Tokens, fact_columns
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import RESET_REQUIRED, Verdict
from authkit_issuer.security.stored_hashes import Cost, StoredHash, cost_of
from authkit_issuer.store.predicates import ALLOWED, NO_AMR
from authkit_issuer.store.query import Query, Statement

LOGGED_IN = Query(
    TokenFacts,
    f"""
    with entered as (
        update profiles.users u set last_login = now()
        where u.id = $1::uuid and u.auth_epoch = $2 and {ALLOWED} returning u.id
    )
    select {fact_columns(NO_AMR)} from profiles.users u join entered on entered.id = u.id
    """,
)

# Compare and swap: an unconditional write could bring back a password that was changed a moment ago.
REHASH = Statement(
    """
    update profiles.user_passwords set password_hash = $3, hash_algo = 'argon2id', hash_params = null
    where user_id = $1::uuid and password_hash = $2
    """
)


METHOD, REAUTHENTICATED = "password_login", "reauthentication"
AMR = ("pwd",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """A password about to be checked: its account, its counters, and its place in the hashing queue."""

    found: Credential | None
    own: LoginAttempts
    of_user: LoginAttempts | None
    """None for a known device, which has its own counter."""
    client: str


@dataclass(frozen=True, slots=True)
class PasswordVerifier:
    """Verifies passwords and counts the wrong ones."""

    rt: Runtime

    async def prove(self, identifier: Identifier, password: str, client: Client | None) -> FirstFactor:
        """Verify a password, then refuse if an obstacle keeps its user from signing in."""
        found = await self.check(identifier, password, client)
        obstacle = login_obstacle(found, self.rt.config, identifier.by)
        if obstacle is not None:
            raise _about(found, refusal_of(obstacle, found, self.rt.config))
        return FirstFactor(
            user_id=found.user_id,
            auth_epoch=found.auth_epoch,
            two_factor=found.two_factor,
            method=METHOD,
            amr=AMR,
        )

    async def check(self, identifier: Identifier, password: str, client: Client | None) -> Credential:
        """Count and verify a password; return its account, whatever keeps the user from signing in."""
        self.rt.refuse_joining("a password check")
        dummy = await identifier.dummy_cost(self.rt)
        attempt = await self._attempt(identifier, client)
        found, own, of_user = attempt.found, attempt.own, attempt.of_user
        tries: list[int] = []

        async def count() -> None:
            tries.extend((await own.increment_or_refuse(), await of_user.increment() if of_user else 0))

        verdict = await self.rt.hasher.verify(
            _hash_or_dummy(found, dummy),
            password,
            client=attempt.client,
            known=of_user is None,
            before=count,
        )
        beyond_limit = tries[1] > self.rt.config.login_failure_limit
        if found is None or not verdict.fits or beyond_limit:
            await own.lock(tries[0])
            raise _about(found, _wrong_password(None if beyond_limit else found))
        await own.clear()
        if of_user is not None:
            await of_user.clear()
        await self._replace_weak(found, verdict, password, attempt)
        return found

    async def login(
        self,
        identifier: Identifier,
        password: str,
        extra: Mapping[str, object] | None,
        client: Client | None,
    ) -> AccessToken:
        """Return an access token without a session."""
        check_extra(extra)
        first = await self.prove(identifier, password, client)
        await self._require_second_factor(first, extra, client)
        await refuse_without_factor(self.rt, first)
        facts = await self.rt.maybe(LOGGED_IN, first.user_id, first.auth_epoch)
        if facts is None:
            raise errors.InvalidCredentials
        entitlements = await Entitlements(self.rt).for_token(first.user_id)
        return Tokens(self.rt).mint(facts, entitlements, extra=extra)

    async def matches(
        self, found: Credential | None, user_id: str, password: str, client: Client | None
    ) -> bool:
        """True if the password of a user who is already signed in matches; a wrong one leaves an event.

        These tries have their own counter: failed logins from elsewhere do not keep the user from this.
        Raises ``TooManyRequests``.
        """
        own = LoginAttempts(self.rt, REAUTHENTICATION, user_id)
        await own.check()
        tries: list[int] = []
        dummy = await Identifier.typed("user_id", user_id).dummy_cost(self.rt)

        async def count() -> None:
            tries.append(await own.increment_or_refuse())

        verdict = await self.rt.hasher.verify(
            _hash_or_dummy(found, dummy),
            password,
            client=prefix(client),
            before=count,
        )
        if verdict.fits:
            await own.clear()
            return True
        await own.lock(tries[0])
        await Events(self.rt).record(
            SessionEventType.SESSION_FAILED,
            actor=None,
            user_id="" if found is None else found.user_id,
            method=REAUTHENTICATED,
            reason=errors.InvalidCredentials.code,
            client=client,
        )
        return False

    async def _attempt(self, identifier: Identifier, client: Client | None) -> _Attempt:
        """Find the account and its counters; raises ``TooManyRequests`` while they are locked.

        Without a known device, the counter of the identifier is checked before the account is looked up, and
        everything after is the same for existing and unknown accounts.
        """
        device = Devices(self.rt).of(client)
        if device is not None:
            # Look up the device's user whatever was typed: it must not matter if the identifier exists.
            holder = await self.rt.maybe(sql.BY_ID, device.user_id)
            if holder and device.is_trusted(holder.user_id, holder.auth_epoch) and identifier.is_of(holder):
                own = LoginAttempts(self.rt, DEVICE, device.id)
                await own.check()
                return _Attempt(found=holder, own=own, of_user=None, client=holder.user_id)
        own = LoginAttempts(self.rt, LOGIN, f"{identifier.by}|{identifier.text}")
        await own.check()
        found = await identifier.find(self.rt)
        # An unknown account has such a counter too, so that the store sees the same commands for both.
        of_user = LoginAttempts(self.rt, USER, found.user_id if found else own.subject)
        return _Attempt(found=found, own=own, of_user=of_user, client=prefix(client))

    async def _require_second_factor(
        self, first: FirstFactor, extra: Mapping[str, object] | None, client: Client | None
    ) -> None:
        """If a second factor is required, send its code and raise ``TwoFactorRequired``."""
        factors = TwoFactor(self.rt)
        if not await factors.required_for(first, client):
            return
        challenged = await factors.begin(
            first.user_id,
            auth_epoch=first.auth_epoch,
            method=first.method,
            amr=first.amr,
            extra=extra,
            client=client,
        )
        raise challenged.required()

    async def _replace_weak(
        self, found: Credential, verdict: Verdict, password: str, attempt: _Attempt
    ) -> None:
        """Hash a password again whose hash is too weak; a busy server leaves it to the next login."""
        if not verdict.needs_rehash or found.stored is None:
            return
        with suppress(errors.ServerBusy):
            fresh = await self.rt.hasher.rehash(
                password, client=attempt.client, known=attempt.of_user is None
            )
            await self.rt.execute(REHASH, found.user_id, found.stored.text, fresh)


def prefix(client: Client | None) -> str:
    """Return what tells clients apart in the hashing queue, ``""`` if nothing is known."""
    return ip_prefix(client.ip if client else None)


def _hash_or_dummy(found: Credential | None, dummy: Cost) -> StoredHash | Cost:
    """Return what the password is compared with: a dummy hash without an account or a readable hash."""
    if found is None or found.stored is None or cost_of(found.stored) is None:
        return dummy
    return found.stored


def _wrong_password(found: Credential | None) -> errors.Unauthenticated:
    """Return the refusal of a wrong password; for a hash that never fits, that it must be replaced."""
    if found is not None and found.hash_algo == RESET_REQUIRED:
        return errors.PasswordResetRequired()
    return errors.InvalidCredentials()


def _about(found: Credential | None, refusal: errors.Unauthenticated) -> errors.Unauthenticated:
    """Return the refusal with the account it is about, for the audit trail."""
    refusal.about = found.user_id if found is not None else ""
    return refusal
