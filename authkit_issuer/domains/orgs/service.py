"""Organizations: their names, their roles, and the personal one of each user.

Every name goes through the one namespace that users and organizations share. Each organization defines
``owner`` and ``member`` from the moment it exists. ``members`` has the memberships, the roles that members
hold, and the limits of both.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.config import DEFAULT_DELETED_RETENTION
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.former_names import free_rested
from authkit_issuer.domains.base.namespace import Namespace, OrgName
from authkit_issuer.domains.orgs import queries as sql
from authkit_issuer.domains.orgs.members import FOUNDED, MEMBER, OWNER, OrgMembers, hold, require_owner
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import LOCK_USER

Org = OrgName
"""An organization: ``id``, current ``slug``, ``is_personal``, ``owner_user_id`` (of a personal one only)."""

BACKFILL_BATCH = 500
PURGE_BATCH = 100
PURGED = "purged"
"""The reason of the event of an organization that is deleted for good."""
MAX_DEFINED_ROLES = 200
BACKFILL_TRIES = 5


@dataclass(frozen=True, slots=True)
class Orgs:
    """Creates, names and finds organizations, and defines their roles."""

    rt: Runtime

    async def resolve(self, slug: str) -> Org:
        """Return the organization with this current or former name; ``InvalidOrgSlug``, ``OrgNotFound``."""
        return await Namespace(self.rt).find_org(slug)

    @raises(
        errors.InvalidOrgSlug,
        errors.OwnerSlugReserved,
        errors.OwnerSlugTaken,
        errors.OrgMembershipLimitExceeded,
        errors.UserNotFound,
    )
    async def create(self, slug: str, *, owner_user_id: str | None = None) -> Org:
        """Found an organization; its owner, when given, becomes a member with the role ``owner``.

        Organization, name, roles and membership are one transaction. Raises ``InvalidOrgSlug``,
        ``OwnerSlugReserved``, ``OwnerSlugTaken``, ``UserNotFound``, ``OrgMembershipLimitExceeded``.
        """
        name = identifiers.org_slug(slug)
        async with self.rt.transaction() as tx:
            if owner_user_id is not None:
                await _lock_user(tx, owner_user_id)
            org = await _establish(tx, name, None, actor=None)
            await Namespace(tx).claim_org_slug(org.id, name)
            if owner_user_id is not None:
                await OrgMembers(tx).join(org, owner_user_id, (OWNER,), actor=None, reason=FOUNDED)
        return org

    async def keep_personal(self, user_id: str, username: str, *, actor: str | None) -> None:
        """Let the user's personal organization be named after the user; made when there is none yet.

        Joins the transaction that claims the name afterwards: everybody writes the organization's slug before
        the name, so that two who want one name never wait for each other. Nothing happens where there are no
        organizations. Raises ``UsernameInUse``, ``OwnerSlugTaken``.
        """
        slug = Namespace(self.rt).owner_slug_of(username)
        if not slug:
            return
        await Namespace(self.rt).check_free(user_id, username)
        org = await self.rt.maybe(sql.PERSONAL_ORG, user_id)
        if org is None:
            org = await _establish(self.rt, slug, user_id, actor=actor)
            await OrgMembers(self.rt).join(org, user_id, (OWNER,), actor=actor, reason=FOUNDED)
        elif org.slug != slug:
            await self.rt.execute(sql.SET_SLUG, org.id, slug)

    @raises(
        errors.OrgNotFound,
        errors.InvalidOrgSlug,
        errors.PersonalOrgLocked,
        errors.OwnerSlugReserved,
        errors.OwnerSlugTaken,
        errors.TooManyRequests,
        errors.NotOrgMember,
    )
    async def rename(
        self, org_id: str, new_slug: str, *, actor: str | None = None, as_owner: bool = False
    ) -> None:
        """Give an organization another name; the old one keeps leading to it. The same name is no change.

        Five former names are kept; the oldest is freed when there would be six and it has rested for 30 days.

        Raises:
            OrgNotFound: No such organization.
            InvalidOrgSlug, OwnerSlugReserved, OwnerSlugTaken: The name was refused.
            PersonalOrgLocked: A personal organization has its user's name.
            TooManyRequests: There are five former names, and the oldest has not rested.
            NotOrgMember: The actor is not an owner at that moment, and ``as_owner`` is true.
        """
        slug = identifiers.org_slug(new_slug)
        async with self.rt.transaction() as tx:
            org = await _locked(tx, org_id, actor, as_owner=as_owner)
            if org.is_personal:
                raise errors.PersonalOrgLocked
            if org.slug == slug:
                return
            # As with users: two who want each other's name are both refused and never wait for each other.
            await Namespace(tx).check_org_slug_free(org.id, slug)
            freed = await free_rested(tx, org.id, slug)
            await tx.execute(sql.SET_SLUG, org.id, slug)
            await Namespace(tx).claim_org_slug(org.id, slug)
            await Events(tx).record(
                SessionEventType.ORG_RENAMED,
                actor=actor,
                target=f"org:{org.id}",
                data={"before": org.slug, "after": slug} | ({"freed": freed} if freed else {}),
            )

    @raises(errors.OrgNotFound, errors.PersonalOrgLocked, errors.NotOrgMember)
    async def delete(
        self,
        org_id: str,
        *,
        actor: str | None = None,
        as_owner: bool = False,
        client: Client | None = None,
    ) -> None:
        """Delete an organization: it is found no more, and no member gets a token of it.

        Its names stay taken until the purge, so that no token of before opens another organization.

        Args:
            org_id: The organization.
            actor: The id of the user who deletes it.
            as_owner: Refuse an ``actor`` who is not an owner at that moment, or may not act.
            client: The client of the request.

        Raises:
            OrgNotFound: No such organization, or it is deleted already.
            PersonalOrgLocked: A personal organization is deleted with its user.
            NotOrgMember: The actor is not an owner, and ``as_owner`` is true.
        """
        async with self.rt.transaction() as tx:
            org = await _locked(tx, org_id, actor, as_owner=as_owner)
            if org.is_personal:
                raise errors.PersonalOrgLocked("A personal organization is deleted with its user.")
            invites = await tx.one(sql.DELETE_ORG, org.id)
            await Events(tx).record(
                SessionEventType.ORG_DELETED,
                actor=actor,
                target=f"org:{org.id}",
                client=client,
                data={"slug": org.slug, "invites": invites},
            )

    async def purge_deleted(self, *, retention: float | None = None, batch: int = PURGE_BATCH) -> int:
        """Delete for good the organizations whose retention has ended, and free their names.

        Args:
            retention: Seconds since the deletion; ``deleted_user_retention``, or 30 days without one.
            batch: How many are deleted in one transaction.

        Returns:
            How many were deleted.
        """
        self.rt.refuse_joining("orgs.purge_deleted")
        if retention is None:
            retention = self.rt.config.deleted_user_retention or DEFAULT_DELETED_RETENTION
        total, size = 0, max(1, batch)
        while True:
            async with self.rt.transaction() as tx:
                gone = await tx.all(sql.PURGE_ORGS, retention, size)
                for org in gone:
                    await Events(tx).record(
                        SessionEventType.ORG_DELETED,
                        actor=None,
                        reason=PURGED,
                        target=f"org:{org.id}",
                        data={"slug": org.slug},
                    )
            total += len(gone)
            if len(gone) < size:
                return total

    async def list_aliases(self, org_id: str) -> list[str]:
        """Return the organization's former names, sorted; raises ``OrgNotFound``."""
        canonical_id = identifiers.uuid_or_none(org_id)
        if canonical_id is None or await self.rt.maybe(sql.ORG_BY_ID, canonical_id) is None:
            raise errors.OrgNotFound
        return await self.rt.all(sql.ALIASES, canonical_id)

    async def get_personal(self, user_id: str) -> Org:
        """Return the user's personal organization or raise ``PersonalOrgNotFound``."""
        person = identifiers.uuid_or_none(user_id)
        found = await self.rt.maybe(sql.PERSONAL_ORG, person) if person else None
        if found is None:
            raise errors.PersonalOrgNotFound
        return found

    @raises(errors.InvalidOrgRole, errors.OrgRoleLimitExceeded, errors.NotOrgMember)
    async def define_role(
        self, org_slug: str, role: str, *, actor: str | None = None, as_owner: bool = False
    ) -> None:
        """Let the organization have this role; again is no change.

        Two spellings that differ in letter case alone are one name: the second raises ``InvalidOrgRole``, as
        ``Owner`` does. Raises ``OrgRoleLimitExceeded`` beyond 200 roles. ``as_owner`` as for ``delete``.
        """
        name = identifiers.org_role(role)
        if name != role.strip():
            raise errors.InvalidOrgRole("Every organization has this role, spelled owner.", param="role")
        async with self.rt.transaction() as tx:
            org = await hold(tx, org_slug, actor, as_owner=as_owner)
            if await tx.maybe(sql.DEFINE_ROLE, org.id, name) is not None:
                if await tx.one(sql.COUNT_ROLES, org.id) > MAX_DEFINED_ROLES:
                    raise errors.OrgRoleLimitExceeded("An organization may define at most 200 roles.")
                await _record_role(tx, SessionEventType.ORG_ROLE_DEFINED, org, name, actor)
            elif await tx.maybe(sql.ROLE_CASELESS, org.id, name) != name:
                raise errors.InvalidOrgRole("A role of this name in other letter case exists.", param="role")

    @raises(errors.InvalidOrgSlug, errors.OrgNotFound)
    async def requires_two_factor(self, org_slug: str) -> bool:
        """True if the organization issues tokens to members with a second factor only."""
        return await self.rt.one(sql.REQUIRES_TWO_FACTOR, (await self.resolve(org_slug)).id)

    @raises(errors.InvalidOrgSlug, errors.OrgNotFound, errors.NotOrgMember)
    async def require_two_factor(
        self,
        org_slug: str,
        *,
        required: bool,
        actor: str | None = None,
        as_owner: bool = False,
        client: Client | None = None,
    ) -> None:
        """Require a second factor of the members, or no longer.

        Tokens of the organization are then refused to members without one, at their next refresh. Again is no
        change. Raises ``InvalidOrgSlug``, ``OrgNotFound``. ``as_owner`` as for ``delete``.
        """
        async with self.rt.transaction() as tx:
            org = await hold(tx, org_slug, actor, as_owner=as_owner)
            if await tx.execute(sql.REQUIRE_TWO_FACTOR, org.id, required):
                await Events(tx).record(
                    SessionEventType.ORG_POLICY_CHANGED,
                    user_id=actor or "",
                    actor=actor,
                    target=org.id,
                    client=client,
                    data={"slug": org.slug, "two_factor_required": required},
                )

    @raises(errors.InvalidOrgRole, errors.ProtectedOrgRole, errors.NotOrgMember)
    async def delete_role(
        self, org_slug: str, role: str, *, actor: str | None = None, as_owner: bool = False
    ) -> bool:
        """Remove a role from the organization and from every member; False when it was not defined.

        Raises ``ProtectedOrgRole`` for ``owner``. ``as_owner`` as for ``delete``.
        """
        name = identifiers.org_role(role)
        if name == OWNER:
            raise errors.ProtectedOrgRole
        async with self.rt.transaction() as tx:
            # A transaction that assigns the role holds this lock.
            org = await hold(tx, org_slug, actor, as_owner=as_owner)
            members = await tx.maybe(sql.DELETE_ROLE, org.id, name)
            if members is None:
                return False
            await _record_role(tx, SessionEventType.ORG_ROLE_DELETED, org, name, actor, members=members)
        return True

    async def list_roles(self, org_slug: str) -> list[str]:
        """Return the roles the organization defines, sorted."""
        org = await Namespace(self.rt).find_org(org_slug)
        return await self.rt.all(sql.DEFINED_ROLES, org.id)

    async def backfill_personal(self) -> int:
        """Give every user with a name a personal organization, for a service that had none so far.

        Safe to repeat. Where two names lead to one owner slug (``a_b`` and ``a__b``), the second user gets
        it with ``-2`` and so on, and the event says so. A user of 200 organizations gets none. Returns
        how many were made.
        """
        made, last = 0, "00000000-0000-0000-0000-000000000000"
        while batch := await self.rt.all(sql.WITHOUT_PERSONAL, last, BACKFILL_BATCH):
            for user in batch:
                last = user.id
                made += await self._backfilled(user)
        return made

    async def _backfilled(self, user: sql.NamedUser) -> int:
        """Make the organization of one user; who lost the race for a slug looks for another one."""
        for _ in range(BACKFILL_TRIES):
            try:
                async with self.rt.transaction() as tx:
                    return await _backfill(tx, user)
            except errors.OwnerSlugTaken:
                continue
            except errors.OrgMembershipLimitExceeded:
                break
        return 0


async def _establish(tx: Runtime, slug: str, owner_user_id: str | None, *, actor: str | None) -> Org:
    """Write the organization, its two roles and the event; its name is claimed by the caller."""
    org = await tx.one(sql.CREATE_ORG, slug, owner_user_id)
    for role in (OWNER, MEMBER):
        await tx.execute(sql.DEFINE_ROLE, org.id, role)
    await Events(tx).record(
        SessionEventType.ORG_CREATED,
        actor=actor,
        user_id=owner_user_id or "",
        target=f"org:{org.id}",
        data={"slug": slug},
    )
    return org


async def _record_role(
    tx: Runtime, event: SessionEventType, org: Org, role: str, actor: str | None, **facts: object
) -> None:
    data = {"slug": org.slug, "roles": [role], **facts}
    await Events(tx).record(event, actor=actor, target=f"org:{org.id}", data=data)


async def _backfill(tx: Runtime, user: sql.NamedUser) -> int:
    if await tx.maybe(LOCK_USER, user.id) is None:
        return 0
    wanted = Namespace(tx).owner_slug_of(user.username)
    if not wanted or await tx.maybe(sql.PERSONAL_ORG, user.id) is not None:
        return 0
    # The organization before the name, as everywhere.
    slug = await Namespace(tx).free_slug(user.id, wanted)
    org = await _establish(tx, slug, user.id, actor=None)
    await Namespace(tx).claim_slug(user.id, slug)
    await OrgMembers(tx).join(org, user.id, (OWNER,), actor=None, reason=FOUNDED)
    return 1


async def _locked(tx: Runtime, org_id: str, actor: str | None, *, as_owner: bool) -> Org:
    """Return the organization with this id under its row lock; raises as ``hold``."""
    canonical_id = identifiers.uuid_or_none(org_id)
    if canonical_id is None or await tx.maybe(sql.LOCK_ORG, canonical_id) is None:
        raise errors.OrgNotFound
    org = await tx.one(sql.ORG_BY_ID, canonical_id)
    if as_owner:
        await require_owner(tx, org, actor)
    return org


async def _lock_user(tx: Runtime, user_id: str) -> None:
    person = identifiers.uuid_or_none(user_id)
    if person is None or await tx.maybe(LOCK_USER, person) is None:
        raise errors.UserNotFound
