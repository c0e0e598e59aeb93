"""Memberships: the users of each organization, and the roles they have there.

A membership that ends is deleted with its roles: a user who comes back starts without any. Every change that
could leave an organization without an owner holds the organization's row lock from before the counting to its
commit; bans and deletions of owners are in ``lifecycle.invariants``. Locks are taken in one order, the user's
row before the organization's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.namespace import Namespace, OrgName
from authkit_issuer.domains.orgs import members_queries as sql
from authkit_issuer.domains.orgs.members_queries import OrgMembership
from authkit_issuer.domains.orgs.queries import IS_MEMBER, LOCK_ORG
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.identifiers import OWNER
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import LOCK_USER

__all__ = ["MEMBER", "OWNER", "OrgMembers", "OrgMembership"]

MEMBER = "member"
FOUNDED = "founded"
"""The reason of the event of a first owner, whose own act it is."""
MAX_MEMBERSHIPS = 200
MAX_ROLES = 50

List = list  # a method below shadows the builtin inside the class


@dataclass(frozen=True, slots=True)
class OrgMembers:
    """Adds, removes and lists members, and gives them roles. ``org_slug`` may be a former name."""

    rt: Runtime

    @raises(errors.UserNotFound, errors.OrgMembershipLimitExceeded)
    async def add(self, org_slug: str, user_id: str, *, actor: str | None = None) -> None:
        """Make a user a member, without any role; again is no change.

        Raises ``InvalidOrgSlug``, ``OrgNotFound``, ``UserNotFound``, ``OrgMembershipLimitExceeded``.
        """
        async with self.rt.transaction() as tx:
            org = await Namespace(tx).find_org(org_slug)
            await OrgMembers(tx).join(org, user_id, (), actor=actor)

    async def join(
        self,
        org: OrgName,
        user_id: str,
        roles: Sequence[str],
        *,
        actor: str | None,
        reason: str | None = None,
    ) -> bool:
        """Add a member with those of the roles that the organization defines; inside a transaction.

        Every path into an organization ends here. The limit is counted under the user's row lock. Returns
        whether the membership is new; an old one keeps its roles and gets none.
        """
        person = identifiers.uuid_or_none(user_id)
        if person is None or await self.rt.maybe(LOCK_USER, person) is None:
            raise errors.UserNotFound
        if await self.rt.maybe(LOCK_ORG, org.id) is None:
            raise errors.OrgNotFound
        if await self.rt.maybe(sql.ADD_MEMBER, org.id, person) is None:
            return False
        if await self.rt.one(sql.COUNT_MEMBERSHIPS, person, org.id) >= MAX_MEMBERSHIPS:
            raise errors.OrgMembershipLimitExceeded
        given = await self.rt.all(sql.ASSIGN_ROLE, org.id, person, list(roles))
        await _record(
            self.rt,
            SessionEventType.ORG_MEMBER_ADDED,
            person,
            org,
            actor=actor,
            roles=sorted(given),
            reason=reason,
        )
        return True

    @raises(errors.CannotRemovePersonalOrgOwner, errors.CannotRemoveLastOwner, errors.NotOrgMember)
    async def remove(
        self, org_slug: str, user_id: str, *, actor: str | None = None, as_owner: bool = False
    ) -> bool:
        """End a membership with its roles, and the person's open invites; False when there was none.

        Raises ``CannotRemovePersonalOrgOwner``, and ``CannotRemoveLastOwner`` when no other owner who may
        act would be left. ``as_owner`` as for ``assign_role``.
        """
        person = identifiers.uuid_or_none(user_id)
        async with self.rt.transaction() as tx:
            org = await hold(tx, org_slug, actor, as_owner=as_owner)
            if person is None:
                return False
            if org.owner_user_id == person:
                raise errors.CannotRemovePersonalOrgOwner
            held = await tx.all(sql.MEMBER_ROLES, org.id, person)
            if OWNER in held:
                await _keep_an_owner(tx, org, person)
            if await tx.maybe(sql.REMOVE_MEMBER, org.id, person) is None:
                return False
            await _record(tx, SessionEventType.ORG_MEMBER_REMOVED, person, org, actor=actor, roles=held)
            for invite in await tx.all(sql.END_INVITES, org.id, person):
                await Events(tx).record(
                    SessionEventType.ORG_INVITE_ANSWERED,
                    user_id=person,
                    reason="revoked",
                    actor=actor,
                    target=f"org:{org.id}",
                    data={"invite": invite},
                )
            if OWNER in held:
                await end_invites_of_former_owners(tx, org, actor=actor)
        return True

    async def is_member(self, org_slug: str, user_id: str) -> bool:
        """True if the user is a member; raises ``InvalidOrgSlug``, ``OrgNotFound``."""
        org, person = await Namespace(self.rt).find_org(org_slug), identifiers.uuid_or_none(user_id)
        return person is not None and await self.rt.one(IS_MEMBER, org.id, person)

    async def list(self, org_slug: str, *, after: str = "", limit: int | None = None) -> List[str]:
        """Return the members' user ids, sorted; raises ``InvalidOrgSlug``, ``OrgNotFound``.

        Args:
            org_slug: The organization.
            after: The last id of the page before.
            limit: How many at most; None is all of them.
        """
        org = await Namespace(self.rt).find_org(org_slug)
        last = identifiers.uuid_or_none(after) if after else None
        if after and last is None:
            raise errors.Invalid("after must be the id of a user.", param="after")
        return await self.rt.all(sql.MEMBERS, org.id, last, limit)

    async def list_orgs(self, user_id: str) -> List[str]:
        """Return the current slugs of the user's organizations, sorted."""
        return [membership.org for membership in await self.list_memberships(user_id)]

    async def list_memberships(self, user_id: str) -> List[OrgMembership]:
        """Return the user's organizations with the roles held there, sorted by slug; one query."""
        person = identifiers.uuid_or_none(user_id)
        return [] if person is None else await self.rt.all(sql.ORGS_OF_USER, person)

    @raises(errors.InvalidOrgRole, errors.OrgRoleNotFound, errors.OrgRoleLimitExceeded, errors.NotOrgMember)
    async def assign_role(
        self, org_slug: str, user_id: str, role: str, *, actor: str | None = None, as_owner: bool = False
    ) -> None:
        """Give a member a role that the organization defines; again is no change.

        Args:
            org_slug: The organization.
            user_id: The member.
            role: The role.
            actor: The id of the user who gives it.
            as_owner: Refuse an ``actor`` who is not an owner at that moment, or may not act.

        Raises:
            InvalidOrgSlug, OrgNotFound: ``org_slug`` was refused.
            NotOrgMember: The user is not a member; or the actor is not an owner, and ``as_owner`` is true.
            InvalidOrgRole, OrgRoleNotFound: ``role`` was refused.
            OrgRoleLimitExceeded: The member holds 50 roles.
        """
        name, person = identifiers.org_role(role), identifiers.uuid_or_none(user_id)
        async with self.rt.transaction() as tx:
            org = await hold(tx, org_slug, actor, as_owner=as_owner)
            if person is None:
                raise errors.NotOrgMember
            membership = await tx.one(sql.MEMBERSHIP, org.id, person, name)
            if not membership.is_member:
                raise errors.NotOrgMember
            if not membership.role_defined:
                raise errors.OrgRoleNotFound(metadata={"role": name})
            if membership.holds:
                return
            if membership.held >= MAX_ROLES:
                raise errors.OrgRoleLimitExceeded
            await tx.all(sql.ASSIGN_ROLE, org.id, person, [name])
            await _record(tx, SessionEventType.ORG_ROLE_ASSIGNED, person, org, actor=actor, roles=[name])

    @raises(
        errors.InvalidOrgRole,
        errors.CannotRemovePersonalOrgOwner,
        errors.CannotRemoveLastOwner,
        errors.NotOrgMember,
    )
    async def unassign_role(
        self, org_slug: str, user_id: str, role: str, *, actor: str | None = None, as_owner: bool = False
    ) -> bool:
        """Take a role from a member; False when the member did not hold it.

        Raises ``CannotRemovePersonalOrgOwner``, ``CannotRemoveLastOwner``. ``as_owner`` as for
        ``assign_role``.
        """
        name, person = identifiers.org_role(role), identifiers.uuid_or_none(user_id)
        async with self.rt.transaction() as tx:
            org = await hold(tx, org_slug, actor, as_owner=as_owner)
            if person is None or name not in await tx.all(sql.MEMBER_ROLES, org.id, person):
                return False
            if name == OWNER and org.owner_user_id == person:
                raise errors.CannotRemovePersonalOrgOwner
            if name == OWNER:
                await _keep_an_owner(tx, org, person)
            await tx.all(sql.UNASSIGN_ROLE, org.id, person, name)
            await _record(tx, SessionEventType.ORG_ROLE_UNASSIGNED, person, org, actor=actor, roles=[name])
            if name == OWNER:
                await end_invites_of_former_owners(tx, org, actor=actor)
        return True

    async def list_roles(self, org_slug: str, user_id: str) -> List[str]:
        """Return the roles a user holds there, sorted; empty for a user who is not a member."""
        org, person = await Namespace(self.rt).find_org(org_slug), identifiers.uuid_or_none(user_id)
        return [] if person is None else await self.rt.all(sql.MEMBER_ROLES, org.id, person)


async def hold(tx: Runtime, org_slug: str, actor: str | None = None, *, as_owner: bool = False) -> OrgName:
    """Return the organization of a slug, its row locked until the transaction ends.

    Raises ``InvalidOrgSlug``, ``OrgNotFound`` also for one that is deleted at this moment, and with
    ``as_owner`` what ``require_owner`` raises.
    """
    org = await Namespace(tx).find_org(org_slug)
    if await tx.maybe(LOCK_ORG, org.id) is None:
        raise errors.OrgNotFound
    if as_owner:
        await require_owner(tx, org, actor)
    return org


async def require_owner(tx: Runtime, org: OrgName, user_id: str | None) -> None:
    """Raise ``NotOrgMember`` for a user who is not an owner now, or may not act.

    The caller holds the organization's row: a user who waited for it may have lost the role meanwhile.
    """
    person = identifiers.uuid_or_none(user_id or "")
    if person is None or not await tx.one(sql.IS_OWNER, org.id, person):
        raise errors.NotOrgMember


async def end_invites_of_former_owners(tx: Runtime, org: OrgName, *, actor: str | None) -> None:
    """Revoke the open invites of former owners, who may become owners again."""
    for orphan in await tx.all(sql.REVOKE_ORPHANED, org.id):
        await Events(tx).record(
            SessionEventType.ORG_INVITE_ANSWERED,
            reason="revoked",
            actor=actor,
            target=f"org:{org.id}",
            data={"invite": orphan},
        )


async def _keep_an_owner(tx: Runtime, org: OrgName, leaving: str) -> None:
    if not await tx.one(sql.OTHER_OWNERS, org.id, leaving):
        raise errors.CannotRemoveLastOwner


async def _record(
    tx: Runtime,
    event: SessionEventType,
    user_id: str,
    org: OrgName,
    *,
    actor: str | None,
    roles: Sequence[str] = (),
    reason: str | None = None,
) -> None:
    data = {"slug": org.slug, "roles": [*roles]} if roles else {"slug": org.slug}
    await Events(tx).record(
        event, user_id=user_id, actor=actor, reason=reason, target=f"org:{org.id}", data=data
    )
