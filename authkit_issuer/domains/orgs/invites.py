"""Invites into organizations, for accounts and for addresses that have no account yet.

An invite is answered once: one statement moves it out of ``pending``, and only the caller whose statement
did so acts. Methods that must leave a mark when they refuse (an expired invite is written as expired) run
outside of the host's transaction and raise ``NotJoinable`` inside one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.namespace import Namespace, OrgName
from authkit_issuer.domains.orgs import queries as sql
from authkit_issuer.domains.orgs.members import MEMBER, OrgMembers
from authkit_issuer.domains.orgs.queries import OrgInvite
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import LOCK_USER

__all__ = ["OrgInvite", "OrgInvites"]

STATUSES = ("pending", "accepted", "declined", "revoked", "expired")


@dataclass(frozen=True, slots=True)
class OrgInvites:
    """Creates, lists and answers invites. Who may invite is the caller's decision."""

    rt: Runtime

    @raises(
        errors.UserNotFound, errors.InvalidExpiry, errors.AlreadyOrgMember, errors.OrgInviteAlreadyPending
    )
    async def create(
        self, org_slug: str, user_id: str, invited_by: str | None, expires_at: datetime | None = None
    ) -> OrgInvite:
        """Invite an account; without ``expires_at`` the invite has no end. It replaces one that has expired.

        Raises ``InvalidOrgSlug``, ``OrgNotFound``, ``UserNotFound`` (of either, or of one who may not act),
        ``AlreadyOrgMember``, ``OrgInviteAlreadyPending``, ``InvalidExpiry``.
        """
        person = identifiers.user_id(user_id)
        async with self.rt.transaction() as tx:
            org = await Namespace(tx).find_org(org_slug)
            if person is None or not await tx.maybe(sql.INVITEE_ALLOWED, person):
                raise errors.UserNotFound
            until = await _future(tx, expires_at)
            return await _create(tx, org, person=person, address=None, by=invited_by, until=until)

    @raises(
        errors.UserNotFound,
        errors.InvalidEmail,
        errors.InvalidExpiry,
        errors.AlreadyOrgMember,
        errors.OrgInviteAlreadyPending,
    )
    async def create_for_email(
        self, org_slug: str, email: str, invited_by: str | None, expires_at: datetime | None = None
    ) -> OrgInvite:
        """Invite an address: its account if one has proved it, else the account that proves it later.

        Raises as ``create`` does, and ``InvalidEmail``.
        """
        address = identifiers.email(email)
        async with self.rt.transaction() as tx:
            org = await Namespace(tx).find_org(org_slug)
            person = await tx.maybe(sql.USER_OF_EMAIL, address)
            until = await _future(tx, expires_at)
            return await _create(tx, org, person=person, address=address, by=invited_by, until=until)

    async def list_for_org(self, org_slug: str, status: str = "") -> list[OrgInvite]:
        """Return the organization's invites, newest first; an unknown ``status`` raises ``Invalid``."""
        org = await Namespace(self.rt).find_org(org_slug)
        return await self.rt.all(sql.INVITES_OF_ORG, org.id, _status(status))

    async def list_for_user(self, user_id: str, status: str = "") -> list[OrgInvite]:
        """Return the invites for a user and for the address the user has proved, newest first."""
        person, wanted = identifiers.user_id(user_id), _status(status)
        return [] if person is None else await self.rt.all(sql.INVITES_OF_USER, person, wanted)

    @raises(errors.OrgInviteNotFound, errors.OrgInviteNotPending)
    async def revoke(self, org_slug: str, invite_id: str, *, actor: str | None = None) -> None:
        """Withdraw an open invite; raises ``OrgInviteNotFound``, ``OrgInviteNotPending``."""
        canonical_id = identifiers.uuid_or_none(invite_id)
        async with self.rt.transaction() as tx:
            org = await Namespace(tx).find_org(org_slug)
            if (
                canonical_id is not None
                and await tx.maybe(sql.REVOKE_INVITE, canonical_id, org.id) is not None
            ):
                await _record(tx, org.id, "revoked", user_id="", invite_id=canonical_id, actor=actor)
                return
        found = await self.rt.maybe(sql.INVITE_BY_ID, canonical_id) if canonical_id else None
        if found is None or found.org != org.slug:
            raise errors.OrgInviteNotFound
        raise errors.OrgInviteNotPending

    @raises(
        errors.OrgInviteNotFound,
        errors.OrgInviteNotForUser,
        errors.OrgInviteNotPending,
        errors.OrgInviteExpired,
        errors.OrgNotFound,
        errors.OrgMembershipLimitExceeded,
    )
    async def accept(self, invite_id: str, user_id: str) -> None:
        """Become a member, with the role ``member`` and no other.

        Raises ``OrgInviteNotFound``, ``OrgInviteNotForUser``, ``OrgInviteNotPending``, ``OrgInviteExpired``,
        ``OrgMembershipLimitExceeded``. An invite made by an owner who is none any more is no longer open.
        """
        self.rt.refuse_joining("org_invites.accept")
        invite, person = await self._openable(invite_id, user_id)
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, person)
            org = await Namespace(tx).find_org(invite.org)
            await tx.maybe(sql.LOCK_ORG, org.id)
            allowed = await tx.maybe(sql.INVITER_ALLOWED, invite.id)
            if allowed and await tx.maybe(sql.ANSWER_INVITE, invite.id, person, "accepted") is not None:
                await OrgMembers(tx).join(org, person, (MEMBER,), actor=invite.invited_by)
                await _record(tx, org.id, "accepted", user_id=person, invite_id=invite.id, actor=None)
                return
        raise errors.OrgInviteNotPending

    @raises(
        errors.OrgInviteNotFound,
        errors.OrgInviteNotForUser,
        errors.OrgInviteNotPending,
        errors.OrgInviteExpired,
        errors.OrgNotFound,
    )
    async def decline(self, invite_id: str, user_id: str) -> None:
        """Turn an invite down; raises as ``accept`` does, but for the limit."""
        self.rt.refuse_joining("org_invites.decline")
        invite, person = await self._openable(invite_id, user_id)
        async with self.rt.transaction() as tx:
            org_id = await tx.maybe(sql.ANSWER_INVITE, invite.id, person, "declined")
            if org_id is None:
                raise errors.OrgInviteNotPending
            await _record(tx, org_id, "declined", user_id=person, invite_id=invite.id, actor=None)

    async def _openable(self, invite_id: str, user_id: str) -> tuple[OrgInvite, str]:
        """Return the invite if it looks open to this user; the answering statement decides for good."""
        canonical_id, person = identifiers.uuid_or_none(invite_id), identifiers.user_id(user_id)
        invite = await self.rt.maybe(sql.INVITE_BY_ID, canonical_id) if canonical_id else None
        if invite is None:
            raise errors.OrgInviteNotFound
        if person is None or not await self._is_for(invite, person):
            raise errors.OrgInviteNotForUser
        if invite.status == "expired":
            await self.rt.execute(sql.EXPIRE_INVITE, invite.id)
            raise errors.OrgInviteExpired
        if invite.status != "pending":
            raise errors.OrgInviteNotPending
        return invite, person

    async def _is_for(self, invite: OrgInvite, person: str) -> bool:
        if invite.user_id is not None:
            return invite.user_id == person
        return await self.rt.maybe(sql.EMAIL_OF_USER, person) == invite.email


async def _future(tx: Runtime, expires_at: datetime | None) -> datetime | None:
    """Return the expiry, or raise ``InvalidExpiry`` for one that has passed by the database's clock."""
    if expires_at is not None and (expires_at.tzinfo is None or not await tx.one(sql.IN_FUTURE, expires_at)):
        raise errors.InvalidExpiry(param="expires_at")
    return expires_at


async def _create(
    tx: Runtime,
    org: OrgName,
    *,
    person: str | None,
    address: str | None,
    by: str | None,
    until: datetime | None,
) -> OrgInvite:
    inviter = identifiers.user_id(by) if by else None
    if by and (inviter is None or await tx.maybe(sql.HOLD_USER, inviter) is None):
        raise errors.UserNotFound(param="invited_by")
    if person is not None and await tx.maybe(sql.HOLD_USER, person) is None:
        raise errors.UserNotFound
    if person is not None and await tx.one(sql.IS_MEMBER, org.id, person):
        raise errors.AlreadyOrgMember
    await tx.execute(sql.EXPIRE_INVITES, org.id)
    for orphan in await tx.all(sql.REVOKE_ORPHANED, org.id):
        await _record(tx, org.id, "revoked", user_id="", invite_id=orphan, actor=None)
    if person is not None and await tx.one(sql.HAS_OPEN_INVITE, org.id, person):
        raise errors.OrgInviteAlreadyPending
    invite_id = await tx.maybe(sql.CREATE_INVITE, org.id, person, address, inviter, until)
    if invite_id is None:
        raise errors.OrgInviteAlreadyPending
    await Events(tx).record(
        SessionEventType.ORG_INVITE_CREATED,
        user_id=person or "",
        actor=inviter,
        target=f"org:{org.id}",
        data={"invite": invite_id},
    )
    return await tx.one(sql.INVITE_BY_ID, invite_id)


async def _record(
    tx: Runtime, org_id: str, answer: str, *, user_id: str, invite_id: str, actor: str | None
) -> None:
    await Events(tx).record(
        SessionEventType.ORG_INVITE_ANSWERED,
        user_id=user_id,
        reason=answer,
        actor=actor,
        target=f"org:{org_id}",
        data={"invite": invite_id},
    )


def _status(text: str) -> str:
    wanted = text.strip().lower()
    if wanted and wanted not in STATUSES:
        raise errors.Invalid(f"The status of an invite is one of {', '.join(STATUSES)}.", param="status")
    return wanted
