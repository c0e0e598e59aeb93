"""Invites into organizations. Served only where there are organizations."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.orgs.invites import OrgInvite
from authkit_issuer.http.operations import (
    AnyOperation,
    Auth,
    Body,
    Call,
    Limit,
    NoBody,
    NoParams,
    Operation,
    Params,
    Plain,
    Text,
    with_orgs,
)
from authkit_issuer.http.responses import Done
from authkit_issuer.http.rfc3339 import Moment


class Invite(Body):
    """Who is invited: an account by its id, or an address, which need not have an account yet."""

    user_id: Text | None = None
    email: Text | None = None
    expires_at: Annotated[Moment | None, Field(description="Left out, the invite stays open")] = None


class ByStatus(Params):
    """Which invites are listed."""

    status: Annotated[
        str, Field(description="pending, accepted, declined, revoked or expired; empty for all")
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgInviteList:
    """Invites, newest first."""

    invites: list[OrgInvite]


async def list_of_org(call: Call[NoBody, ByStatus]) -> OrgInviteList:
    """List the invites of an organization."""
    found = await call.service.org_invites.list_for_org(call.organization.slug, call.params.status)
    return OrgInviteList(invites=[_as_made(invite) for invite in found])


async def invite(call: Call[Invite, NoParams]) -> OrgInvite:
    """Invite an account or an address."""
    body, invites = call.body, call.service.org_invites
    if (body.user_id is None) == (body.email is None):
        raise errors.Invalid("Either user_id or email says who is invited.", param="user_id")
    org, owner, end = call.organization.slug, call.account.id, body.expires_at
    if body.email is not None:
        return _as_made(await invites.create_for_email(org, body.email, owner, end))
    return await invites.create(org, body.user_id or "", owner, end)


def _as_made(invite: OrgInvite) -> OrgInvite:
    """Return an invite of an address without the account behind it: whether there is one is not told."""
    answered = invite.status in {"accepted", "declined"}
    return invite if invite.email is None or answered else dataclasses.replace(invite, user_id=None)


async def revoke(call: Plain) -> Done:
    """Withdraw an open invite."""
    await call.service.org_invites.revoke(
        call.organization.slug, call.path["invite_id"], actor=call.account.id
    )
    return Done()


async def list_own(call: Call[NoBody, ByStatus]) -> OrgInviteList:
    """List the invites for the caller and for the address the caller has proved."""
    found = await call.service.org_invites.list_for_user(call.account.id, call.params.status)
    return OrgInviteList(invites=found)


async def accept(call: Plain) -> Done:
    """Become a member."""
    await call.service.org_invites.accept(call.path["invite_id"], call.account.id)
    return Done()


async def decline(call: Plain) -> Done:
    """Turn an invite down."""
    await call.service.org_invites.decline(call.path["invite_id"], call.account.id)
    return Done()


READ = Limit(bucket="auth_org_read", by_user=True)
WRITE = Limit(bucket="auth_org_write", by_user=True)
_ANSWERED = (
    errors.OrgInviteNotFound,
    errors.OrgInviteNotForUser,
    errors.OrgInviteNotPending,
    errors.OrgInviteExpired,
    errors.OrgNotFound,
)

OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/auth/orgs/{org}/invites",
        summary="List the invites of an organization",
        tag="organizations",
        handler=list_of_org,
        params=ByStatus,
        returns=OrgInviteList,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=READ,
    ),
    Operation(
        method="POST",
        path="/auth/orgs/{org}/invites",
        summary="Invite an account or an address",
        tag="organizations",
        handler=invite,
        body=Invite,
        returns=OrgInvite,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        status=201,
        errors=(
            errors.UserNotFound,
            errors.InvalidEmail,
            errors.InvalidExpiry,
            errors.AlreadyOrgMember,
            errors.OrgInviteAlreadyPending,
        ),
    ),
    Operation(
        method="POST",
        path="/auth/orgs/{org}/invites/{invite_id}/revoke",
        summary="Withdraw an invite",
        tag="organizations",
        handler=revoke,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=(errors.OrgInviteNotFound, errors.OrgInviteNotPending),
    ),
    Operation(
        method="GET",
        path="/auth/org-invites",
        summary="List your invites",
        tag="organizations",
        handler=list_own,
        params=ByStatus,
        returns=OrgInviteList,
        auth=Auth.USER,
        offered=with_orgs,
        limit=READ,
    ),
    Operation(
        method="POST",
        path="/auth/org-invites/{invite_id}/accept",
        summary="Accept an invite",
        tag="organizations",
        handler=accept,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        limit=WRITE,
        errors=(*_ANSWERED, errors.OrgMembershipLimitExceeded),
    ),
    Operation(
        method="POST",
        path="/auth/org-invites/{invite_id}/decline",
        summary="Turn an invite down",
        tag="organizations",
        handler=decline,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        limit=WRITE,
        errors=_ANSWERED,
    ),
)
