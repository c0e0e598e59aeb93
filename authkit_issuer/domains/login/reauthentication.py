"""The proofs a signed-in user can give again: the password, the second factor, a code to a contact.

Whoever has a second factor must use it. A code to the verified contact is for those who have neither that nor
a password, and could otherwise never do what asks for a fresh proof.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.codes import OneTimeCodes
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.factors.delivery import Delivery, masked
from authkit_issuer.domains.factors.service import TwoFactor
from authkit_issuer.domains.sessions.step_up import Stepping
from authkit_issuer.domains.tokens.service import AccessToken
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query

CODE = "step_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a user can prove themselves with, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    username: str
    email: str | None
    phone: str | None
    has_password: bool
    two_factor: bool
    factor: str
    factor_phone: str | None
    has_wallet: bool
    providers: list[str]

    @property
    def destination(self) -> tuple[str, str] | None:
        """Where a code goes, as method and address; None when a code is not this user's way, or cannot be."""
        if self.two_factor:
            to = self.factor_phone if self.factor == "sms" else self.email
            return (self.factor, to) if to else None
        if self.has_password:
            return None
        if self.email:
            return "email", self.email
        return ("sms", self.phone) if self.phone else None


MEANS = Query(
    Means,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, coalesce(u.username, '') as username,
           case when u.email_verified then u.email end as email,
           case when u.phone_verified then u.phone_number end as phone,
           exists (select from profiles.user_passwords p where p.user_id = u.id) as has_password,
           coalesce(t.enabled, false) as two_factor, coalesce(t.method, 'email') as factor,
           t.phone_number as factor_phone,
           exists (
               select from profiles.user_providers l where l.user_id = u.id and l.issuer = $2
           ) as has_wallet,
           array(
               select l.provider_slug from profiles.user_providers l
               where l.user_id = u.id and l.provider_slug = any($3::text[]) order by l.provider_slug
           ) as providers
    from profiles.users u left join profiles.two_factor_settings t on t.user_id = u.id
    where u.id = $1::uuid
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    """One session on its way to a fresh proof."""

    rt: Runtime
    user_id: str
    session_id: str
    client: Client | None

    async def methods(self) -> list[str]:
        """Return the ways that are open to the user."""
        means = await self._means()
        if means.two_factor:
            return ["2fa"]
        found = ["password"] if means.has_password else ["code"] if means.destination else []
        wallets = ["solana"] if means.has_wallet else []
        return [*found, *wallets, *(f"oidc:{slug}" for slug in means.providers)]

    async def with_password(self, password: str) -> AccessToken:
        """Take the password; ``TwoFactorRequired`` where the second factor is on."""
        means = await self._means()
        if means.two_factor:
            raise errors.TwoFactorRequired
        if not await Passwords(self.rt).verify(means.user_id, password, client=self.client):
            raise errors.InvalidCredentials
        return await self._finish(means, "password", ("pwd",))

    async def send_code(self) -> str:
        """Send a code for this session alone and return where it went, masked."""
        means = await self._means()
        found = means.destination
        if found is None:
            raise errors.TwoFactorMethodUnavailable
        method, destination = found
        await SendingLimits(self.rt).check(CODE, means.user_id, self.client)
        issued = await OneTimeCodes(self.rt).issue(
            CODE,
            target=f"{means.user_id}|{method}:{destination}",
            code_ttl=self.rt.config.code_ttl,
            record_ttl=self.rt.config.code_ttl,
            request_id=self.session_id,
            user_id=means.user_id,
            auth_epoch=means.auth_epoch,
        )
        await Delivery(self.rt).login_code(method, destination, means.username, issued.code)
        return masked(destination)

    async def with_code(self, code: str) -> AccessToken:
        """Take the code of ``send_code``; one caller wins."""
        means = await self._means()
        found = means.destination
        if found is None:
            raise errors.InvalidOrExpiredCode
        method, destination = found
        target = f"{means.user_id}|{method}:{destination}"
        one_time = OneTimeCodes(self.rt)
        record = await one_time.redeem_code(CODE, self.session_id, target, code)
        if record.auth_epoch != means.auth_epoch:
            raise errors.InvalidOrExpiredCode
        second = ("mfa",) if means.two_factor else ()
        async with one_time.restore_on_outage(record):
            return await self._finish(means, f"{method}_code", ("sms" if method == "sms" else "otp", *second))

    async def with_backup_code(self, code: str) -> AccessToken:
        """Take a backup code, within the tries of ``two_factor.verify_backup_code``."""
        means = await self._means()
        if not await TwoFactor(self.rt).check_backup_code(means.user_id, code):
            raise errors.InvalidOrExpiredCode
        entitlements = await Entitlements(self.rt).for_token(means.user_id)
        # One transaction: a code is not spent on a session that has ended meanwhile.
        async with self.rt.transaction() as tx:
            stepped = await self._finish(
                means, "backup_code", ("otp", "mfa"), tx=tx, entitlements=entitlements
            )
            await TwoFactor(tx).use_backup_code(means.user_id, code, client=self.client)
        return stepped

    async def vouched(self, auth_epoch: int, method: str, amr: tuple[str, ...]) -> AccessToken:
        """Take a proof that somebody else has checked, a wallet's or a provider's, at this epoch."""
        means = await self._means()
        if means.two_factor and method not in self.rt.config.two_factor_exempt_methods:
            raise errors.TwoFactorRequired
        if means.auth_epoch != auth_epoch:
            raise errors.SessionEnded
        return await self._finish(means, method, amr)

    async def _finish(
        self,
        means: Means,
        method: str,
        amr: tuple[str, ...],
        *,
        tx: Runtime | None = None,
        entitlements: list[str] | None = None,
    ) -> AccessToken:
        return await Stepping(tx or self.rt).step_up(
            means.user_id,
            self.session_id,
            auth_epoch=means.auth_epoch,
            method=method,
            amr=amr,
            client=self.client,
            entitlements=entitlements,
        )

    async def _means(self) -> Means:
        self.rt.refuse_joining("a step-up")
        known = identifiers.user_id(self.user_id)
        wallets, providers = f"solana:{self.rt.config.solana_chain}", sorted(self.rt.config.providers)
        means = await self.rt.maybe(MEANS, known, wallets, providers) if known else None
        if means is None or identifiers.user_id(self.session_id) is None:
            raise errors.SessionEnded
        if not means.allowed:
            raise errors.UserDisabled
        return means
