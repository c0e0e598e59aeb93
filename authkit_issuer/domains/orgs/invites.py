"""Invites into organizations, for accounts and for addresses that have no account yet.

An invite is answered once: one statement moves it out of ``pending``, and only the caller whose statement
did so acts. Methods that must leave a mark when they refuse (an expired invite is written as expired) run
outside of the host's transaction and raise ``NotJoinable`` inside one. An account, and an address, has one
open invite into an organization: unique indexes of ``org_invites`` hold that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.messages import NOTICE_LIFE, Messages
from authkit_issuer.domains.base.namespace import Namespace, OrgName
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.orgs import invites_queries as sql
from authkit_issuer.domains.orgs.invites_queries import OrgInvite
from authkit_issuer.domains.orgs.members import (
    MEMBER,
    OrgMembers,
    end_invites_of_former_owners,
    hold,
)
from authkit_issuer.domains.orgs.queries import IS_MEMBER
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client, language
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import LOCK_USER

__all__ = ["OrgInvite", "OrgInvites"]

STATUSES = ("pending", "accepted", "declined", "revoked", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an invite offers: who invites, until when, and the role beside ``member``."""

    by: str | None
    until: datetime | None
    role: str | None
    as_owner: bool
    """True if only an owner may invite: an inviter who lost the role at this moment is refused."""


@dataclass(frozen=True, slots=True)
class OrgInvites:
    """Creates, lists and answers invites. Who may invite is the caller's decision."""

    rt: Runtime

    @raises(
        errors.UserNotFound,
        errors.InvalidExpiry,
        errors.InvalidOrgRole,
        errors.OrgRoleNotFound,
        errors.AlreadyOrgMember,
        errors.NotOrgMember,
        errors.OrgInviteAlreadyPending,
    )
    async def create(
        self,
        org_slug: str,
        user_id: str,
        invited_by: str | None,
        expires_at: datetime | None = None,
        *,
        role: str | None = None,
        as_owner: bool = False,
        client: Client | None = None,
    ) -> OrgInvite:
        """Invite an account; the invite replaces one that has expired. A verified address gets an email.

        Args:
            org_slug: The organization.
            user_id: The account.
            invited_by: The id of the inviter; None for the host itself.
            expires_at: The end of the invite; None is never.
            role: A role that acceptance gives beside ``member``.
            as_owner: Refuse an inviter who is not an owner of the organization.
            client: The client of the inviter; the sending limits count by it.

        Raises:
            InvalidOrgSlug, OrgNotFound: ``org_slug`` was refused.
            UserNotFound: No such user, no such inviter, or a user who may not act.
            AlreadyOrgMember: The user is a member.
            OrgInviteAlreadyPending: The account has an open invite.
            NotOrgMember: The inviter is not an owner, and ``as_owner`` is true.
            InvalidExpiry: ``expires_at`` has passed, or names no time zone.
            InvalidOrgRole, OrgRoleNotFound: ``role`` was refused.
        """
        person = identifiers.uuid_or_none(user_id)
        async with self.rt.transaction() as tx:
            org = await Namespace(tx).find_org(org_slug)
            if person is None or not await tx.maybe(sql.INVITEE_ALLOWED, person):
                raise errors.UserNotFound
            if await tx.one(IS_MEMBER, org.id, person):
                raise errors.AlreadyOrgMember
            until, given = await _future(tx, expires_at), await _role(tx, org, role)
            terms = Terms(by=invited_by, until=until, role=given, as_owner=as_owner)
            return await _create(tx, org, terms, person=person, client=client)

    @raises(
        errors.UserNotFound,
        errors.InvalidEmail,
        errors.InvalidExpiry,
        errors.InvalidOrgRole,
        errors.OrgRoleNotFound,
        errors.NotOrgMember,
        errors.OrgInviteAlreadyPending,
    )
    async def create_for_email(
        self,
        org_slug: str,
        email: str,
        invited_by: str | None,
        expires_at: datetime | None = None,
        *,
        role: str | None = None,
        as_owner: bool = False,
        client: Client | None = None,
    ) -> OrgInvite:
        """Invite an address: the account that has verified it, now or at the time of the answer.

        The result does not depend on whose address it is: an inviter must not learn which account, or which
        member, has it. Takes and raises what ``create`` does, but for ``AlreadyOrgMember``; and
        ``InvalidEmail``.
        """
        address = identifiers.email(email)
        async with self.rt.transaction() as tx:
            org = await Namespace(tx).find_org(org_slug)
            until, given = await _future(tx, expires_at), await _role(tx, org, role)
            terms = Terms(by=invited_by, until=until, role=given, as_owner=as_owner)
            return await _create(tx, org, terms, address=address, client=client)

    async def list_for_org(
        self, org_slug: str, status: str = "", *, after: str = "", limit: int | None = None
    ) -> list[OrgInvite]:
        """Return the organization's invites, newest first.

        Args:
            org_slug: The organization.
            status: Only invites of this status; an unknown one raises ``Invalid``.
            after: The id of the last invite of the page before.
            limit: How many at most; None is all of them.
        """
        org = await Namespace(self.rt).find_org(org_slug)
        return await self.rt.all(sql.INVITES_OF_ORG, org.id, _status(status), _after(after), limit)

    async def list_for_user(
        self, user_id: str, status: str = "", *, after: str = "", limit: int | None = None
    ) -> list[OrgInvite]:
        """Return the invites for a user and for the address the user has verified, as ``list_for_org``."""
        person, page = identifiers.uuid_or_none(user_id), (_status(status), _after(after), limit)
        return [] if person is None else await self.rt.all(sql.INVITES_OF_USER, person, *page)

    @raises(errors.OrgInviteNotFound, errors.OrgInviteNotForUser)
    async def get(self, invite_id: str, user_id: str) -> OrgInvite:
        """Return an invite as its invitee may read it, whatever its status.

        Raises ``OrgInviteNotFound``, ``OrgInviteNotForUser``.
        """
        invite, _ = await self._for_user(invite_id, user_id)
        return invite

    @raises(errors.OrgInviteNotFound, errors.OrgInviteNotPending, errors.NotOrgMember)
    async def revoke(
        self, org_slug: str, invite_id: str, *, actor: str | None = None, as_owner: bool = False
    ) -> None:
        """Withdraw an open invite; raises ``OrgInviteNotFound``, ``OrgInviteNotPending``.

        With ``as_owner``, raises ``NotOrgMember`` if ``actor`` is not an owner at that moment.
        """
        canonical_id = identifiers.uuid_or_none(invite_id)
        async with self.rt.transaction() as tx:
            org = await hold(tx, org_slug, actor, as_owner=as_owner)
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
        errors.OrgRoleLimitExceeded,
    )
    async def accept(self, invite_id: str, user_id: str) -> None:
        """Become a member, with the role ``member`` and the role of the invite, if it is still defined.

        A member gets the role of the invite alone. An invite made by an owner who is none any more is no
        longer open.

        Raises ``OrgInviteNotFound``, ``OrgInviteNotForUser``, ``OrgInviteNotPending``, ``OrgInviteExpired``,
        ``OrgMembershipLimitExceeded``, ``OrgRoleLimitExceeded``.
        """
        self.rt.refuse_joining("org_invites.accept")
        invite, person = await self._openable(invite_id, user_id)
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, person)
            org = await hold(tx, invite.org)
            allowed = await tx.maybe(sql.INVITER_ALLOWED, invite.id)
            if allowed and await tx.maybe(sql.ANSWER_INVITE, invite.id, person, "accepted") is not None:
                await _admit(tx, org, person, invite)
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
        invite, person = await self._for_user(invite_id, user_id)
        if invite.status == "expired":
            await self.rt.execute(sql.EXPIRE_INVITE, invite.id)
            raise errors.OrgInviteExpired
        if invite.status != "pending":
            raise errors.OrgInviteNotPending
        return invite, person

    async def _for_user(self, invite_id: str, user_id: str) -> tuple[OrgInvite, str]:
        """Return an invite and its invitee; raises ``OrgInviteNotFound``, ``OrgInviteNotForUser``."""
        canonical_id, person = identifiers.uuid_or_none(invite_id), identifiers.uuid_or_none(user_id)
        invite = await self.rt.maybe(sql.INVITE_BY_ID, canonical_id) if canonical_id else None
        if invite is None:
            raise errors.OrgInviteNotFound
        if person is None or not await self._is_for(invite, person):
            raise errors.OrgInviteNotForUser
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


async def _role(tx: Runtime, org: OrgName, text: str | None) -> str | None:
    """Return the role of an invite; raises ``InvalidOrgRole``, ``OrgRoleNotFound``."""
    name = identifiers.org_role(text) if text else MEMBER
    if not await tx.one(sql.ROLE_DEFINED, org.id, name):
        raise errors.OrgRoleNotFound(param="role", metadata={"role": name})
    return None if name == MEMBER else name


async def _create(
    tx: Runtime,
    org: OrgName,
    terms: Terms,
    *,
    person: str | None = None,
    address: str | None = None,
    client: Client | None,
) -> OrgInvite:
    inviter = identifiers.uuid_or_none(terms.by) if terms.by else None
    if terms.by and (inviter is None or await tx.maybe(sql.HOLD_USER, inviter) is None):
        raise errors.UserNotFound(param="invited_by")
    if person is not None and await tx.maybe(sql.HOLD_USER, person) is None:
        raise errors.UserNotFound
    if terms.as_owner:
        # Under the lock of a removal: later the invite would count as one that the host has made.
        await hold(tx, org.slug, inviter, as_owner=True)
    await tx.execute(sql.EXPIRE_INVITES, org.id)
    await end_invites_of_former_owners(tx, org, actor=None)
    invite_id = await tx.maybe(sql.CREATE_INVITE, org.id, person, address, inviter, terms.until, terms.role)
    if invite_id is None:
        raise errors.OrgInviteAlreadyPending
    await Events(tx).record(
        SessionEventType.ORG_INVITE_CREATED,
        user_id=person or "",
        actor=inviter,
        target=f"org:{org.id}",
        data={"invite": invite_id, "role": terms.role},
    )
    invite = await tx.one(sql.INVITE_BY_ID, invite_id)
    await _mail(tx, invite, client)
    return invite


async def _mail(tx: Runtime, invite: OrgInvite, client: Client | None) -> None:
    """Send the invitation in the background, after the commit and within the sending limits."""
    sender = tx.senders.org_invite
    if sender is None:
        return
    to = await tx.maybe(sql.INVITEE, invite.email, invite.user_id, invite.invited_by)
    if to is None:
        return

    admitted: bool | None = None

    async def send() -> None:
        nonlocal admitted
        # The language at hand is the inviter's.
        language.set("")
        if admitted is None:
            admitted = not await SendingLimits(tx).count("org_invite", to.email, client, cooldown=False)
        if admitted:
            await sender.send_org_invite(to.email, to.username, invite.org, to.inviter, invite.id)

    await Messages(tx).send_in_background(send, name="invitation", life=NOTICE_LIFE)


async def _admit(tx: Runtime, org: OrgName, person: str, invite: OrgInvite) -> None:
    """Make the invitee a member with the role of the invite; give a member that role."""
    roles = (MEMBER, invite.role) if invite.role else (MEMBER,)
    members = OrgMembers(tx)
    joined = await members.join(org, person, roles, actor=invite.invited_by)
    if not joined and invite.role and await tx.one(sql.ROLE_DEFINED, org.id, invite.role):
        await members.assign_role(org.slug, person, invite.role, actor=invite.invited_by)


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


def _after(text: str) -> str | None:
    """Return the id of the invite a page begins after, or raise ``Invalid``."""
    known = identifiers.uuid_or_none(text) if text else None
    if text and known is None:
        raise errors.Invalid("after must be the id of an invite.", param="after")
    return known
