"""Proving a password, and what a proof is worth.

Unknown account, account without a password and wrong password cost the same work and give the same refusal.
What else is true of an account (banned, unverified, second factor) shows only after the password was right.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.credentials.login_attempts import (
    DEVICE,
    LOGIN,
    REAUTHENTICATION,
    USER,
    LoginAttempts,
)
from authkit_issuer.domains.credentials.queries import BY_ID, Credential, Identifier
from authkit_issuer.domains.factors.service import TwoFactor
from authkit_issuer.domains.tokens.service import (
    FACT_COLUMNS,
    AccessToken,
    TokenFacts,
    Tokens,
    check_extra,
)
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import RESET_REQUIRED, Verdict
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement

METHOD = "password_login"
AMR = ("pwd",)

# Compare and swap: an unconditional write could bring back a password that was changed a moment ago.
REHASH = Statement(
    """
    update profiles.user_passwords set password_hash = $3, hash_algo = 'argon2id', hash_params = null
    where user_id = $1::uuid and password_hash = $2
    """
)
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
class Attempt:
    """A password about to be tried: whose it would be, what counts it, and who asks for a lane."""

    found: Credential | None
    own: LoginAttempts
    of_user: LoginAttempts | None
    """None for a device that the account trusts, which is counted on its own."""
    client: str


@dataclass(frozen=True, slots=True)
class Proving:
    """Checks passwords and counts the wrong ones."""

    rt: Runtime

    async def prove(self, identifier: Identifier, password: str, client: Client | None) -> FirstFactor:
        """Check the password of an identifier and everything that may keep its user out."""
        self.rt.refuse_joining("a password check")
        dummy = await identifier.dummy_cost(self.rt)
        attempt = await self._attempt(identifier, client)
        found, own, of_user = attempt.found, attempt.own, attempt.of_user
        tries: list[int] = []

        async def count() -> None:
            tries.extend((await own.count(), await of_user.tally() if of_user else 0))

        verdict = await self.rt.hasher.verify(
            found.stored if found else None,
            password,
            dummy=dummy,
            client=attempt.client,
            known=of_user is None,
            before=count,
        )
        tripped = tries[1] > self.rt.config.login_failure_limit
        if found is None or not verdict.fits or tripped:
            await own.failed(tries[0])
            raise _of(found, _refusal(None if tripped else found))
        await own.clear()
        if of_user is not None:
            await of_user.clear()
        await self._replace_weak(found, verdict, password, attempt)
        try:
            self._let_in(found, identifier)
        except errors.Unauthenticated as refusal:
            raise _of(found, refusal) from None
        return FirstFactor(
            user_id=found.user_id,
            auth_epoch=found.auth_epoch,
            two_factor=found.two_factor,
            method=METHOD,
            amr=AMR,
        )

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
        facts = await self.rt.maybe(LOGGED_IN, first.user_id, first.auth_epoch)
        if facts is None:
            raise errors.InvalidCredentials
        entitlements = await Entitlements(self.rt).for_token(first.user_id)
        return Tokens(self.rt).mint(facts, entitlements, extra=extra)

    async def fits(
        self, found: Credential | None, user_id: str, password: str, client: Client | None
    ) -> bool:
        """Tell whether the password is that of a user who is signed in already.

        The tries are counted on their own: strangers who fail to sign in do not keep the user from this.
        Raises ``TooManyRequests``.
        """
        own = LoginAttempts(self.rt, REAUTHENTICATION, user_id)
        await own.check()
        tries: list[int] = []

        async def count() -> None:
            tries.append(await own.count())

        verdict = await self.rt.hasher.verify(
            found.stored if found else None,
            password,
            dummy=await Identifier.typed("user_id", user_id).dummy_cost(self.rt),
            client=prefix(client),
            before=count,
        )
        await (own.clear() if verdict.fits else own.failed(tries[0]))
        return verdict.fits

    async def _attempt(self, identifier: Identifier, client: Client | None) -> Attempt:
        """Return whose password is tried and what counts it; raises ``TooManyRequests`` while that waits.

        Without a known device the identifier is asked before the account is looked for, and all that follows
        is the same for those who exist and those who do not.
        """
        device = Devices(self.rt).of(client)
        if device is not None:
            # Whose device it is, whatever was typed: it must not matter whether that is anybody's name.
            holder = await self.rt.maybe(BY_ID, device.user_id)
            if holder and device.is_trusted(holder.user_id, holder.auth_epoch) and identifier.is_of(holder):
                own = LoginAttempts(self.rt, DEVICE, device.id)
                await own.check()
                return Attempt(found=holder, own=own, of_user=None, client=holder.user_id)
        own = LoginAttempts(self.rt, LOGIN, f"{identifier.by}|{identifier.text}")
        await own.check()
        found = await identifier.find(self.rt)
        # Unknown ones have such a counter too: the store is asked alike for both.
        of_user = LoginAttempts(self.rt, USER, found.user_id if found else own.subject)
        return Attempt(found=found, own=own, of_user=of_user, client=prefix(client))

    async def _require_second_factor(
        self, first: FirstFactor, extra: Mapping[str, object] | None, client: Client | None
    ) -> None:
        """Open nothing for an account that asks for a second factor: send its code and say so."""
        factors = TwoFactor(self.rt)
        if not factors.required_for(first, client):
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
        self, found: Credential, verdict: Verdict, password: str, attempt: Attempt
    ) -> None:
        """Hash a password that is stored too cheaply anew; a server too busy for that does it next time."""
        if not verdict.needs_rehash or found.stored is None:
            return
        with suppress(errors.ServerBusy):
            fresh = await self.rt.hasher.rehash(
                password, client=attempt.client, known=attempt.of_user is None
            )
            await self.rt.execute(REHASH, found.user_id, found.stored.text, fresh)

    def _let_in(self, found: Credential, identifier: Identifier) -> None:
        """Raise what keeps the user out although the password is right."""
        if not found.allowed:
            raise errors.UserBanned
        if found.must_change:
            raise errors.PasswordResetRequired
        config = self.rt.config
        since = config.verification_enforced_since
        if not config.verification_required or (since is not None and found.created_at < since):
            return
        if identifier.by == "email" and not found.email_verified:
            raise errors.EmailNotVerified
        if identifier.by == "phone" and not found.phone_verified:
            raise errors.PhoneNotVerified
        # By name or id: one proved contact is enough, and who has no contact cannot prove one.
        if not (found.email_verified or found.phone_verified):
            if found.email is not None:
                raise errors.EmailNotVerified
            if found.phone_number is not None:
                raise errors.PhoneNotVerified


def prefix(client: Client | None) -> str:
    """Return what the hashing lanes tell callers apart by, ``""`` when nothing is known."""
    return ip_prefix(client.ip if client else None)


def _refusal(found: Credential | None) -> errors.Unauthenticated:
    """Return the refusal of a wrong password; a hash that never fits says that it has to be replaced."""
    if found is not None and found.hash_algo == RESET_REQUIRED:
        return errors.PasswordResetRequired()
    return errors.InvalidCredentials()


def _of(found: Credential | None, refusal: errors.Unauthenticated) -> errors.Unauthenticated:
    """Return the refusal with the account it is about, for the audit trail."""
    refusal.about = found.user_id if found is not None else ""
    return refusal
