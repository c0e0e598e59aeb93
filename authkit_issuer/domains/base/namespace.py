"""The names that users and organizations hold, and the one rule that assigns them.

The primary key of ``names`` decides. A former name stays with its holder, which may take it back. A holder
has at most five former names: another change of name frees the oldest, once it has rested for thirty days.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.identifiers import MAX_ORG_SLUG, org_slug, owner_slug
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgName:
    """The organization that a slug leads to; ``slug`` is the current one even after a look-up by a former."""

    id: str
    slug: str
    is_personal: bool
    owner_user_id: str | None


CLAIM_FOR_USER = Query(
    str,
    """
    insert into profiles.names (slug, user_id) values ($1, $2::uuid)
    on conflict (slug) do update
    set is_current = true, retired_at = null,
        created_at = case when names.is_current then names.created_at else now() end
    where names.user_id = excluded.user_id
    returning slug
    """,
)
CLAIM_FOR_ORG = Query(
    str,
    """
    insert into profiles.names (slug, org_id) values ($1, $2::uuid)
    on conflict (slug) do update
    set is_current = true, retired_at = null,
        created_at = case when names.is_current then names.created_at else now() end
    where names.org_id = excluded.org_id
    returning slug
    """,
)
RETIRE_OF_USER = Statement(
    """
    update profiles.names set is_current = false, retired_at = now()
    where user_id = $1::uuid and is_current and slug <> all($2::text[])
    """
)
RETIRE_OF_ORG = Statement(
    "update profiles.names set is_current = false, retired_at = now() where org_id = $1::uuid and is_current"
)
# A personal organization has no name of its own: its user's names, current and former, lead to it.
FIND_ORG = Query(
    OrgName,
    """
    select o.id::text, o.slug, o.is_personal, o.owner_user_id::text
    from profiles.names n join profiles.orgs o
      on o.id = n.org_id or (o.is_personal and o.owner_user_id = n.user_id)
    where n.slug = $1 and o.deleted_at is null
    """,
)
TAKEN = Query(str, "select slug from profiles.names where slug = any($1::text[])")
OF_OTHERS = Query(
    str,
    "select slug from profiles.names where slug = any($1::text[]) and user_id is distinct from $2::uuid",
)
OF_OTHER_ORGS = Query(
    str, "select slug from profiles.names where slug = $1 and org_id is distinct from $2::uuid"
)


@dataclass(frozen=True, slots=True)
class Namespace:
    """Claims names inside the caller's transaction."""

    rt: Runtime

    async def claim_username(self, user_id: str, username: str) -> None:
        """Make ``username`` (and, with organizations, its owner slug) the current name of the user.

        Raises:
            UsernameReserved: The name or its owner slug is reserved.
            UsernameInUse: Another user or an organization holds or held the name.
            OwnerSlugTaken: Only the owner slug is taken.
        """
        if identifiers.is_reserved(username, self.rt.config.reserved_usernames):
            raise errors.UsernameReserved(param="username")
        names = self.names_of(username)
        for name in names:
            if await self.rt.maybe(CLAIM_FOR_USER, name, user_id) is None:
                raise _taken(name, username)
        await self.rt.execute(RETIRE_OF_USER, user_id, names)

    async def check_free(self, user_id: str, username: str) -> None:
        """Raise as ``claim_username`` does if another holder has the name; take no lock.

        Two users that want each other's name are both refused here, so they never wait for each other.
        """
        names = self.names_of(username)
        held = await self.rt.all(OF_OTHERS, names, user_id)
        if held:
            raise _taken(names[0] if names[0] in held else held[0], username)

    async def free_slug(self, user_id: str, wanted: str) -> str:
        """Return a free owner slug: ``wanted``, else the first free one of ``wanted-2`` on.

        It is only looked up; the claim decides. Raises ``OwnerSlugTaken`` if a thousand are held.
        """
        ends = ["", *(f"-{number}" for number in range(2, 1000))]
        slugs = [wanted[: MAX_ORG_SLUG - len(end)].rstrip("-") + end for end in ends]
        held = {*await self.rt.all(OF_OTHERS, slugs, user_id), *self.rt.config.reserved_usernames}
        for slug in slugs:
            if slug not in held:
                return slug
        raise errors.OwnerSlugTaken

    async def claim_slug(self, user_id: str, slug: str) -> None:
        """Make ``slug`` one of the user's current names, or raise ``OwnerSlugTaken``."""
        if await self.rt.maybe(CLAIM_FOR_USER, slug, user_id) is None:
            raise errors.OwnerSlugTaken

    async def check_org_slug_free(self, org_id: str, slug: str) -> None:
        """Raise ``OwnerSlugTaken`` if another holder has or had the name; take no lock."""
        if await self.rt.maybe(OF_OTHER_ORGS, slug, org_id) is not None:
            raise errors.OwnerSlugTaken(param="slug")

    async def claim_org_slug(self, org_id: str, slug: str) -> None:
        """Make ``slug`` the current name of the organization.

        Raises ``OwnerSlugTaken``, and ``OwnerSlugReserved`` for a name of ``reserved_usernames``, which users
        cannot have either.
        """
        if slug in self.rt.config.reserved_usernames:
            raise errors.OwnerSlugReserved(param="slug")
        await self.rt.execute(RETIRE_OF_ORG, org_id)
        if await self.rt.maybe(CLAIM_FOR_ORG, slug, org_id) is None:
            raise errors.OwnerSlugTaken(param="slug")

    async def find_org(self, slug: str) -> OrgName:
        """Return the organization that has or had this name; raise ``InvalidOrgSlug``, ``OrgNotFound``."""
        found = await self.rt.maybe(FIND_ORG, org_slug(slug))
        if found is None:
            raise errors.OrgNotFound
        return found

    async def is_taken(self, *slugs: str) -> bool:
        """True if any of the names is held. For forms: only the claim decides."""
        return bool(await self.rt.all(TAKEN, list(slugs)))

    async def taken_of(self, slugs: Iterable[str]) -> set[str]:
        """Return the names that are held, of those given."""
        return set(await self.rt.all(TAKEN, list(slugs)))

    def names_of(self, username: str) -> list[str]:
        """Return the names that a username takes: itself and, with organizations, its owner slug."""
        name, slug = username.lower(), self.owner_slug_of(username)
        return [name, slug] if slug and slug != name else [name]

    def owner_slug_of(self, username: str) -> str:
        """Return the owner slug of a username, ``""`` without organizations."""
        if self.rt.config.org_mode != "multi":
            return ""
        slug = owner_slug(username)
        if not slug:
            raise errors.InvalidUsernameForOwnerNamespace(param="username")
        return slug


def _taken(name: str, username: str) -> errors.AuthError:
    """The error for a taken name: the username itself, or only its owner slug."""
    refusal = errors.UsernameInUse if name == username.lower() else errors.OwnerSlugTaken
    return refusal(param="username")
