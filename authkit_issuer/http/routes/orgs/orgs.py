"""Organizations: founding, naming, and the roles they define. Served only where there are organizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authkit_issuer import errors
from authkit_issuer.domains.orgs.members import OrgMembership
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


class OrgSlug(Body):
    """The name of an organization to be."""

    slug: Text


class OrgRename(Body):
    """The name an organization is to have; the old one keeps leading to it."""

    new_slug: Text


class OrgRole(Body):
    """A role by its name."""

    role: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgAnswer:
    """An organization by its current name."""

    org: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOrgs:
    """The organizations of the caller, with the roles held there."""

    orgs: list[OrgMembership]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgRoles:
    """Names of roles, sorted."""

    roles: list[str]


READ = Limit(bucket="auth_org_read", by_user=True)
WRITE = Limit(bucket="auth_org_write", by_user=True)


async def list_orgs(call: Plain) -> OwnOrgs:
    """List the caller's organizations."""
    return OwnOrgs(orgs=await call.service.org_members.list_memberships(call.account.id))


async def found(call: Call[OrgSlug, NoParams]) -> OrgAnswer:
    """Found an organization, owned by the caller."""
    org = await call.service.orgs.create(call.body.slug, owner_user_id=call.account.id)
    return OrgAnswer(org=org.slug)


async def show(call: Plain) -> OrgAnswer:
    """Tell a member the current name."""
    return OrgAnswer(org=call.organization.slug)


async def rename(call: Call[OrgRename, NoParams]) -> OrgAnswer:
    """Give the organization another name."""
    await call.service.orgs.rename(call.organization.id, call.body.new_slug, actor=call.account.id)
    return OrgAnswer(org=call.body.new_slug.strip().lower())


async def list_roles(call: Plain) -> OrgRoles:
    """List the roles the organization defines."""
    return OrgRoles(roles=await call.service.orgs.list_roles(call.organization.slug))


async def define_role(call: Call[OrgRole, NoParams]) -> Done:
    """Let the organization have a role."""
    org, actor = call.organization.slug, call.account.id
    await call.service.orgs.define_role(org, call.body.role, actor=actor)
    return Done()


async def delete_role(call: Call[OrgRole, NoParams]) -> Done:
    """Remove the role of the body from the organization and from every member."""
    return await _delete(call, call.body.role)


async def delete_named_role(call: Plain) -> Done:
    """Remove the role of the path from the organization and from every member."""
    return await _delete(call, call.path["role"])


async def _delete(call: Call[Any, NoParams], role: str) -> Done:
    org, actor = call.organization.slug, call.account.id
    if not await call.service.orgs.delete_role(org, role, actor=actor):
        raise errors.OrgRoleNotFound
    return Done()


_ROLE_GONE = (errors.InvalidOrgRole, errors.OrgRoleNotFound, errors.ProtectedOrgRole)

OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/auth/orgs",
        summary="List your organizations",
        tag="organizations",
        handler=list_orgs,
        returns=OwnOrgs,
        auth=Auth.USER,
        offered=with_orgs,
        limit=READ,
    ),
    Operation(
        method="POST",
        path="/auth/orgs",
        summary="Found an organization",
        tag="organizations",
        handler=found,
        body=OrgSlug,
        returns=OrgAnswer,
        auth=Auth.USER,
        offered=with_orgs,
        limit=WRITE,
        status=201,
        errors=(
            errors.InvalidOrgSlug,
            errors.OwnerSlugTaken,
            errors.OrgMembershipLimitExceeded,
            errors.UserNotFound,
        ),
    ),
    Operation(
        method="GET",
        path="/auth/orgs/{org}",
        summary="The current name of an organization",
        tag="organizations",
        handler=show,
        returns=OrgAnswer,
        auth=Auth.USER,
        offered=with_orgs,
        org="member",
        limit=READ,
    ),
    Operation(
        method="POST",
        path="/auth/orgs/{org}/rename",
        summary="Rename an organization",
        tag="organizations",
        handler=rename,
        body=OrgRename,
        returns=OrgAnswer,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=(errors.PersonalOrgLocked, errors.OwnerSlugTaken),
    ),
    Operation(
        method="GET",
        path="/auth/orgs/{org}/roles",
        summary="List the roles of an organization",
        tag="organizations",
        handler=list_roles,
        returns=OrgRoles,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=READ,
    ),
    Operation(
        method="POST",
        path="/auth/orgs/{org}/roles",
        summary="Define a role",
        tag="organizations",
        handler=define_role,
        body=OrgRole,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=(errors.InvalidOrgRole,),
    ),
    Operation(
        method="DELETE",
        path="/auth/orgs/{org}/roles",
        summary="Delete a role, named in the body",
        tag="organizations",
        handler=delete_role,
        body=OrgRole,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=_ROLE_GONE,
    ),
    Operation(
        method="DELETE",
        path="/auth/orgs/{org}/roles/{role}",
        summary="Delete a role",
        tag="organizations",
        handler=delete_named_role,
        returns=Done,
        auth=Auth.USER,
        offered=with_orgs,
        org="owner",
        limit=WRITE,
        errors=_ROLE_GONE,
    ),
)
