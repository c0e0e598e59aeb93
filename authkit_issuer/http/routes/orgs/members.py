"""The members of an organization and their roles there. Served only where there are organizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authkit_issuer import errors
from authkit_issuer.domains.orgs.invites import OrgInvite, OrgInvites
from authkit_issuer.domains.orgs.members import OrgMembers
from authkit_issuer.http.errors import StepUpRequired
from authkit_issuer.http.guards import is_same_user
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
from authkit_issuer.http.recent_auth import require_recent_auth_for_member, require_recent_auth_for_role
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes


class OrgMemberRequest(Body):
    """A user by id."""

    user_id: Text


class NewOrgMember(Body):
    """A user by id, and the role beside ``member``."""

    user_id: Text
    role: Text | None = None


class MemberPage(Params):
    """One page of members."""

    limit: PageSize = MAX_PAGE
    after: After = ""


class MemberRoleRequest(Body):
    """A role by its name."""

    role: Text


class MemberNotFound(errors.NotFound):
    """The user is not a member, or does not hold the role."""

    code = "member_not_found"
    default = "Member not found."


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgMemberList:
    """User ids, sorted; ``next`` is the ``after`` of the next page, or null."""

    members: list[str]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRoles:
    """The roles a member holds, sorted."""

    roles: list[str]


READ = Limit(bucket="auth_org_read", by_user=True)
WRITE = Limit(bucket="auth_org_write", by_user=True)
routes = Routes(tag="organizations", auth=Auth.USER, offered=with_orgs, limit=WRITE)


@routes.get("/auth/orgs/{org}/members", "List the members", org="member", limit=READ)
async def list_org_members(call: Call[NoBody, MemberPage]) -> OrgMemberList:
    """List the members, for every member."""
    page = call.params
    found = await call.service.org_members.list(
        call.organization.slug, after=page.after, limit=page.limit + 1
    )
    members = found[: page.limit]
    return OrgMemberList(members=members, next=members[-1] if len(found) > page.limit else None)


@routes.post(
    "/auth/orgs/{org}/members",
    "Invite a user",
    org="owner",
    status=201,
    calls=(OrgInvites.create,),
    errors=(StepUpRequired,),
)
async def add_org_member(call: Call[NewOrgMember, NoParams]) -> OrgInvite:
    """Invite a user, who becomes a member by accepting."""
    await require_recent_auth_for_role(call, call.body.role)
    org, owner, body = call.organization.slug, call.account.id, call.body
    invites = call.service.org_invites
    return await invites.create(org, body.user_id, owner, role=body.role, as_owner=True, client=call.client)


@routes.delete(
    "/auth/orgs/{org}/members",
    "Remove a member, named in the body",
    org="owner",
    calls=(OrgMembers.remove,),
    errors=(MemberNotFound, StepUpRequired),
)
async def remove_org_member_by_body(call: Call[OrgMemberRequest, NoParams]) -> OkResponse:
    """End the membership of the user in the body."""
    return await _remove(call.service.org_members, call, call.body.user_id)


@routes.delete(
    "/auth/orgs/{org}/members/{user_id}",
    "Remove a member, or leave",
    org="owner_or_self",
    calls=(OrgMembers.remove,),
    errors=(MemberNotFound, StepUpRequired),
)
async def remove_org_member(call: Plain) -> OkResponse:
    """End the membership of the user in the path, who may be the caller."""
    return await _remove(call.service.org_members, call, call.path["user_id"])


@routes.get(
    "/auth/orgs/{org}/members/{user_id}/roles",
    "List the roles of a member",
    org="owner_or_self",
    limit=READ,
)
async def list_org_member_roles(call: Plain) -> MemberRoles:
    """List the roles of a member, for owners and for the member."""
    roles = await call.service.org_members.list_roles(call.organization.slug, call.path["user_id"])
    return MemberRoles(roles=roles)


@routes.post(
    "/auth/orgs/{org}/members/{user_id}/roles",
    "Give a member a role",
    org="owner",
    calls=(OrgMembers.assign_role,),
    errors=(StepUpRequired,),
)
async def assign_org_role(call: Call[MemberRoleRequest, NoParams]) -> OkResponse:
    """Give a member a role; a new owner needs a recent proof."""
    await require_recent_auth_for_role(call, call.body.role)
    await call.service.org_members.assign_role(
        call.organization.slug, call.path["user_id"], call.body.role, actor=call.account.id, as_owner=True
    )
    return OkResponse()


@routes.delete(
    "/auth/orgs/{org}/members/{user_id}/roles",
    "Take a role from a member, named in the body",
    org="owner",
    calls=(OrgMembers.unassign_role,),
    errors=(MemberNotFound, StepUpRequired),
)
async def unassign_org_role_by_body(call: Call[MemberRoleRequest, NoParams]) -> OkResponse:
    """Take the role of the body from a member."""
    return await _unassign(call.service.org_members, call, call.body.role)


@routes.delete(
    "/auth/orgs/{org}/members/{user_id}/roles/{role}",
    "Take a role from a member",
    org="owner",
    calls=(OrgMembers.unassign_role,),
    errors=(MemberNotFound, StepUpRequired),
)
async def unassign_org_role(call: Plain) -> OkResponse:
    """Take the role of the path from a member."""
    return await _unassign(call.service.org_members, call, call.path["role"])


async def _remove(members: OrgMembers, call: Call[Any, Any], user_id: str) -> OkResponse:
    await require_recent_auth_for_member(call, user_id)
    org, actor = call.organization.slug, call.account.id
    if not await members.remove(org, user_id, actor=actor, as_owner=not is_same_user(actor, user_id)):
        raise MemberNotFound
    return OkResponse()


async def _unassign(members: OrgMembers, call: Call[Any, Any], role: str) -> OkResponse:
    await require_recent_auth_for_role(call, role)
    org, actor, user_id = call.organization.slug, call.account.id, call.path["user_id"]
    as_owner = not is_same_user(actor, user_id)
    if not await members.unassign_role(org, user_id, role, actor=actor, as_owner=as_owner):
        raise MemberNotFound
    return OkResponse()
