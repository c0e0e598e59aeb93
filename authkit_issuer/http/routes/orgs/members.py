"""The members of an organization and their roles there. Served only where there are organizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authkit_issuer import errors
from authkit_issuer.http.operations import (
    AnyOperation,
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Operation,
    Plain,
    Text,
    with_orgs,
)
from authkit_issuer.http.responses import Done

if TYPE_CHECKING:
    from authkit_issuer.domains.orgs.members import OrgMembers


class Member(Body):
    """A user by id."""

    user_id: Text


class MemberRole(Body):
    """A role by its name."""

    role: Text


class MemberNotFound(errors.NotFound):
    """The user is no member, or does not hold the role."""

    code = "member_not_found"
    default = "Member not found."


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """User ids, sorted."""

    members: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRoles:
    """The roles a member holds, sorted."""

    roles: list[str]


async def list_members(call: Plain) -> Members:
    """List the members."""
    return Members(members=await call.service.org_members.list(call.organization.slug))


async def add(call: Call[Member, NoParams]) -> Done:
    """Make a user a member, without any role."""
    await call.service.org_members.add(call.organization.slug, call.body.user_id, actor=call.account.id)
    return Done()


async def remove(call: Call[Member, NoParams]) -> Done:
    """End the membership of the user in the body."""
    return await _remove(call.service.org_members, call, call.body.user_id)


async def remove_named(call: Plain) -> Done:
    """End the membership of the user in the path, who may be the caller."""
    return await _remove(call.service.org_members, call, call.path["user_id"])


async def list_roles(call: Plain) -> MemberRoles:
    """List the roles of a member."""
    roles = await call.service.org_members.list_roles(call.organization.slug, call.path["user_id"])
    return MemberRoles(roles=roles)


async def assign(call: Call[MemberRole, NoParams]) -> Done:
    """Give a member a role."""
    await call.service.org_members.assign_role(
        call.organization.slug, call.path["user_id"], call.body.role, actor=call.account.id
    )
    return Done()


async def unassign(call: Call[MemberRole, NoParams]) -> Done:
    """Take the role of the body from a member."""
    return await _unassign(call.service.org_members, call, call.body.role)


async def unassign_named(call: Plain) -> Done:
    """Take the role of the path from a member."""
    return await _unassign(call.service.org_members, call, call.path["role"])


async def _remove(members: OrgMembers, call: Call[Any, Any], user_id: str) -> Done:
    if not await members.remove(call.organization.slug, user_id, actor=call.account.id):
        raise MemberNotFound
    return Done()


async def _unassign(members: OrgMembers, call: Call[Any, Any], role: str) -> Done:
    user_id = call.path["user_id"]
    if not await members.unassign_role(call.organization.slug, user_id, role, actor=call.account.id):
        raise MemberNotFound
    return Done()


READ = Limit(bucket="auth_org_read", by_user=True)
WRITE = Limit(bucket="auth_org_write", by_user=True)
_GONE = (MemberNotFound, errors.CannotRemovePersonalOrgOwner, errors.CannotRemoveLastOwner)
_MEMBERS = "/auth/orgs/{org}/members"
_ROLES = "/auth/orgs/{org}/members/{user_id}/roles"

OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path=_MEMBERS,
        summary="List the members",
        tag="organizations",
        handler=list_members,
        returns=Members,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=READ,
    ),
    Operation(
        method="POST",
        path=_MEMBERS,
        summary="Add a member",
        tag="organizations",
        handler=add,
        body=Member,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=(errors.UserNotFound, errors.OrgMembershipLimitExceeded),
    ),
    Operation(
        method="DELETE",
        path=_MEMBERS,
        summary="Remove a member, named in the body",
        tag="organizations",
        handler=remove,
        body=Member,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=_GONE,
    ),
    Operation(
        method="DELETE",
        path=f"{_MEMBERS}/{{user_id}}",
        summary="Remove a member, or leave",
        tag="organizations",
        handler=remove_named,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner_or_self",
        limit=WRITE,
        errors=_GONE,
    ),
    Operation(
        method="GET",
        path=_ROLES,
        summary="List the roles of a member",
        tag="organizations",
        handler=list_roles,
        returns=MemberRoles,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=READ,
    ),
    Operation(
        method="POST",
        path=_ROLES,
        summary="Give a member a role",
        tag="organizations",
        handler=assign,
        body=MemberRole,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=(errors.InvalidOrgRole, errors.OrgRoleNotFound, errors.OrgRoleLimitExceeded),
    ),
    Operation(
        method="DELETE",
        path=_ROLES,
        summary="Take a role from a member, named in the body",
        tag="organizations",
        handler=unassign,
        body=MemberRole,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=(errors.InvalidOrgRole, *_GONE),
    ),
    Operation(
        method="DELETE",
        path=f"{_ROLES}/{{role}}",
        summary="Take a role from a member",
        tag="organizations",
        handler=unassign_named,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=(errors.InvalidOrgRole, *_GONE),
    ),
)
