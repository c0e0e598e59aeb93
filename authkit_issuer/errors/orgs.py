"""Organizations, their members and invites."""

from __future__ import annotations

from authkit_issuer.errors.categories import Conflict, Denied, Invalid, NotFound


class InvalidOrgSlug(Invalid):
    """The text is not an organization slug."""

    code = "invalid_org_slug"
    default = "An organization name has 1 to 63 of a-z, 0-9 and inner hyphens."


class OrgNotFound(NotFound):
    """No such organization."""

    code = "org_not_found"
    default = "Organization not found."


class NotOrgMember(Denied):
    """The user is not a member of the organization."""

    code = "not_org_member"
    default = "Not a member of this organization."


class OrgModeNotMulti(Invalid):
    """The service runs in single-organization mode."""

    code = "org_mode_not_multi"
    default = "This service has no organizations."


class InvalidOrgRole(Invalid):
    """The text cannot name a role of an organization."""

    code = "invalid_org_role"
    default = "A role of an organization has 1 to 64 of A-Z, a-z, 0-9, underscore, colon and hyphen."


class OrgRoleNotFound(NotFound):
    """The organization does not define this role."""

    code = "org_role_not_found"
    default = "The organization does not have this role."


class ProtectedOrgRole(Conflict):
    """Every organization has the role, so it cannot be deleted."""

    code = "protected_org_role"
    default = "This role cannot be deleted."


class CannotRemoveLastOwner(Conflict):
    """An organization with members must keep an owner who may act."""

    code = "cannot_remove_last_owner"
    default = "The organization must keep an owner: make another member an owner first, or delete it."


class CannotRemovePersonalOrgOwner(Conflict):
    """A personal organization is its user's for good."""

    code = "cannot_remove_personal_org_owner"
    default = "A personal organization keeps its owner."


class PersonalOrgLocked(Conflict):
    """A personal organization is renamed with its user, and no other way."""

    code = "personal_org_locked"
    default = "The name of a personal organization is its user's name."


class PersonalOrgNotFound(NotFound):
    """The user has no personal organization."""

    code = "personal_org_not_found"
    default = "The user does not have a personal organization."


class OrgMembershipLimitExceeded(Conflict):
    """A user may belong to a limited number of organizations, deleted ones of theirs included."""

    code = "org_membership_limit_exceeded"
    default = "A user may belong to at most 200 organizations; their own deleted ones count until the purge."


class OrgRoleLimitExceeded(Conflict):
    """A member may hold a limited number of roles."""

    code = "org_role_limit_exceeded"
    default = "A member may hold at most 50 roles."


class AlreadyOrgMember(Conflict):
    """Who is a member already is not invited."""

    code = "already_org_member"
    default = "The user is already a member."


class OrgInviteAlreadyPending(Conflict):
    """One open invite per organization and person."""

    code = "org_invite_already_pending"
    default = "An open invite already exists."


class OrgInviteNotFound(NotFound):
    """No such invite."""

    code = "org_invite_not_found"
    default = "Invite not found."


class OrgInviteNotPending(Conflict):
    """The invite was answered, revoked or has expired."""

    code = "org_invite_not_pending"
    default = "The invite is no longer open."


class OrgInviteNotForUser(Denied):
    """The invite is for somebody else."""

    code = "org_invite_not_for_user"
    default = "This invite is for another user."


class OrgInviteExpired(Conflict):
    """The invite has run out."""

    code = "org_invite_expired"
    default = "The invite has expired."


class InvalidExpiry(Invalid):
    """An expiry that has passed, or one without a time zone."""

    code = "invalid_expiry"
    default = "The expiry must be a moment in the future."
