"""External logins: which account of which provider belongs to which user.

``issuer`` and ``subject`` name a login and belong to one user; a user has one login per issuer. The slug
(``google``, ``discord``, ``solana``) is what people and configuration call the issuer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from authkit_issuer import errors, identifiers
from authkit_issuer.capabilities.events import Events
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query, Statement
from authkit_issuer.store.standing import LOCK_USER

DISCORD = "discord"


class ProviderLink(NamedTuple):
    """Whose login it is, and the address the provider gave for it."""

    user_id: str
    email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    user_id: str
    email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedProvider:
    """One login of a user, as its owner may see it. ``username`` is what the provider calls the person."""

    issuer: str
    provider_slug: str | None
    subject: str
    email: str | None
    username: str


# A login that is taken away takes with it what was proved by it and is not finished: the epoch moves.
_MOVE_EPOCH = """
    update profiles.users set auth_epoch = auth_epoch + 1 where id = $1::uuid and exists (select from gone)
"""
REPLACE = Statement(
    f"""
    with gone as (
        delete from profiles.user_providers
        where user_id = $1::uuid and issuer = $2 and subject <> $3 returning 1
    )
    {_MOVE_EPOCH}
    """
)
# The owner never changes here: a login of somebody else moves no column and returns no row.
LINK = Query(
    bool,
    """
    insert into profiles.user_providers (user_id, issuer, provider_slug, subject, email_at_provider)
    values ($1::uuid, $2, $3, $4, $5)
    on conflict (issuer, subject) do update
        set provider_slug = coalesce(excluded.provider_slug, user_providers.provider_slug),
            email_at_provider = excluded.email_at_provider
        where user_providers.user_id = excluded.user_id
    returning xmax = 0
    """,
)
BY_ISSUER = Query(
    _Link,
    """
    select user_id::text, email_at_provider as email from profiles.user_providers
    where issuer = $1 and subject = $2
    """,
)
BY_SLUG = Query(
    _Link,
    """
    select user_id::text, email_at_provider as email from profiles.user_providers
    where provider_slug = $1 and subject = $2 limit 2
    """,
)
OF_USER = Query(
    LinkedProvider,
    """
    select issuer, provider_slug, subject, email_at_provider as email,
           coalesce(profile ->> 'username', '') as username
    from profiles.user_providers where user_id = $1::uuid order by created_at, id
    """,
)
COUNT = Query(int, "select count(*)::int from profiles.user_providers where user_id = $1::uuid")
# What stays usable once the slug is gone: a password, or a link that this deployment can still log in with.
REMAINING = Query(
    bool,
    """
    select exists (select from profiles.user_passwords p
                   where p.user_id = $1::uuid and p.hash_algo <> 'legacy-reset-required')
        or exists (select from profiles.user_providers l
                   where l.user_id = $1::uuid and l.provider_slug is distinct from $2
                     and l.provider_slug = any($3::text[]))
    """,
)
HOLDS = Query(
    bool,
    "select exists (select from profiles.user_providers where user_id = $1::uuid and provider_slug = $2)",
)
UNLINK = Statement(
    f"""
    with gone as (
        delete from profiles.user_providers where user_id = $1::uuid and provider_slug = $2 returning 1
    )
    {_MOVE_EPOCH}
    """
)
SET_USERNAME = Query(
    str,
    """
    update profiles.user_providers
    set profile = profile || jsonb_build_object('username', $4::text)
    where user_id = $1::uuid and issuer = $2 and subject = $3 returning subject
    """,
)
USERNAME = Query(
    str,
    """
    select coalesce(profile ->> 'username', '') from profiles.user_providers
    where user_id = $1::uuid and provider_slug = $2 order by created_at desc limit 1
    """,
)
DISCORD_USERNAME = Query(
    str,
    """
    select coalesce(u.discord_username, (
        select p.profile ->> 'username' from profiles.user_providers p
        where p.user_id = u.id and p.provider_slug = 'discord' order by p.created_at desc limit 1
    ), '') from profiles.users u where u.id = $1::uuid
    """,
)


@dataclass(frozen=True, slots=True)
class Providers:
    """Links, unlinks and finds external logins."""

    rt: Runtime

    async def link_by_issuer(
        self, user_id: str, issuer: str, provider_slug: str | None, subject: str, email: str | None = None
    ) -> None:
        """Make a login the user's; another login of the same issuer is replaced.

        Sign-ins that are under way with that other one open nothing any more. Linking again refreshes the
        address and the slug. Raises ``UserNotFound``, and ``ProviderAlreadyLinked`` with nothing changed when
        the login is somebody else's.
        """
        person = identifiers.user_id(user_id)
        issuer, subject, slug = _named(issuer), _named(subject), (provider_slug or "").strip().lower() or None
        if person is None:
            raise errors.UserNotFound
        async with self.rt.transaction() as tx:
            if await tx.maybe(LOCK_USER, person) is None:
                raise errors.UserNotFound
            # Before anything is deleted: two users after each other's login must not wait for each other.
            owner = await tx.maybe(BY_ISSUER, issuer, subject)
            if owner is not None and owner.user_id != person:
                raise errors.ProviderAlreadyLinked
            await tx.execute(REPLACE, person, issuer, subject)
            added = await tx.maybe(LINK, person, issuer, slug, subject, _address(email))
            if added is None:
                raise errors.ProviderAlreadyLinked
            if added:
                await Events(tx).record(
                    SessionEventType.PROVIDER_LINKED, user_id=person, method=slug, target=issuer
                )

    async def link(self, user_id: str, provider: str, subject: str, email: str | None = None) -> None:
        """Link by issuer alone (``provider`` is the issuer); the slug is that of the configured provider."""
        await self.link_by_issuer(user_id, provider, self._slug_of(provider), subject, email)

    async def get_link_by_issuer(self, issuer: str, subject: str) -> ProviderLink | None:
        """Return whose login this is, or None. Only "no row" is None: a storage failure is raised."""
        if not (identifiers.storable(issuer) and identifiers.storable(subject)):
            return None
        found = await self.rt.maybe(BY_ISSUER, issuer, subject)
        return None if found is None else ProviderLink(found.user_id, found.email)

    async def get_link(self, provider_slug: str, subject: str) -> ProviderLink | None:
        """Return whose login this is by the provider's slug, or None.

        Two issuers may share a slug; when both know the subject nobody can tell whose it is, and
        ``Conflict`` is raised: ask by issuer.
        """
        slug = provider_slug.strip().lower()
        if not (identifiers.storable(slug) and identifiers.storable(subject)):
            return None
        found = await self.rt.all(BY_SLUG, slug, subject)
        if len(found) > 1:
            raise errors.Conflict("Several issuers share this provider name.")
        return ProviderLink(found[0].user_id, found[0].email) if found else None

    async def list_for_user(self, user_id: str) -> list[LinkedProvider]:
        """Return the user's logins, the oldest first."""
        person = identifiers.user_id(user_id)
        return [] if person is None else await self.rt.all(OF_USER, person)

    async def unlink(self, user_id: str, provider_slug: str, *, force: bool = False) -> bool:
        """Remove the user's logins of a provider, and end sign-ins under way; False when there were none.

        ``CannotUnlinkLastLoginMethod`` when neither a password nor a login of a provider that this service
        offers would remain, unless ``force``. The user's row is locked: of two parallel calls that would
        together lock the user out, one is refused.
        """
        person, slug = identifiers.user_id(user_id), provider_slug.strip().lower()
        if person is None or not identifiers.storable(slug):
            return False
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, person)
            if not await tx.one(HOLDS, person, slug):
                return False
            if not force and not await tx.one(REMAINING, person, slug, sorted(self._usable())):
                raise errors.CannotUnlinkLastLoginMethod
            await tx.execute(UNLINK, person, slug)
            await Events(tx).record(SessionEventType.PROVIDER_UNLINKED, user_id=person, method=slug)
        return True

    async def count(self, user_id: str) -> int:
        """Return how many logins the user has."""
        person = identifiers.user_id(user_id)
        return 0 if person is None else await self.rt.one(COUNT, person)

    async def set_username(self, user_id: str, provider: str, subject: str, username: str) -> bool:
        """Store what the provider (its issuer) calls the person; False when there is no such login.

        The text comes from a profile that anybody may edit: control characters go, 100 characters stay.
        """
        person = identifiers.user_id(user_id)
        if person is None or not (identifiers.storable(provider) and identifiers.storable(subject)):
            return False
        return await self.rt.maybe(SET_USERNAME, person, provider, subject, displayable(username)) is not None

    async def get_username(self, user_id: str, provider_slug: str) -> str:
        """Return what the provider calls the person, ``""`` when it is not known."""
        person, slug = identifiers.user_id(user_id), provider_slug.strip().lower()
        if person is None or not identifiers.storable(slug):
            return ""
        return await self.rt.maybe(USERNAME, person, slug) or ""

    async def get_discord_username(self, user_id: str) -> str:
        """Return the name a token would carry: the user's own column, else the newest discord login's."""
        person = identifiers.user_id(user_id)
        return "" if person is None else await self.rt.maybe(DISCORD_USERNAME, person) or ""

    def _slug_of(self, issuer: str) -> str | None:
        return next(
            (slug for slug, known in self.rt.config.provider_issuers.items() if known == issuer), None
        )

    def _usable(self) -> Iterable[str]:
        return {*self.rt.config.provider_issuers, "solana"}


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
