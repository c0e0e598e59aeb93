"""The names that users and organisations hold, and the one rule of who gets a name.

The primary key of ``names`` decides. A former name stays with its first holder, who may take it back.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.identifiers import owner_slug
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query, Statement

CLAIM_FOR_USER = Query(
    str,
    """
    insert into profiles.names (slug, user_id) values ($1, $2::uuid)
    on conflict (slug) do update set is_current = true where names.user_id = excluded.user_id
    returning slug
    """,
)
CLAIM_FOR_ORG = Query(
    str,
    """
    insert into profiles.names (slug, org_id) values ($1, $2::uuid)
    on conflict (slug) do update set is_current = true where names.org_id = excluded.org_id
    returning slug
    """,
)
RETIRE_OF_USER = Statement(
    "update profiles.names set is_current = false where user_id = $1::uuid and is_current"
)
RETIRE_OF_ORG = Statement(
    "update profiles.names set is_current = false where org_id = $1::uuid and is_current"
)
TAKEN = Query(str, "select slug from profiles.names where slug = any($1::text[])")


@dataclass(frozen=True, slots=True)
class Namespace:
    """Claims names inside the caller's transaction."""

    rt: Runtime

    async def claim_username(self, user_id: str, username: str) -> None:
        """Make ``username`` (and, with organisations, its owner slug) the current name of the user.

        Raises ``UsernameInUse`` when another user or an organisation holds or once held the name itself,
        ``OwnerSlugTaken`` when only its owner slug is taken.
        """
        await self.rt.execute(RETIRE_OF_USER, user_id)
        if await self.rt.maybe(CLAIM_FOR_USER, username.lower(), user_id) is None:
            raise errors.UsernameInUse(param="username")
        slug = self.owner_slug_of(username)
        if slug and slug != username.lower() and await self.rt.maybe(CLAIM_FOR_USER, slug, user_id) is None:
            raise errors.OwnerSlugTaken(param="username")

    async def claim_org_slug(self, org_id: str, slug: str) -> None:
        """Make ``slug`` the current name of the organisation, or raise ``OwnerSlugTaken``."""
        await self.rt.execute(RETIRE_OF_ORG, org_id)
        if await self.rt.maybe(CLAIM_FOR_ORG, slug, org_id) is None:
            raise errors.OwnerSlugTaken(param="slug")

    async def is_taken(self, *slugs: str) -> bool:
        """Tell whether any of the names is held; a courtesy for forms, the claim itself decides."""
        return bool(await self.rt.all(TAKEN, list(slugs)))

    def owner_slug_of(self, username: str) -> str:
        """Return the owner slug that goes with a user name, ``""`` where there are no organisations."""
        if self.rt.config.org_mode != "multi":
            return ""
        slug = owner_slug(username)
        if not slug:
            raise errors.InvalidUsernameForOwnerNamespace(param="username")
        return slug
