"""External logins: which account of which provider belongs to which user.

``issuer`` and ``subject`` name a login and belong to one user; a user has one login per issuer. The slug
(``google``, ``discord``, ``solana``) is what people and configuration call the issuer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts import external_identities_queries as sql
from authkit_issuer.domains.accounts.external_identities_queries import LinkedProvider
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.asking_session import require_live
from authkit_issuer.domains.base.contacts import CONTACT_KINDS, signs_in
from authkit_issuer.domains.base.login_issuers import login_issuers
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import LOCK_USER

__all__ = ["LinkedProvider", "ProviderLink", "Providers", "displayable"]


class ProviderLink(NamedTuple):
    """Whose login it is, and the address the provider gave for it."""

    user_id: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Providers:
    """Links, unlinks and finds external logins."""

    rt: Runtime

    async def link_by_issuer(
        self,
        user_id: str,
        issuer: str,
        provider_slug: str | None,
        subject: str,
        email: str | None = None,
        *,
        client: Client | None = None,
    ) -> None:
        """Make a login the user's; another login of the same issuer is replaced, and the trail says so.

        Sign-ins that are under way with that other one open nothing any more. Linking again refreshes the
        address and the slug. Raises ``UserNotFound``, and ``ProviderAlreadyLinked`` with nothing changed when
        the login is somebody else's.
        """
        person = identifiers.uuid_or_none(user_id)
        issuer, subject, slug = _named(issuer), _named(subject), (provider_slug or "").strip().lower() or None
        if slug is not None and not identifiers.storable(slug):
            raise errors.Invalid("The provider has characters that cannot be stored.", param="provider")
        if person is None:
            raise errors.UserNotFound
        async with self.rt.transaction() as tx:
            if await tx.maybe(LOCK_USER, person) is None:
                raise errors.UserNotFound
            # Before anything is deleted: two users after each other's login must not wait for each other.
            owner = await tx.maybe(sql.LOGIN_BY_ISSUER, issuer, subject)
            if owner is not None and owner.user_id != person:
                raise errors.ProviderAlreadyLinked
            replaced = await tx.maybe(sql.REPLACE_LOGIN, person, issuer, subject)
            added = await tx.maybe(sql.LINK_LOGIN, person, issuer, slug, subject, _address(email))
            if added is None:
                raise errors.ProviderAlreadyLinked
            by = _Login(user_id=person, slug=slug, issuer=issuer, client=client)
            if replaced is not None:
                former = replace(by, slug=replaced or None)
                await _record(tx, SessionEventType.PROVIDER_UNLINKED, former, reason="replaced")
            if owner is not None and owner.frozen:
                # The user has just proved the login again, in a session of their own.
                await _record(tx, SessionEventType.PROVIDER_CONFIRMED, by)
            if added:
                await _record(tx, SessionEventType.PROVIDER_LINKED, by)

    async def link(
        self,
        user_id: str,
        provider: str,
        subject: str,
        email: str | None = None,
        *,
        client: Client | None = None,
    ) -> None:
        """Link by issuer alone (``provider`` is the issuer); the slug comes from the configured provider."""
        slug = self._slug_of(provider)
        await self.link_by_issuer(user_id, provider, slug, subject, email, client=client)

    async def get_link_by_issuer(self, issuer: str, subject: str) -> ProviderLink | None:
        """Return whose login this is, or None. Only "no row" is None: a storage failure is raised."""
        if not (identifiers.storable(issuer) and identifiers.storable(subject)):
            return None
        found = await self.rt.maybe(sql.LOGIN_BY_ISSUER, issuer, subject)
        return None if found is None else ProviderLink(found.user_id, found.email)

    async def get_link(self, provider_slug: str, subject: str) -> ProviderLink | None:
        """Return whose login this is by the provider's slug, or None.

        Two issuers may share a slug; when both know the subject its user is ambiguous, and
        ``Conflict`` is raised: ask by issuer.
        """
        slug = provider_slug.strip().lower()
        if not (identifiers.storable(slug) and identifiers.storable(subject)):
            return None
        found = await self.rt.all(sql.LOGINS_BY_SLUG, slug, subject)
        if len(found) > 1:
            raise errors.Conflict("Several issuers share this provider name.")
        return ProviderLink(found[0].user_id, found[0].email) if found else None

    async def list_for_user(self, user_id: str) -> list[LinkedProvider]:
        """Return the user's logins, the oldest first."""
        person = identifiers.uuid_or_none(user_id)
        return [] if person is None else await self.rt.all(sql.LOGINS_OF_USER, person)

    @raises(errors.CannotUnlinkLastLoginMethod)
    async def unlink(
        self,
        user_id: str,
        provider_slug: str,
        *,
        force: bool = False,
        session_id: str | None = None,
        client: Client | None = None,
    ) -> bool:
        """Remove the user's logins of a provider, and end sign-ins under way; False when there were none.

        ``CannotUnlinkLastLoginMethod`` when neither a password, a passkey, a verified contact that signs in
        (``passwordless``) nor a login of a provider that this service offers would remain, unless ``force``.
        The user's row is locked: of two parallel calls that would together lock the user out, one is refused.
        Raises ``SessionEnded`` if ``session_id``, the session that asks, has ended.
        """
        person, slug = identifiers.uuid_or_none(user_id), provider_slug.strip().lower()
        if person is None or not identifiers.storable(slug):
            return False
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, person)
            await require_live(tx, person, session_id)
            if not await tx.one(sql.HAS_LOGIN, person, slug):
                return False
            if not force and not await Providers(tx).has_other_login(person, provider_slug=slug):
                raise errors.CannotUnlinkLastLoginMethod
            await tx.execute(sql.UNLINK_LOGINS, person, slug)
            await Events(tx).record(
                SessionEventType.PROVIDER_UNLINKED, actor=None, user_id=person, method=slug, client=client
            )
        return True

    async def has_other_login(
        self, user_id: str, *, provider_slug: str | None = None, passkey_id: str | None = None
    ) -> bool:
        """True if the user can sign in without a provider, or without a passkey.

        The caller holds the lock of the user's row. ``user_id`` and ``passkey_id`` are canonical.
        """
        issuers, passkeys = login_issuers(self.rt.config), self.rt.config.webauthn_rp_id is not None
        messages = [signs_in(self.rt, kind) for kind in CONTACT_KINDS]
        return await self.rt.one(
            sql.HAS_OTHER_LOGIN, user_id, provider_slug, issuers, passkey_id, passkeys, *messages
        )

    async def confirm(
        self,
        user_id: str,
        provider_slug: str,
        *,
        session_id: str | None = None,
        client: Client | None = None,
    ) -> bool:
        """Let the user's frozen logins of a provider sign in again; False when none was frozen.

        Freezes end here or by linking the login anew. The caller must have authenticated the owner recently.
        Raises ``SessionEnded`` if ``session_id``, the session that asks, has ended.
        """
        person, slug = identifiers.uuid_or_none(user_id), provider_slug.strip().lower()
        if person is None or not identifiers.storable(slug):
            return False
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, person)
            await require_live(tx, person, session_id)
            if not await tx.execute(sql.CONFIRM_LOGINS, person, slug):
                return False
            await Events(tx).record(
                SessionEventType.PROVIDER_CONFIRMED, actor=None, user_id=person, method=slug, client=client
            )
        return True

    async def count(self, user_id: str) -> int:
        """Return how many logins the user has."""
        person = identifiers.uuid_or_none(user_id)
        return 0 if person is None else await self.rt.one(sql.COUNT_LOGINS, person)

    async def set_username(self, user_id: str, provider: str, subject: str, username: str) -> bool:
        """Store what the provider (its issuer) calls the person; False when the user has no such login.

        The text comes from a profile that anybody may edit: control characters go, 100 characters stay.
        """
        person = identifiers.uuid_or_none(user_id)
        if person is None or not (identifiers.storable(provider) and identifiers.storable(subject)):
            return False
        stored = await self.rt.maybe(sql.SET_LOGIN_USERNAME, person, provider, subject, displayable(username))
        return stored is not None

    async def get_username(self, user_id: str, provider_slug: str) -> str:
        """Return what the provider calls the person, ``""`` when it is not known."""
        person, slug = identifiers.uuid_or_none(user_id), provider_slug.strip().lower()
        if person is None or not identifiers.storable(slug):
            return ""
        return await self.rt.maybe(sql.LOGIN_USERNAME, person, slug) or ""

    async def get_discord_username(self, user_id: str) -> str:
        """Return the name a token would carry: the user's own column, else the newest discord login's."""
        person = identifiers.uuid_or_none(user_id)
        return "" if person is None else await self.rt.maybe(sql.DISCORD_USERNAME, person) or ""

    def _slug_of(self, issuer: str) -> str | None:
        return next(
            (slug for slug, known in self.rt.config.provider_issuers.items() if known == issuer), None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Login:
    """What an event says of a login."""

    user_id: str
    slug: str | None
    issuer: str
    client: Client | None


async def _record(tx: Runtime, event: SessionEventType, login: _Login, *, reason: str | None = None) -> None:
    await Events(tx).record(
        event,
        actor=None,
        user_id=login.user_id,
        method=login.slug,
        reason=reason,
        target=login.issuer,
        client=login.client,
    )


def displayable(text: str) -> str:
    """Return foreign text as it may be stored and shown: one line, no control characters, 100 characters."""
    kept = "".join(char for char in text if char.isprintable() and not "\ud800" <= char <= "\udfff")
    return kept.strip()[:100]


def _named(text: str) -> str:
    if not text or not identifiers.storable(text) or len(text) > 512:
        raise errors.Invalid("A login is named by its issuer and subject.", param="subject")
    return text


def _address(email: str | None) -> str | None:
    """Return the provider's address in our form; one that we would not accept is not worth keeping."""
    try:
        return identifiers.email(email) if email else None
    except errors.InvalidEmail:
        return None
