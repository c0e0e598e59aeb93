"""Global roles: the catalogue, and who holds which.

Roles stand in storage in both organization modes and appear in tokens in single mode only. The catalogue is
the host's, except for ``admin``, which every database starts with. ``lifecycle.invariants`` keeps an
administrator when an account is banned or deleted.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts import queries as sql
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role as the catalogue has it."""

    id: str
    slug: str
    name: str
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleGrant:
    """What an assignment found and did."""

    role_known: bool
    user_known: bool
    granted: bool


# Defining again renames, and brings a retired role back: the slug is the identity, the id follows from it.
DEFINE_ROLE = Query(
    Role,
    """
    insert into profiles.roles (id, slug, name, description) values ($1::uuid, $2, $3, $4)
    on conflict (slug) do update
        set name = excluded.name, description = excluded.description, deleted_at = null, updated_at = now()
    returning id::text, slug, name, description
    """,
)

DEFINED_ROLES = Query(
    Role,
    "select id::text, slug, name, description from profiles.roles where deleted_at is null order by slug",
)

GRANT_ROLE = Query(
    RoleGrant,
    """
    with role as (
        select id from profiles.roles where slug = $2 and deleted_at is null
    ), person as (
        select id from profiles.users where id = $1::uuid for key share
    ), granted as (
        insert into profiles.user_roles (user_id, role_id)
        select person.id, role.id from person cross join role
        on conflict do nothing returning 1
    )
    select exists (select from role) as role_known, exists (select from person) as user_known,
           exists (select from granted) as granted
    """,
)

HOLD_ROLE = Query(str, "select id::text from profiles.roles where slug = $1 for key share")

WITHDRAW_ROLE = Query(
    str,
    "delete from profiles.user_roles where user_id = $1::uuid and role_id = $2::uuid returning user_id::text",
)

HOLDS_ROLE = Query(bool, f"select exists ({sql.ACTING_HOLDER} and u.id = $2::uuid)")

ROLES_OF_USER = Query(
    str,
    """
    select r.slug from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
    where ur.user_id = $1::uuid and r.deleted_at is null order by r.slug
    """,
)


__all__ = ["ADMIN", "Role", "Roles", "require_admin", "role_id"]

ADMIN = "admin"
"""The role that opens the administration."""

NAMESPACE = uuid.UUID("ef5d0f45-83c6-5dbe-b15a-e017bc88ab5a")
"""Role ids are UUIDv5 of ``role:<slug>`` in this namespace (RFC 9562 section 5.5): equal everywhere."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Defines, assigns and lists global roles."""

    rt: Runtime

    @raises(errors.ReservedRoleSlug, errors.InvalidRoleSlug)
    async def define(self, slug: str, name: str = "", description: str | None = None) -> Role:
        """Add a role to the catalogue, or give a known one this name and description.

        The slug is trimmed and lower-cased; ``name`` is the slug when empty. Raises ``InvalidRoleSlug``,
        ``ReservedRoleSlug``.
        """
        known = identifiers.role_slug(slug)
        if not identifiers.storable(name + (description or "")):
            raise errors.Invalid("The role's name or description cannot be stored.", param="name")
        return await self.rt.one(DEFINE_ROLE, role_id(known), known, name.strip() or known, description)

    async def list_defined(self) -> list[Role]:
        """Return the catalogue, sorted by slug."""
        return await self.rt.all(DEFINED_ROLES)

    @raises(
        errors.ReservedRoleSlug,
        errors.InvalidRoleSlug,
        errors.RoleNotFound,
        errors.UserNotFound,
        errors.Denied,
    )
    async def assign(
        self, user_id: str, slug: str, *, actor: str | None = None, as_admin: bool = False
    ) -> None:
        """Give a user a role; again is no change. ``actor`` is the id of who did it, for the audit trail.

        Raises ``ReservedRoleSlug``, ``RoleNotFound`` for a role outside the catalogue, ``UserNotFound``, and
        with ``as_admin`` ``Denied`` for an ``actor`` who is no administrator at that moment, or may not act.
        """
        role = identifiers.role_slug(slug)
        person = identifiers.uuid_or_none(user_id)
        if person is None:
            raise errors.UserNotFound
        async with self.rt.transaction() as tx:
            # The role before the user, as the check of the last administrator does: they cannot deadlock.
            await tx.maybe(HOLD_ROLE, role)
            if as_admin:
                await require_admin(tx, actor)
            grant = await tx.one(GRANT_ROLE, person, role)
            if not grant.role_known:
                raise errors.RoleNotFound(metadata={"role": role})
            if not grant.user_known:
                raise errors.UserNotFound
            if grant.granted:
                await _record(tx, SessionEventType.ROLE_ASSIGNED, person, role, actor)

    @raises(errors.ReservedRoleSlug, errors.InvalidRoleSlug, errors.CannotRemoveLastAdminRole, errors.Denied)
    async def remove(
        self,
        user_id: str,
        slug: str,
        *,
        force: bool = False,
        actor: str | None = None,
        as_admin: bool = False,
    ) -> bool:
        """Take a role from a user; False when the user did not hold it.

        The last ``admin`` who may still act keeps the role (``CannotRemoveLastAdminRole``) unless ``force``:
        no user would be left to give it back. The role's row lock decides between two that remove each other.
        ``as_admin`` as for ``assign``.
        """
        role, person = identifiers.role_slug(slug), identifiers.uuid_or_none(user_id)
        if person is None:
            return False
        async with self.rt.transaction() as tx:
            known = await tx.maybe(sql.LOCK_ROLE, role)
            if as_admin:
                await require_admin(tx, actor)
            if known is None or await tx.maybe(WITHDRAW_ROLE, person, known) is None:
                return False
            if role == ADMIN and not force and not await tx.one(sql.OTHER_ROLE_HOLDERS, known, person):
                raise errors.CannotRemoveLastAdminRole
            await _record(tx, SessionEventType.ROLE_REMOVED, person, role, actor)
        return True

    async def list_for_user(self, user_id: str) -> list[str]:
        """Return the slugs of the user's roles, sorted; an unknown user has none."""
        person = identifiers.uuid_or_none(user_id)
        return [] if person is None else await self.rt.all(ROLES_OF_USER, person)


async def require_admin(tx: Runtime, user_id: str | None, *, lock: Query[str] = HOLD_ROLE) -> None:
    """Raise ``Denied`` unless the user is an administrator who may act, until the transaction ends.

    A transaction that locks the role later passes ``LOCK_ROLE``: two that hold it would wait for each other.
    """
    role, person = await tx.maybe(lock, ADMIN), identifiers.uuid_or_none(user_id or "")
    # A statement of its own, after the lock: a user who waited for it may have lost the role meanwhile.
    if role is None or person is None or not await tx.one(HOLDS_ROLE, role, person):
        raise errors.Denied


def role_id(slug: str) -> str:
    """Return the id every deployment gives this slug."""
    return str(uuid.uuid5(NAMESPACE, f"role:{slug}"))


async def _record(tx: Runtime, event: SessionEventType, user_id: str, role: str, actor: str | None) -> None:
    await Events(tx).record(event, user_id=user_id, actor=actor, target=f"role:{role}")
