"""Sign In With Solana: a wallet answers a challenge, once, and is signed in or linked.

The challenge is used up before anything of the answer is believed. What a wallet is called is its address on
a network: the provider issuer is ``solana:<network>``, the subject the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.external_identities import Providers
from authkit_issuer.domains.accounts.service import User, Users
from authkit_issuer.domains.accounts.usernames import Usernames
from authkit_issuer.domains.base.codes import on_outage
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.login.solana import queries as sql
from authkit_issuer.domains.login.solana.records import (
    ChallengeCache,
    ChallengeData,
    StoredChallenges,
)
from authkit_issuer.domains.sessions.service import TokenPair
from authkit_issuer.domains.tokens.service import AccessToken, check_extra
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, USERNAME_RULES, raises
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import siws
from authkit_issuer.security.siws import SignInInput, SignInOutput, build_message

__all__ = [
    "SOLANA_PROVIDER_SLUG",
    "ChallengeCache",
    "ChallengeData",
    "SignInInput",
    "SignInOutput",
    "SiwsLogin",
    "Solana",
    "build_message",
]

SOLANA_PROVIDER_SLUG = "solana"
METHOD = "solana_login"
_NAMES_TRIED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SiwsLogin(TokenPair):
    """The tokens of a wallet's sign-in; ``created`` tells that the account is new."""

    created: bool


_WALLET_ANSWER = (
    errors.SiwsMessageInvalid,
    errors.SiwsDomainInvalid,
    errors.SiwsAddressMismatch,
    errors.InvalidAddress,
    errors.SiwsChallengeNotFound,
    errors.SiwsChallengeExpired,
    errors.SiwsChallengeMismatch,
    errors.SiwsTimestampInvalid,
    errors.SiwsSignatureInvalid,
    errors.EphemeralStoreUnavailable,
)


@dataclass(frozen=True, slots=True)
class Solana:
    """Challenges wallets, signs them in and links them."""

    rt: Runtime

    @raises(
        errors.SiwsDomainInvalid, errors.InvalidAddress, *USERNAME_RULES, errors.EphemeralStoreUnavailable
    )
    async def generate_challenge(
        self,
        domain: str,
        address: str,
        username: str | None = None,
        *,
        cache: ChallengeCache | None = None,
    ) -> SignInInput:
        """Return what the wallet is asked to sign; it can be answered once within ``solana_challenge_ttl``.

        ``username`` is what a new account is to be called. Raises ``SiwsDomainInvalid`` unless the domain is
        configured, ``InvalidAddress``, ``username_*``.
        """
        domain = domain.strip().lower()
        if domain not in self.domains:
            raise errors.SiwsDomainInvalid(param="domain")
        siws.public_key(address)
        config = self.rt.config
        name = identifiers.username(username, reserved=config.reserved_usernames) if username else None
        issued = datetime.fromtimestamp(int(self.rt.clock()), UTC)
        expires = issued + timedelta(seconds=config.solana_challenge_ttl)
        nonce = self.rt.random_bytes(16).hex()
        challenge = SignInInput(
            domain=domain,
            address=address,
            uri=config.base_url,
            version="1",
            chain_id=config.solana_chain,
            nonce=nonce,
            issued_at=siws.spelled(issued),
            expiration_time=siws.spelled(expires),
        )
        build_message(challenge)
        data = ChallengeData(
            address=address, username=name, issued_at=issued, expires_at=expires, input=challenge
        )
        await self._cache(cache).put(nonce, data)
        return challenge

    @raises(
        *_WALLET_ANSWER,
        errors.UserBanned,
        errors.InvalidCredentials,
        errors.TwoFactorRequired,
        errors.TwoFactorMethodUnavailable,
        *EMAIL_SENDING,
        *SMS_SENDING,
        errors.TooManyRequests,
        errors.UsernameInUse,
        errors.MissingSigner,
        errors.EntitlementsUnavailable,
        errors.DatabaseUnavailable,
    )
    async def verify_and_login(
        self,
        output: SignInOutput,
        extra: Mapping[str, object] | None = None,
        *,
        user_agent: str | None = None,
        ip: str | None = None,
        client: Client | None = None,
        cache: ChallengeCache | None = None,
    ) -> SiwsLogin:
        """Sign the wallet's user in; a wallet that nobody has linked gets an account without a contact.

        The token carries ``provider`` and ``solana_address`` beside ``extra``. Raises ``siws_*``,
        ``UserBanned``, ``ReservedClaim``, ``TwoFactorRequired`` and the rest as ``logins.finish`` does. The
        challenge is spent whatever comes, unless storage fails: then it can be answered again.
        """
        self.rt.refuse_joining("solana.verify_and_login")
        check_extra(extra)
        who = client or Client(ip=ip, user_agent=user_agent)
        challenges = self._cache(cache)
        try:
            nonce, data = await self._take(output, challenges)
        except (errors.Invalid, errors.Unauthenticated) as refusal:
            await Logins(self.rt).note_failure(refusal, who)
            raise
        claims = {**(extra or {}), "provider": SOLANA_PROVIDER_SLUG, "solana_address": data.address}
        async with on_outage(lambda: challenges.put(nonce, data)):
            linked, created = await self._account(data, who)
            pair = await self._enter(linked, claims, who)
        return SiwsLogin(
            access_token=pair.access_token,
            expires_in=pair.expires_in,
            expires_at=pair.expires_at,
            refresh_token=pair.refresh_token,
            session_id=pair.session_id,
            user_id=pair.user_id,
            device=pair.device,
            created=created,
        )

    @raises(*_WALLET_ANSWER, errors.WalletAlreadyLinked)
    async def link_wallet(
        self,
        user_id: str,
        output: SignInOutput,
        *,
        replace: bool = False,
        client: Client | None = None,
        cache: ChallengeCache | None = None,
    ) -> None:
        """Make the wallet the user's; nothing changes when it is already.

        Raises ``siws_*``, ``UserNotFound``, ``UserBanned``; ``WalletAlreadyLinked`` when it is another
        account's or, unless ``replace``, when the user has another wallet. Replacing one ends the sign-ins
        that are under way with it. When storage fails the challenge can be answered again.
        """
        self.rt.refuse_joining("solana.link_wallet")
        known = identifiers.user_id(user_id)
        if known is None:
            raise errors.UserNotFound
        challenges = self._cache(cache)
        nonce, data = await self._take(output, challenges)
        async with on_outage(lambda: challenges.put(nonce, data)):
            await self._link(known, data.address, replace=replace, client=client)

    @raises(
        *_WALLET_ANSWER,
        errors.TwoFactorRequired,
        errors.TooManyRequests,
        errors.MissingSigner,
        errors.EntitlementsUnavailable,
    )
    async def step_up(
        self,
        user_id: str,
        session_id: str,
        output: SignInOutput,
        *,
        client: Client | None = None,
        cache: ChallengeCache | None = None,
    ) -> AccessToken:
        """Prove the linked wallet again for a live session.

        Raises ``siws_*``, ``SiwsAddressMismatch`` for a wallet that is not this user's, ``TwoFactorRequired``
        where the second factor is on, ``SessionEnded``, ``UserDisabled``.
        """
        self.rt.refuse_joining("solana.step_up")
        challenges = self._cache(cache)
        nonce, data = await self._take(output, challenges)
        async with on_outage(lambda: challenges.put(nonce, data)):
            linked = await self.rt.maybe(sql.LINKED, self._issuer(), data.address)
            if linked is None or linked.user_id != identifiers.user_id(user_id):
                raise errors.SiwsAddressMismatch
            return await Logins(self.rt).step_up_vouched(
                linked.user_id,
                session_id,
                auth_epoch=linked.auth_epoch,
                method=METHOD,
                amr=("pop",),
                client=client,
            )

    async def get_user_by_address(self, address: str) -> User | None:
        """Return the user who linked this wallet, or None."""
        try:
            siws.public_key(address)
        except errors.InvalidAddress:
            return None
        linked = await self.rt.maybe(sql.LINKED, self._issuer(), address)
        return None if linked is None else await Users(self.rt).get(linked.user_id)

    async def get_address(self, user_id: str) -> str | None:
        """Return the address of the user's wallet, or None."""
        known = identifiers.user_id(user_id)
        return None if known is None else await self.rt.maybe(sql.WALLET, known, self._issuer())

    async def _take(self, output: SignInOutput, challenges: ChallengeCache) -> tuple[str, ChallengeData]:
        """Use up the challenge an answer is for, then judge the answer."""
        nonce = siws.parse_message(siws.signed_text(output.signed_message)).nonce or ""
        data = await challenges.consume(nonce)
        if data is None:
            raise errors.SiwsChallengeNotFound
        now = datetime.fromtimestamp(self.rt.clock(), UTC)
        if data.expires_at <= now:
            raise errors.SiwsChallengeExpired
        siws.verify(output, data.input, now=now)
        return nonce, data

    async def _account(self, data: ChallengeData, who: Client) -> tuple[sql.Linked, bool]:
        """Find the wallet's user or make one; only "no row" makes one, and of parallel calls one does."""
        created = False
        for attempt in range(_NAMES_TRIED):
            linked = await self.rt.maybe(sql.LINKED, self._issuer(), data.address)
            if linked is not None:
                return linked, created
            try:
                await self._create(data.address, await self._name(data, attempt), who)
            except (errors.UsernameInUse, errors.OwnerSlugTaken, errors.ProviderAlreadyLinked):
                continue  # somebody was faster: with the name, or with this very wallet
            created = True
        raise errors.UsernameInUse

    async def _enter(self, linked: sql.Linked, claims: Mapping[str, object], who: Client) -> TokenPair:
        """Sign a proved wallet's user in; a refusal stands in the trail of that account."""
        proof = FirstFactor(
            user_id=linked.user_id, auth_epoch=linked.auth_epoch, two_factor=linked.two_factor
        )
        try:
            if not linked.allowed:
                raise errors.UserBanned
            return await Logins(self.rt).finish(proof, method=METHOD, amr=("pop",), client=who, extra=claims)
        except errors.Unauthenticated as refusal:
            refusal.about = linked.user_id
            await Logins(self.rt).note_failure(refusal, who)
            raise

    async def _create(self, address: str, username: str, who: Client) -> None:
        issuer, slug = self._issuer(), SOLANA_PROVIDER_SLUG
        async with self.rt.transaction() as tx:
            user = await Users(tx).add(username=username, method=METHOD)
            await Providers(tx).link_by_issuer(user.id, issuer, slug, address, client=who)

    async def _name(self, data: ChallengeData, attempt: int) -> str:
        if attempt == 0 and data.username is not None:
            return data.username
        base = data.username or f"u_{data.address[:4].lower()}"
        if attempt > 1:
            # Whoever else is after the next number is after it again: a random one parts us.
            number = int.from_bytes(self.rt.random_bytes(4), "big") % 10_000
            base = identifiers.suffixed_username(base, f"{number:04d}")
        return await Usernames(self.rt).generate_available(base)

    async def _link(self, user_id: str, address: str, *, replace: bool, client: Client | None) -> None:
        issuer, slug = self._issuer(), SOLANA_PROVIDER_SLUG
        async with self.rt.transaction() as tx:
            allowed = await tx.maybe(sql.LOCK, user_id)
            if allowed is None:
                raise errors.UserNotFound
            if not allowed:
                raise errors.UserBanned
            present = await tx.maybe(sql.WALLET, user_id, issuer)
            if present == address:
                return
            if present is not None and not replace:
                raise errors.WalletAlreadyLinked
            try:
                await Providers(tx).link_by_issuer(user_id, issuer, slug, address, client=client)
            except errors.ProviderAlreadyLinked as error:
                raise errors.WalletAlreadyLinked from error

    def _cache(self, given: ChallengeCache | None) -> ChallengeCache:
        return given or StoredChallenges(self.rt.ephemeral, self.rt.clock)

    def _issuer(self) -> str:
        return f"{SOLANA_PROVIDER_SLUG}:{self.rt.config.solana_chain}"

    @property
    def domains(self) -> tuple[str, ...]:
        """Where wallets may sign in; never what a request says of itself."""
        config = self.rt.config
        if config.solana_domains or not config.dev:
            return config.solana_domains
        port = urlsplit(config.base_url or config.issuer).port
        return (f"localhost:{port}",) if port else ("localhost",)
