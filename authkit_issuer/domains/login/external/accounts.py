"""Finds, creates or links the account of a login with a provider.

Only the pair of issuer and subject identifies a login. If the provider has verified an address that an
account has, the user must sign in and link, unless ``ProviderConfig.auto_link`` is set and
``federation.profile`` trusts the provider with that address. An unverified address counts as none. An account
whose address its owner has not proved may be another person's, who still has its password: nothing is linked
to it, also where an operator vouched for the address.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.external_identities import Providers, displayable
from authkit_issuer.domains.accounts.service import Users
from authkit_issuer.domains.accounts.usernames import Usernames
from authkit_issuer.domains.login.external import queries as sql
from authkit_issuer.domains.login.external.flow_store import PendingLogin, PendingNative
from authkit_issuer.domains.sessions.service import OtherSessions, Sessions
from authkit_issuer.domains.signup.contact_changes import ContactChanges
from authkit_issuer.federation import Profile
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED, live
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailHolder:
    """The user with an email address, and whether a login is linked, both read at one moment.

    ``proved`` is true if the owner of the address has proved it here; an operator's word is no proof.
    """

    linked: bool
    user_id: str | None
    proved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedAccount:
    """A user whose row is locked while a login is linked to it."""

    allowed: bool
    auth_epoch: int
    email: str | None
    username: str | None
    has_login: bool
    has_issuer: bool


# One statement: of a concurrent first login it sees both the user and the link, or neither.
EMAIL_HOLDER = Query(
    EmailHolder,
    """
    select exists (select from profiles.user_providers l where l.issuer = $1 and l.subject = $2) as linked,
           h.id::text as user_id, coalesce(h.email_verified and h.proved_email = h.email, false) as proved
    from (select 1) as one left join profiles.users h on lower(h.email) = $3
    """,
)

_ACCOUNT = f"""
    select {ALLOWED} as allowed, u.auth_epoch, u.email, u.username,
           exists (
               select from profiles.user_providers l
               where l.user_id = u.id and l.issuer = $2 and l.subject = $3
           ) as has_login,
           exists (
               select from profiles.user_providers l where l.user_id = u.id and l.issuer = $2
           ) as has_issuer
    from profiles.users u
"""

LOCK_SESSION_USER = Query(
    LockedAccount,
    f"""
    {_ACCOUNT}
    where u.id = $1::uuid and exists (
        select from profiles.refresh_sessions s where s.id = $4::uuid and s.user_id = u.id and {live("s")}
    )
    for no key update of u
    """,
)

LOCK_EMAIL_HOLDER = Query(
    LockedAccount,
    f"""
    {_ACCOUNT}
    where u.id = $1::uuid and lower(u.email) = $4 and u.email_verified and u.proved_email = u.email
    for no key update of u
    """,
)


_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderLogin:
    """A profile that a provider vouches for, and how it reached us."""

    provider: str
    method: str
    profile: Profile
    client: Client | None


async def account_of(
    rt: Runtime, pending: PendingLogin | PendingNative, login: ProviderLogin
) -> tuple[str, int, bool]:
    """Return the user of a verified login, the epoch, and whether the account is new.

    Links the login first if that is what the user began.
    """
    if pending.flow == "link":
        await link_to_session(rt, pending, login)
        return pending.user_id, pending.auth_epoch, False
    if pending.flow == "step_up":
        linked = await rt.maybe(sql.LINKED_USER, login.profile.issuer, login.profile.subject)
        if linked is None or linked.user_id != pending.user_id:
            raise errors.ProviderNotLinked
        if linked.frozen:
            raise errors.LoginFrozen
        return pending.user_id, pending.auth_epoch, False
    user, created = await find_or_create(rt, login)
    if not user.allowed and user.deleted_at is None:
        raise errors.UserBanned
    if user.frozen:
        raise errors.LoginFrozen
    # The result of a login to a deleted account offers its owner the way back.
    return user.user_id, user.auth_epoch, created


async def find_or_create(rt: Runtime, login: ProviderLogin) -> tuple[sql.LinkedUser, bool]:
    """Return the user of a login and whether the account is new; of concurrent first logins one creates it.

    Raises ``AccountExistsLinkRequired``.
    """
    created = False
    for attempt in range(_ATTEMPTS):
        user = await rt.maybe(sql.LINKED_USER, login.profile.issuer, login.profile.subject)
        if user is not None:
            await _update_username(rt, user, login.profile)
            return user, created
        try:
            created = await _link_or_create(rt, login, attempt)
        except (errors.ProviderAlreadyLinked, errors.EmailInUse, errors.UsernameInUse):
            continue  # A concurrent request was faster: look for its user.
    raise errors.Conflict


async def link_to_session(rt: Runtime, pending: PendingLogin | PendingNative, login: ProviderLogin) -> None:
    """Link a login to the user who asked for it, while the session that asked is live.

    Raises ``SessionEnded``, also if the account changed since; ``UserBanned``, ``ProviderAlreadyLinked``.
    """
    profile = login.profile
    async with rt.transaction() as tx:
        user = await tx.maybe(
            LOCK_SESSION_USER, pending.user_id, profile.issuer, profile.subject, pending.session_id
        )
        if user is None or user.auth_epoch != pending.auth_epoch:
            raise errors.SessionEnded
        await _link(tx, user, pending.user_id, login)
        others = OtherSessions(keep=pending.session_id, end=None)
        await Sessions(tx).end_others(pending.user_id, others, client=login.client)


async def _link_or_create(rt: Runtime, login: ProviderLogin, attempt: int) -> bool:
    """Give an unknown login an account: that of its verified address, or a new one; True if it is new."""
    profile, email = login.profile, verified_email(login.profile)
    holder = None
    if email is not None:
        holder = await rt.one(EMAIL_HOLDER, profile.issuer, profile.subject, email)
    if holder is None or holder.user_id is None:
        await _create(rt, login, email, attempt)
        return True
    if holder.linked:
        return False
    trusted = profile.email_trusted and rt.config.providers[login.provider].auto_link
    if not (holder.proved and trusted):
        raise errors.AccountExistsLinkRequired
    async with rt.transaction() as tx:
        user = await tx.maybe(LOCK_EMAIL_HOLDER, holder.user_id, profile.issuer, profile.subject, email)
        if user is None or (user.has_issuer and not user.has_login):
            raise errors.AccountExistsLinkRequired
        await _link(tx, user, holder.user_id, login)
    return False


async def _create(rt: Runtime, login: ProviderLogin, email: str | None, attempt: int) -> None:
    profile = login.profile
    name = await Usernames(rt).derive_for_oauth(
        login.provider, profile.username, email or "", profile.display_name
    )
    if attempt:
        # A concurrent request wants the next free name too: a random number keeps the two apart.
        number = int.from_bytes(rt.random_bytes(4), "big") % 10_000
        name = identifiers.suffixed_username(name, f"{number:04d}")
    trusted = email if profile.email_trusted else None
    async with rt.transaction() as tx:
        users = Users(tx)
        user = await users.add_with_free_name(
            name, email=trusted, verified=trusted is not None, method=login.method
        )
        await _store(tx, user.id, login, email)
        await users.send_welcome(user.id)
    if email is not None and trusted is None:
        await _ask_for_proof(rt, user.id, email, login.client)


async def _ask_for_proof(rt: Runtime, user_id: str, email: str, client: Client | None) -> None:
    """Make the provider's address a pending change, whose code the user redeems in the new session.

    The account gets no address from a provider whose word on it is no proof: it might be another person's.
    """

    async def ask() -> None:
        with suppress(errors.EmailInUse, errors.TooManyRequests):
            await ContactChanges(rt).request_email(user_id, email, client=client)

    if rt.senders.email is not None:
        rt.background.start(ask, name="proof of an address")


async def _link(tx: Runtime, user: LockedAccount, user_id: str, login: ProviderLogin) -> None:
    if not user.allowed:
        raise errors.UserBanned
    await _store(tx, user_id, login, verified_email(login.profile))


async def _store(tx: Runtime, user_id: str, login: ProviderLogin, email: str | None) -> None:
    providers, profile = Providers(tx), login.profile
    issuer, subject = profile.issuer, profile.subject
    await providers.link_by_issuer(user_id, issuer, login.provider, subject, email, client=login.client)
    if profile.username:
        await providers.set_username(user_id, issuer, subject, profile.username)


async def _update_username(rt: Runtime, user: sql.LinkedUser, profile: Profile) -> None:
    if displayable(profile.username) not in {"", user.username}:
        await Providers(rt).set_username(user.user_id, profile.issuer, profile.subject, profile.username)


def verified_email(profile: Profile) -> str | None:
    """Return the address that the provider has verified, in normal form; None for any other."""
    if not profile.email_verified or not profile.email:
        return None
    try:
        return identifiers.email(profile.email)
    except errors.InvalidEmail:
        return None
