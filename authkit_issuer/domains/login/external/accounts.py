"""From what a provider says of a person to the account of this service.

(issuer, subject) alone names a login. An address never does: one that the provider has verified and an
account has means that its owner must sign in and link; one that it has not verified counts as none.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.external_identities import Providers, displayable
from authkit_issuer.domains.accounts.service import Users
from authkit_issuer.domains.accounts.usernames import Usernames
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.login.external import queries as sql
from authkit_issuer.domains.login.external.records import State
from authkit_issuer.federation import Profile
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Finds, makes and links the account of one provider's login."""

    rt: Runtime
    slug: str
    method: str
    client: Client | None = None

    async def resolve(self, profile: Profile) -> tuple[sql.Linked, bool]:
        """Return the user of a login and whether it was made here; of parallel first logins one makes it.

        Raises ``AccountExistsLinkRequired``.
        """
        created = False
        for attempt in range(_TRIES):
            linked = await self.rt.maybe(sql.LINKED, profile.issuer, profile.subject)
            if linked is not None:
                await self._keep_username(linked, profile)
                return linked, created
            try:
                created = await self._admit(profile, attempt)
            except (errors.ProviderAlreadyLinked, errors.EmailInUse, errors.UsernameInUse):
                continue  # somebody was faster: look again who
        raise errors.Conflict

    async def link(self, record: State, profile: Profile) -> None:
        """Make a login that of the user who asked for it, while the session that asked lives.

        Raises ``SessionEnded``, also when the account changed since; ``UserBanned``,
        ``ProviderAlreadyLinked``.
        """
        async with self.rt.transaction() as tx:
            held = await tx.maybe(
                sql.HOLD_SESSION, record.user_id, profile.issuer, profile.subject, record.session_id
            )
            if held is None or held.auth_epoch != record.auth_epoch:
                raise errors.SessionEnded
            await self._link(tx, held, record.user_id, profile)

    async def _admit(self, profile: Profile, attempt: int) -> bool:
        """Let a login in that nobody has: with an account of its own, or with the one of its address."""
        email = verified_email(profile)
        found = None
        if email is not None:
            found = await self.rt.one(sql.ADDRESS, profile.issuer, profile.subject, email)
        if found is None or found.holder is None:
            await self._create(profile, email, attempt)
            return True
        if found.linked:
            return False
        if not (found.verified and self.rt.config.providers[self.slug].auto_link):
            raise errors.AccountExistsLinkRequired
        async with self.rt.transaction() as tx:
            held = await tx.maybe(sql.HOLD_ADDRESS, found.holder, profile.issuer, profile.subject, email)
            if held is None or (held.has_issuer and not held.has_this):
                raise errors.AccountExistsLinkRequired
            await self._link(tx, held, found.holder, profile)
        return False

    async def _create(self, profile: Profile, email: str | None, attempt: int) -> None:
        name = await Usernames(self.rt).derive_for_oauth(
            self.slug, profile.username, email or "", profile.display_name
        )
        if attempt:
            # Whoever else is after the next free name is after it again: a random one parts us.
            number = int.from_bytes(self.rt.random_bytes(4), "big") % 10_000
            name = identifiers.suffixed_username(name, f"{number:04d}")
        async with self.rt.transaction() as tx:
            users = Users(tx)
            user = await users.add_with_free_name(
                name, email=email, verified=email is not None, method=self.method
            )
            await self._store(tx, user.id, profile, email)
            await users.send_welcome(user.id)

    async def _link(self, tx: Runtime, held: sql.Held, user_id: str, profile: Profile) -> None:
        if not held.allowed:
            raise errors.UserBanned
        await self._store(tx, user_id, profile, verified_email(profile))
        if not held.has_this:
            await Messages(tx).notify(held.email, held.username, "provider_linked")

    async def _store(self, tx: Runtime, user_id: str, profile: Profile, email: str | None) -> None:
        providers = Providers(tx)
        issuer, subject = profile.issuer, profile.subject
        await providers.link_by_issuer(user_id, issuer, self.slug, subject, email, client=self.client)
        if profile.username:
            await providers.set_username(user_id, issuer, subject, profile.username)

    async def _keep_username(self, linked: sql.Linked, profile: Profile) -> None:
        if displayable(profile.username) not in {"", linked.username}:
            await Providers(self.rt).set_username(
                linked.user_id, profile.issuer, profile.subject, profile.username
            )


def verified_email(profile: Profile) -> str | None:
    """Return the address that the provider vouches for, in our form; None for any other."""
    if not profile.email_verified or not profile.email:
        return None
    try:
        return identifiers.email(profile.email)
    except errors.InvalidEmail:
        return None
