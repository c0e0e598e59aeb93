"""Invites into organizations. Served only where there are organizations."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.orgs.invites import OrgInvite, OrgInvites
from authkit_issuer.http.errors import StepUpRequired
from authkit_issuer.http.listing import MAX_PAGE, After, PageSize
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
from authkit_issuer.http.recent_auth import require_recent_auth_for_role
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.rfc3339 import Moment
from authkit_issuer.http.route_groups import Routes


class OrgInviteRequest(Body):
    """Who is invited: an account by its id, or an address, which need not have an account yet."""

    user_id: Text | None = None
    email: Text | None = None
    role: Annotated[Text | None, Field(description="What acceptance gives beside the role member")] = None
    expires_at: Annotated[Moment | None, Field(description="Left out, the invite stays open")] = None


class ByStatus(Params):
    """Which invites are listed."""

    status: Annotated[
        str, Field(description="pending, accepted, declined, revoked or expired; empty for all")
    ] = ""
    limit: PageSize = MAX_PAGE
    after: After = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgInviteList:
    """Invites, newest first; ``next`` is the ``after`` of the next page, or null."""

    invites: list[OrgInvite]
    next: str | None


READ = Limit(bucket="auth_org_read", by_user=True)
WRITE = Limit(bucket="auth_org_write", by_user=True)
routes = Routes(tag="organizations", auth=Auth.USER, offered=with_orgs, limit=WRITE)


@routes.get("/auth/orgs/{org}/invites", "List the invites of an organization", org="owner", limit=READ)
async def list_org_invites(call: Call[NoBody, ByStatus]) -> OrgInviteList:
    """List the invites of an organization."""
    page = call.params
    found = await call.service.org_invites.list_for_org(
        call.organization.slug, page.status, after=page.after, limit=page.limit + 1
    )
    return _page([_as_made(invite) for invite in found], page.limit)


@routes.post(
    "/auth/orgs/{org}/invites",
    "Invite an account or an address",
    org="owner",
    status=201,
    calls=(OrgInvites.create, OrgInvites.create_for_email),
    errors=(StepUpRequired,),
)
async def create_org_invite(call: Call[OrgInviteRequest, NoParams]) -> OrgInvite:
    """Invite an account or an address; a new owner needs a recent proof."""
    body, invites = call.body, call.service.org_invites
    if (body.user_id is None) == (body.email is None):
        raise errors.Invalid("Either user_id or email says who is invited.", param="user_id")
    await require_recent_auth_for_role(call, body.role)
    create = invites.create if body.email is None else invites.create_for_email
    org, invitee, owner = call.organization.slug, body.email or body.user_id or "", call.account.id
    return await create(
        org, invitee, owner, body.expires_at, role=body.role, as_owner=True, client=call.client
    )


def _page(found: list[OrgInvite], limit: int) -> OrgInviteList:
    """Return one page of what was read with one invite more."""
    invites = found[:limit]
    return OrgInviteList(invites=invites, next=invites[-1].id if len(found) > limit else None)


def _as_made(invite: OrgInvite) -> OrgInvite:
    """Return an invite of an address without the account behind it: whether there is one is not told."""
    is_member = invite.status == "accepted"
    return invite if invite.email is None or is_member else dataclasses.replace(invite, user_id=None)


@routes.post(
    "/auth/orgs/{org}/invites/{invite_id}/revoke",
    "Withdraw an invite",
    org="owner",
    calls=(OrgInvites.revoke,),
)
async def revoke_org_invite(call: Plain) -> OkResponse:
    """Withdraw an open invite."""
    await call.service.org_invites.revoke(
        call.organization.slug, call.path["invite_id"], actor=call.account.id, as_owner=True
    )
    return OkResponse()


@routes.get("/auth/org-invites", "List your invites", limit=READ)
async def list_own_org_invites(call: Call[NoBody, ByStatus]) -> OrgInviteList:
    """List the invites for the caller and for the address the caller has proved."""
    page = call.params
    found = await call.service.org_invites.list_for_user(
        call.account.id, page.status, after=page.after, limit=page.limit + 1
    )
    return _page(found, page.limit)


@routes.get("/auth/org-invites/{invite_id}", "Read an invite of yours", limit=READ, calls=(OrgInvites.get,))
async def get_own_org_invite(call: Plain) -> OrgInvite:
    """Read the invite that an invitation email names."""
    return await call.service.org_invites.get(call.path["invite_id"], call.account.id)


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
