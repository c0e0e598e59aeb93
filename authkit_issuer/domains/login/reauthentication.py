"""Reauthentication (step-up): the user of a live session authenticates again (RFC 9470).

A user with a second factor must use it. A code to the verified contact is for users with neither a second
factor nor a password, who otherwise could never do what requires a recent authentication.
``http.recent_auth`` says what requires one, ``Config.step_up_max_age`` how recent it must be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.contact_proof import note_proof
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import EMAIL, PHONE, ContactKind
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.first_factor import UseUp
from authkit_issuer.domains.base.login_issuers import wallet_issuer
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import OneTimeCodes
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.factors import backup_codes, totp_codes
from authkit_issuer.domains.factors.delivery import Delivery
from authkit_issuer.domains.factors.service import TwoFactor
from authkit_issuer.domains.factors.step_up import StepUpCode, StepUpFactors
from authkit_issuer.domains.sessions.presented_tokens import passkeys_are_factors
from authkit_issuer.domains.tokens.service import AccessToken, TokenFacts, Tokens, fact_columns
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import (
    ALLOWED,
    HAS_PASSKEY,
    HAS_TWO_FACTOR,
    NO_AMR,
    is_of_message,
    live,
    not_idle,
)
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableMethods:
    """What a user can authenticate with again, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    username: str
    email: str | None
    phone: str | None
    has_password: bool
    two_factor: bool
    has_passkey: bool
    has_wallet: bool
    providers: list[str]
    message_amr: list[str]
    """The authentication methods of a session that codes of a message alone have proved; else empty."""

    @property
    def proved_contact(self) -> str:
        """The contact whose codes are all that the session has proved; ``""`` if it has proved more."""
        if not self.message_amr:
            return ""
        return (self.phone if "sms" in self.message_amr else self.email) or ""

    @property
    def code_destination(self) -> tuple[ContactKind, str] | None:
        """The verified contact for a code; None for a user who must use a second factor or the password."""
        if self.two_factor or self.has_password:
            return None
        if self.email:
            return EMAIL, self.email
        return (PHONE, self.phone) if self.phone else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReauthenticatedSession(TokenFacts):
    """A session whose ``auth_time`` was just set."""

    auth_time: datetime
    expires_at: datetime | None


AVAILABLE_METHODS = Query(
    AvailableMethods,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, coalesce(u.username, '') as username,
           case when u.email_verified then u.email end as email,
           case when u.phone_verified then u.phone_number end as phone,
           exists (select from profiles.user_passwords p where p.user_id = u.id) as has_password,
           {HAS_TWO_FACTOR} as two_factor,
           {HAS_PASSKEY} as has_passkey,
           exists (
               select from profiles.user_providers l
               where l.user_id = u.id and l.issuer = $2 and l.frozen_at is null
           ) as has_wallet,
           array(
               select l.provider_slug from profiles.user_providers l
               where l.user_id = u.id and l.provider_slug = any($3::text[]) and l.frozen_at is null
               order by l.provider_slug
           ) as providers,
           coalesce((
               select s.amr from profiles.refresh_sessions s
               where s.id = $4::uuid and s.user_id = u.id and {is_of_message("s")}
           ), {NO_AMR}) as message_amr
    from profiles.users u where u.id = $1::uuid
    """,
)

# The statement does not lock the user's row: what ends sessions raises the epoch, and ends this one too.
REAUTHENTICATE = Query(
    ReauthenticatedSession,
    f"""
    with stepped as (
        update profiles.refresh_sessions s
        set auth_time = now(), amr = $5::text[], last_used_at = now()
        from profiles.users u
        where s.id = $1::uuid and s.user_id = $2::uuid and s.issuer = $3 and {live("s")}
          and {not_idle("s", 6)}
          and u.id = s.user_id and u.auth_epoch = $4 and {ALLOWED}
        returning s.user_id, s.auth_time, s.expires_at
    )
    select {fact_columns("$5::text[]")}, s.auth_time, s.expires_at
    from stepped s join profiles.users u on u.id = s.user_id
    """,
)


CODE = "step_up"


async def available_methods(rt: Runtime, user_id: str) -> list[str]:
    """Return the methods that are open to the user; raises ``SessionEnded``, ``UserDisabled``."""
    user = await _find_user(rt, user_id)
    passkeys = ["passkey"] if user.has_passkey and rt.config.webauthn_rp_id is not None else []
    if _requires_passkey(rt, user):
        return passkeys
    if user.two_factor:
        return [*(passkeys if rt.config.passkey_counts_as_two_factors else ()), "2fa"]
    methods = ["password"] if user.has_password else ["code"] if user.code_destination else []
    wallets = ["solana"] if user.has_wallet else []
    return [*passkeys, *methods, *wallets, *(f"oidc:{slug}" for slug in user.providers)]


async def with_password(
    rt: Runtime, user_id: str, session_id: str, password: str, client: Client | None
) -> AccessToken:
    """Reauthenticate with the password; raises ``TwoFactorRequired`` if the second factor is on."""
    user = await _find_user(rt, user_id, session_id)
    if user.two_factor or _requires_passkey(rt, user):
        raise errors.TwoFactorRequired
    if not await Passwords(rt).verify(user.user_id, password, client=client):
        raise errors.InvalidCredentials
    return await _reauthenticate(rt, user, session_id, method="password", amr=("pwd",), client=client)


async def send_code(
    rt: Runtime, user_id: str, session_id: str, client: Client | None, *, factor_id: str | None = None
) -> StepUpCode:
    """Send a code that is good for this session alone; an app has it already."""
    user = await _find_user(rt, user_id, session_id)
    if user.two_factor:
        proof = await StepUpFactors(rt, user.proved_contact).choose(user.user_id, factor_id)
    elif user.code_destination is not None and not _requires_passkey(rt, user):
        proof = StepUpCode.to_contact(*user.code_destination)
    else:
        raise errors.TwoFactorMethodUnavailable
    if proof.contact is None:
        return proof
    await SendingLimits(rt).check(CODE, user.user_id, client)
    issued = await OneTimeCodes(rt).issue(
        CODE,
        target=_target(user, proof),
        code_ttl=rt.config.code_ttl,
        record_ttl=rt.config.code_ttl,
        request_id=session_id,
        user_id=user.user_id,
        auth_epoch=user.auth_epoch,
    )
    async with SendingLimits(rt).sending(CODE, user.user_id, client):
        await Delivery(rt).login_code(proof.contact, proof.destination, user.username, issued.code)
    return proof


async def with_code(
    rt: Runtime,
    user_id: str,
    session_id: str,
    code: str,
    client: Client | None,
    *,
    factor_id: str | None = None,
) -> AccessToken:
    """Reauthenticate with the code of ``send_code`` or of an app; of concurrent requests one succeeds."""
    user = await _find_user(rt, user_id, session_id)
    sent = await OneTimeCodes(rt).peek(CODE, session_id)
    if user.two_factor:
        target = sent.target if sent else ""
        proof = await StepUpFactors(rt, user.proved_contact).of_code(
            user.user_id, factor_id, lambda one: _target(user, one) == target
        )
    else:
        proof = StepUpCode.to_contact(*user.code_destination) if user.code_destination else None
    if proof is None:
        raise errors.InvalidOrExpiredCode
    is_second = user.two_factor and not (proof.contact and proof.destination == user.proved_contact)
    amr = (*proof.amr, *(("mfa",) if is_second else ()))
    again = partial(_reauthenticate, rt, user, session_id, method=proof.method, amr=amr, client=client)
    if proof.app is not None:
        steps = await totp_codes.check(rt, proof.app, code)
        return await again(use_up=partial(totp_codes.accept, app=proof.app, steps=steps))
    record = await OneTimeCodes(rt).redeem_code(CODE, session_id, _target(user, proof), code)
    if record.auth_epoch != user.auth_epoch:
        raise errors.InvalidOrExpiredCode
    if is_second:
        proved = partial(totp_codes.forget_misses, user_id=user.user_id)
    else:
        proved = partial(note_proof, user_id=user.user_id, contact=proof.destination)
    async with OneTimeCodes(rt).restore_on_outage(record):
        return await again(use_up=proved)


def _target(user: AvailableMethods, proof: StepUpCode) -> str:
    return f"{user.user_id}|{proof.kind}:{proof.destination}"


async def with_backup_code(
    rt: Runtime, user_id: str, session_id: str, code: str, client: Client | None
) -> AccessToken:
    """Reauthenticate with a backup code, within the attempts of ``two_factor.verify_backup_code``."""
    user = await _find_user(rt, user_id, session_id)
    if not await TwoFactor(rt).check_backup_code(user.user_id, code):
        raise errors.InvalidOrExpiredCode
    # One transaction: a code is not used up for a session that has ended meanwhile.
    return await _reauthenticate(
        rt,
        user,
        session_id,
        method="backup_code",
        amr=("otp", "mfa"),
        client=client,
        use_up=partial(backup_codes.use_up, user_id=user.user_id, code=code, client=client),
    )


async def with_verified_proof(
    rt: Runtime,
    user_id: str,
    session_id: str,
    *,
    auth_epoch: int,
    method: str,
    amr: Sequence[str],
    two_factors: bool,
    client: Client | None,
) -> AccessToken:
    """Reauthenticate with a proof that the caller has verified at this epoch."""
    user = await _find_user(rt, user_id, session_id)
    needed = user.two_factor or _requires_passkey(rt, user)
    if needed and not two_factors and method not in rt.config.two_factor_exempt_methods:
        raise errors.TwoFactorRequired
    if user.auth_epoch != auth_epoch:
        raise errors.SessionEnded
    return await _reauthenticate(rt, user, session_id, method=method, amr=amr, client=client)


def _requires_passkey(rt: Runtime, user: AvailableMethods) -> bool:
    """True if the passkey of the account is its second factor, where ``two_factor_policy`` requires one.

    Another proof would be one factor, with which no session may go on.
    """
    required = rt.config.two_factor_policy == "required"
    return required and passkeys_are_factors(rt.config) and user.has_passkey and not user.two_factor


async def _find_user(rt: Runtime, user_id: str, session_id: str | None = None) -> AvailableMethods:
    """Return what the user can authenticate with; raises ``SessionEnded`` or ``UserDisabled``."""
    rt.refuse_joining("a step-up")
    canonical_id = identifiers.uuid_or_none(user_id)
    if canonical_id is None or (session_id is not None and identifiers.uuid_or_none(session_id) is None):
        raise errors.SessionEnded
    providers = sorted(slug for slug, provider in rt.identity.items() if provider.steps_up)
    session = None if session_id is None else identifiers.uuid_or_none(session_id)
    user = await rt.maybe(AVAILABLE_METHODS, canonical_id, wallet_issuer(rt.config), providers, session)
    if user is None:
        raise errors.SessionEnded
    if not user.allowed:
        raise errors.UserDisabled
    return user


async def _reauthenticate(
    rt: Runtime,
    user: AvailableMethods,
    session_id: str,
    *,
    method: str,
    amr: Sequence[str],
    client: Client | None,
    use_up: UseUp | None = None,
) -> AccessToken:
    """Set the session's ``auth_time`` and ``amr``, and return an access token that carries both.

    ``use_up`` runs in the same transaction. Raises ``SessionEnded`` if the session is over or not this
    user's, or the account changed since ``user`` was read.
    """
    if rt.keys.current().signing is None:
        raise errors.MissingSigner
    entitlements = await Entitlements(rt).for_token(user.user_id)
    config = rt.config
    async with rt.transaction() as tx:
        session = await tx.maybe(
            REAUTHENTICATE,
            session_id,
            user.user_id,
            config.issuer,
            user.auth_epoch,
            list(amr),
            config.refresh_idle_duration,
        )
        if session is None:
            raise errors.SessionEnded
        await Events(tx).record(
            SessionEventType.SESSION_STEPPED_UP,
            actor=None,
            user_id=user.user_id,
            session_id=session_id,
            method=method,
            client=client,
        )
        if use_up is not None:
            await use_up(tx)
    return Tokens(rt).mint(
        session,
        entitlements,
        session_id=session_id,
        auth_time=session.auth_time,
        amr=amr,
        not_after=session.expires_at,
    )
