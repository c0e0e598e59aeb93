"""Invites into organizations. Served only where there are organizations."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.orgs.invites import OrgInvite, OrgInvites
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoBody,
    NoParams,
    Params,
    Plain,
    Text,
    with_orgs,
)
from authkit_issuer.http.responses import OkResponse
from authkit_issuer.http.rfc3339 import Moment
from authkit_issuer.http.route_groups import Routes


class OrgInviteRequest(Body):
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


READ = Limit(bucket="auth_org_read", by_user=True)
WRITE = Limit(bucket="auth_org_write", by_user=True)
routes = Routes(tag="organizations", auth=Auth.USER, offered=with_orgs, limit=WRITE)


@routes.get("/auth/orgs/{org}/invites", "List the invites of an organization", org="owner", limit=READ)
async def list_org_invites(call: Call[NoBody, ByStatus]) -> OrgInviteList:
    """List the invites of an organization."""
    found = await call.service.org_invites.list_for_org(call.organization.slug, call.params.status)
    return OrgInviteList(invites=[_as_made(invite) for invite in found])


@routes.post(
    "/auth/orgs/{org}/invites",
    "Invite an account or an address",
    org="owner",
    status=201,
    calls=(OrgInvites.create, OrgInvites.create_for_email),
)
async def create_org_invite(call: Call[OrgInviteRequest, NoParams]) -> OrgInvite:
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


@routes.post(
    "/auth/orgs/{org}/invites/{invite_id}/revoke",
    "Withdraw an invite",
    org="owner",
    calls=(OrgInvites.revoke,),
)
async def revoke_org_invite(call: Plain) -> OkResponse:
    """Withdraw an open invite."""
    await call.service.org_invites.revoke(
        call.organization.slug, call.path["invite_id"], actor=call.account.id
    )
    return OkResponse()


@routes.get("/auth/org-invites", "List your invites", limit=READ)
async def list_own_org_invites(call: Call[NoBody, ByStatus]) -> OrgInviteList:
    """List the invites for the caller and for the address the caller has proved."""
    found = await call.service.org_invites.list_for_user(call.account.id, call.params.status)
    return OrgInviteList(invites=found)


@routes.post("/auth/org-invites/{invite_id}/accept", "Accept an invite", calls=(OrgInvites.accept,))
async def accept_org_invite(call: Plain) -> OkResponse:
    """Become a member."""
    await call.service.org_invites.accept(call.path["invite_id"], call.account.id)
    return OkResponse()


@routes.post("/auth/org-invites/{invite_id}/decline", "Turn an invite down", calls=(OrgInvites.decline,))
async def decline_org_invite(call: Plain) -> OkResponse:
    """Turn an invite down."""
    await call.service.org_invites.decline(call.path["invite_id"], call.account.id)
    return OkResponse()
