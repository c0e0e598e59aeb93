"""Sign In With Solana: a wallet signs a challenge, once, to sign its user in or to be linked.

The challenge is used up before any check of the answer. A wallet is an external login: the issuer is
``solana:<network>``, the subject the address. ``security.siws`` checks the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.external_identities import Providers
from authkit_issuer.domains.accounts.service import User, Users
from authkit_issuer.domains.accounts.usernames import Usernames
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.base.login_issuers import wallet_domains, wallet_issuer
from authkit_issuer.domains.codes.one_time import on_outage
from authkit_issuer.domains.login.deleted_accounts import refusal_of
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.login.solana import queries as sql
from authkit_issuer.domains.login.solana.records import (
    ChallengeCache,
    ChallengeData,
    StoredChallenges,
)
from authkit_issuer.domains.sessions.service import OtherSessions, Sessions, TokenPair
from authkit_issuer.domains.tokens.claims import check_extra
from authkit_issuer.domains.tokens.service import AccessToken
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
    """The tokens of a login with a wallet; ``created`` is true if the account is new."""

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
    """Challenges wallets, signs their users in, and links them."""

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
        """Return a challenge to sign, which takes one answer within ``solana_challenge_ttl`` seconds.

        Args:
            domain: The domain of the app, one of ``domains``.
            address: The address of the wallet.
            username: The name for a new account; None derives one from the address.
            cache: A store of challenges, in place of the service's own.

        Raises:
            SiwsDomainInvalid: The domain is not configured.
            InvalidAddress: The address is not an Ed25519 public key in Base58.
            UsernameTooShort, UsernameTooLong, UsernameInvalidCharacters, ...: ``username`` breaks a rule.
        """
        domain = domain.strip().lower()
        if domain not in wallet_domains(self.rt.config):
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
        errors.TwoFactorEnrollmentRequired,
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
        """Sign the wallet's user in; an unlinked wallet gets a new account, without a contact.

        Every answer uses its challenge up, unless storage fails.

        Args:
            output: The wallet's answer.
            extra: Further claims of the access token, beside ``provider`` and ``solana_address``.
            user_agent: The user agent, unless ``client`` says it.
            ip: The address of the client, unless ``client`` says it.
            client: The client, in place of ``user_agent`` and ``ip``.
            cache: The store of challenges given to ``generate_challenge``.

        Raises:
            SiwsMessageInvalid, SiwsChallengeNotFound, SiwsSignatureInvalid, ...: The answer was refused.
            UserBanned: The user may not act.
            ReservedClaim: ``extra`` names a claim that only this service sets.
            Unavailable: Storage failed. The challenge takes the answer again.
            AuthError: Any other refusal of ``logins.finish``.
        """
        self.rt.refuse_joining("solana.verify_and_login")
        check_extra(extra)
        client = client or Client(ip=ip, user_agent=user_agent)
        challenges = self._cache(cache)
        try:
            nonce, data = await self._take(output, challenges)
        except (errors.Invalid, errors.Unauthenticated) as refusal:
            await Logins(self.rt).note_failure(refusal, client)
            raise
        claims = {**(extra or {}), "provider": SOLANA_PROVIDER_SLUG, "solana_address": data.address}
        async with on_outage(lambda: challenges.put(nonce, data)):
            user, created = await self._account(data, client)
            pair = await self._enter(user, claims, client)
        return SiwsLogin(
            access_token=pair.access_token,
            expires_in=pair.expires_in,
            expires_at=pair.expires_at,
            refresh_token=pair.refresh_token,
            session_id=pair.session_id,
            user_id=pair.user_id,
            ended_sessions=pair.ended_sessions,
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
        keep_session_id: str | None = None,
        end_other_sessions: bool | None = None,
        client: Client | None = None,
        cache: ChallengeCache | None = None,
    ) -> None:
        """Link the wallet to the user; a wallet that is linked already changes nothing.

        Args:
            user_id: The user.
            output: The wallet's answer.
            replace: Replace another wallet of the user, and end every login in progress with it.
            keep_session_id: The session that asks. It must be live, and stays where the others end.
            end_other_sessions: Whether they end; None leaves it to ``factor_change_ends_sessions``.
            client: The client, for the event.
            cache: The store of challenges given to ``generate_challenge``.

        Raises:
            SiwsMessageInvalid, SiwsChallengeNotFound, SiwsSignatureInvalid, ...: The answer was refused.
            UserNotFound, UserBanned: No such user, or the user may not act.
            SessionEnded: The session that asks has ended.
            WalletAlreadyLinked: The wallet is another account's, or the user has another one and ``replace``
                is false.
            Unavailable: Storage failed. The challenge takes the answer again.
        """
        self.rt.refuse_joining("solana.link_wallet")
        canonical_id = identifiers.uuid_or_none(user_id)
        if canonical_id is None:
            raise errors.UserNotFound
        challenges = self._cache(cache)
        nonce, data = await self._take(output, challenges)
        others = OtherSessions(keep=keep_session_id, end=end_other_sessions)
        async with on_outage(lambda: challenges.put(nonce, data)):
            await self._link(canonical_id, data.address, others, replace=replace, client=client)

    @raises(
        *_WALLET_ANSWER,
        errors.TwoFactorRequired,
        errors.TwoFactorEnrollmentRequired,
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
        """Reauthenticate in a live session with the linked wallet.

        Args:
            user_id: The user of the session.
            session_id: The session.
            output: The wallet's answer.
            client: The client, for the event.
            cache: The store of challenges given to ``generate_challenge``.

        Raises:
            SiwsMessageInvalid, SiwsChallengeNotFound, SiwsSignatureInvalid, ...: The answer was refused.
            SiwsAddressMismatch: The wallet is not this user's.
            TwoFactorRequired: The second factor is on, and must be used.
            SessionEnded, UserDisabled: The session is over, or the user may not act.
        """
        self.rt.refuse_joining("solana.step_up")
        challenges = self._cache(cache)
        nonce, data = await self._take(output, challenges)
        async with on_outage(lambda: challenges.put(nonce, data)):
            user = await self.rt.maybe(sql.WALLET_USER, wallet_issuer(self.rt.config), data.address)
            if user is None or user.user_id != identifiers.uuid_or_none(user_id):
                raise errors.SiwsAddressMismatch
            if user.frozen:
                raise errors.LoginFrozen
            return await Logins(self.rt).step_up_vouched(
                user.user_id,
                session_id,
                auth_epoch=user.auth_epoch,
                method=METHOD,
                amr=("pop",),
                client=client,
            )

    async def get_user_by_address(self, address: str) -> User | None:
        """Return the user of this wallet, or None."""
        try:
            siws.public_key(address)
        except errors.InvalidAddress:
            return None
        user = await self.rt.maybe(sql.WALLET_USER, wallet_issuer(self.rt.config), address)
        return None if user is None or user.frozen else await Users(self.rt).get(user.user_id)

    async def get_address(self, user_id: str) -> str | None:
        """Return the address of the user's wallet, or None."""
        canonical_id = identifiers.uuid_or_none(user_id)
        if canonical_id is None:
            return None
        return await self.rt.maybe(sql.WALLET_ADDRESS, canonical_id, wallet_issuer(self.rt.config))

    async def _take(self, output: SignInOutput, challenges: ChallengeCache) -> tuple[str, ChallengeData]:
        """Use the challenge of an answer up, then verify the answer."""
        nonce = siws.parse_message(siws.signed_text(output.signed_message)).nonce or ""
        data = await challenges.consume(nonce)
        if data is None:
            raise errors.SiwsChallengeNotFound
        now = datetime.fromtimestamp(self.rt.clock(), UTC)
        if data.expires_at <= now:
            raise errors.SiwsChallengeExpired
        siws.verify(output, data.input, now=now)
        return nonce, data

    async def _account(self, data: ChallengeData, client: Client) -> tuple[sql.WalletUser, bool]:
        """Return the wallet's user and whether it is new; of concurrent first logins one creates it."""
        created = False
        for attempt in range(_NAMES_TRIED):
            user = await self.rt.maybe(sql.WALLET_USER, wallet_issuer(self.rt.config), data.address)
            if user is not None:
                return user, created
            try:
                await self._create(data.address, await self._name(data, attempt), client)
            except (errors.UsernameInUse, errors.OwnerSlugTaken, errors.ProviderAlreadyLinked):
                continue  # A concurrent request took the name, or linked this wallet.
            created = True
        raise errors.UsernameInUse

    async def _enter(self, user: sql.WalletUser, claims: Mapping[str, object], client: Client) -> TokenPair:
        """Sign the user of a verified wallet in; the event of a refusal names the user."""
        proof = FirstFactor(user_id=user.user_id, auth_epoch=user.auth_epoch, two_factor=user.two_factor)
        try:
            if user.frozen:
                raise errors.LoginFrozen
            if not user.allowed:
                raise refusal_of(self.rt, user)
            return await Logins(self.rt).finish(
                proof, method=METHOD, amr=("pop",), client=client, extra=claims
            )
        except errors.Unauthenticated as refusal:
            refusal.about = user.user_id
            await Logins(self.rt).note_failure(refusal, client)
            raise

    async def _create(self, address: str, username: str, client: Client) -> None:
        issuer, slug = wallet_issuer(self.rt.config), SOLANA_PROVIDER_SLUG
        async with self.rt.transaction() as tx:
            user = await Users(tx).add(username=username, method=METHOD)
            await Providers(tx).link_by_issuer(user.id, issuer, slug, address, client=client)

    async def _name(self, data: ChallengeData, attempt: int) -> str:
        if attempt == 0 and data.username is not None:
            return data.username
        base = data.username or f"u_{data.address[:4].lower()}"
        if attempt > 1:
            # A concurrent request wants the next number too: a random one keeps the two apart.
            number = int.from_bytes(self.rt.random_bytes(4), "big") % 10_000
            base = identifiers.suffixed_username(base, f"{number:04d}")
        return await Usernames(self.rt).generate_available(base)

    async def _link(
        self, user_id: str, address: str, others: OtherSessions, *, replace: bool, client: Client | None
    ) -> None:
        issuer, slug = wallet_issuer(self.rt.config), SOLANA_PROVIDER_SLUG
        async with self.rt.transaction() as tx:
            allowed = await tx.maybe(sql.LOCK_WALLET_USER, user_id)
            if allowed is None:
                raise errors.UserNotFound
            if not allowed:
                raise errors.UserBanned
            present = await tx.maybe(sql.WALLET_ADDRESS, user_id, issuer)
            if present not in {None, address} and not replace:
                raise errors.WalletAlreadyLinked
            try:
                await Providers(tx).link_by_issuer(user_id, issuer, slug, address, client=client)
            except errors.ProviderAlreadyLinked as error:
                raise errors.WalletAlreadyLinked from error
            await Sessions(tx).end_others(user_id, others, client=client)

    def _cache(self, given: ChallengeCache | None) -> ChallengeCache:
        return given or StoredChallenges(self.rt.ephemeral, self.rt.clock)
