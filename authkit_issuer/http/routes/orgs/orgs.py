"""Organizations: founding, naming, and the roles they define. Served only where there are organizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authkit_issuer import errors
from authkit_issuer.domains.orgs.members import OrgMembership
from authkit_issuer.domains.orgs.service import Orgs
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Plain,
    Text,
    with_orgs,
)
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes


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
class OrgName:
    """An organization by its current name, and by the id that no rename changes."""

    org: str
    org_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOrgs:
    """The organizations of the caller, with the roles held there."""

    orgs: list[OrgMembership]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgRoles:
    """Names of roles, sorted."""

    roles: list[str]


class OrgPolicyBody(Body):
    """What the organization is to require of its members."""

    two_factor_required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgPolicy:
    """What the organization requires of its members."""

    two_factor_required: bool


READ = Limit(bucket="auth_org_read", by_user=True)
WRITE = Limit(bucket="auth_org_write", by_user=True)


routes = Routes(tag="organizations", auth=Auth.USER, offered=with_orgs, limit=WRITE)


@routes.get("/auth/orgs", "List your organizations", limit=READ)
async def list_orgs(call: Plain) -> OwnOrgs:
    """List the caller's organizations."""
    return OwnOrgs(orgs=await call.service.org_members.list_memberships(call.account.id))


@routes.post("/auth/orgs", "Found an organization", status=201, calls=(Orgs.create,))
async def create_org(call: Call[OrgSlug, NoParams]) -> OrgName:
    """Found an organization, owned by the caller."""
    org = await call.service.orgs.create(call.body.slug, owner_user_id=call.account.id)
    return OrgName(org=org.slug, org_id=org.id)


@routes.get("/auth/orgs/{org}", "The current name of an organization", org="any_member", limit=READ)
async def get_org(call: Plain) -> OrgName:
    """Tell a member the current name."""
    return OrgName(org=call.organization.slug, org_id=call.organization.id)


@routes.delete("/auth/orgs/{org}", "Delete an organization", org="owner", fresh=True, calls=(Orgs.delete,))
async def delete_org(call: Plain) -> OkResponse:
    """Delete the organization for every member; its names stay taken for a while."""
    await call.service.orgs.delete(
        call.organization.id, actor=call.account.id, as_owner=True, client=call.client
    )
    return OkResponse()


@routes.post(
    "/auth/orgs/{org}/rename", "Rename an organization", org="owner", fresh=True, calls=(Orgs.rename,)
)
async def rename_org(call: Call[OrgRename, NoParams]) -> OrgName:
    """Give the organization another name."""
    org, slug = call.organization.id, call.body.new_slug
    await call.service.orgs.rename(org, slug, actor=call.account.id, as_owner=True)
    return OrgName(org=call.body.new_slug.strip().lower(), org_id=call.organization.id)


@routes.get(
    "/auth/orgs/{org}/policy",
    "What an organization requires",
    org="any_member",
    limit=READ,
    calls=(Orgs.requires_two_factor,),
)
async def get_org_policy(call: Plain) -> OrgPolicy:
    """Tell a member what the organization requires."""
    required = await call.service.orgs.requires_two_factor(call.organization.slug)
    return OrgPolicy(two_factor_required=required)


@routes.put(
    "/auth/orgs/{org}/policy",
    "Require a second factor of the members, or no longer",
    org="owner",
    fresh=True,
    calls=(Orgs.require_two_factor,),
)
async def set_org_policy(call: Call[OrgPolicyBody, NoParams]) -> OkResponse:
    """Set the policy of the organization."""
    await call.service.orgs.require_two_factor(
        call.organization.slug,
        required=call.body.two_factor_required,
        actor=call.account.id,
        as_owner=True,
        client=call.client,
    )
    return OkResponse()


@routes.get("/auth/orgs/{org}/roles", "List the roles of an organization", org="owner", limit=READ)
async def list_org_roles(call: Plain) -> OrgRoles:
    """List the roles the organization defines."""
    return OrgRoles(roles=await call.service.orgs.list_roles(call.organization.slug))


@routes.post("/auth/orgs/{org}/roles", "Define a role", org="owner", calls=(Orgs.define_role,))
async def define_org_role(call: Call[OrgRole, NoParams]) -> OkResponse:
    """Let the organization have a role."""
    org, actor = call.organization.slug, call.account.id
    await call.service.orgs.define_role(org, call.body.role, actor=actor, as_owner=True)
    return OkResponse()


@routes.delete(
    "/auth/orgs/{org}/roles",
    "Delete a role, named in the body",
    org="owner",
    calls=(Orgs.delete_role,),
    errors=(errors.OrgRoleNotFound,),
)
async def delete_org_role_by_body(call: Call[OrgRole, NoParams]) -> OkResponse:
    """Remove the role of the body from the organization and from every member."""
    return await _delete(call, call.body.role)


@routes.delete(
    "/auth/orgs/{org}/roles/{role}",
    "Delete a role",
    org="owner",
    calls=(Orgs.delete_role,),
    errors=(errors.OrgRoleNotFound,),
)
async def delete_org_role(call: Plain) -> OkResponse:
    """Remove the role of the path from the organization and from every member."""
    return await _delete(call, call.path["role"])


async def _delete(call: Call[Any, NoParams], role: str) -> OkResponse:
    org, actor = call.organization.slug, call.account.id
    if not await call.service.orgs.delete_role(org, role, actor=actor, as_owner=True):
        raise errors.OrgRoleNotFound
    return OkResponse()
