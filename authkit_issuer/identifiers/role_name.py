"""The names of roles: global ones, and those of the members of an organization."""

from __future__ import annotations

import re

from authkit_issuer import errors

OWNER = "owner"
"""The role of an organization that may change it. It is never a global role."""

_GLOBAL = re.compile(r"[a-z0-9](?:[a-z0-9 _:.-]{0,62}[a-z0-9])?")
_OF_ORG = re.compile(r"[A-Za-z0-9_:-]{1,64}")


def role_slug(text: str) -> str:
    """Return the trimmed, lower-cased slug of a global role.

    Raises:
        ReservedRoleSlug: It is ``owner``.
        InvalidRoleSlug: It is not a valid slug.
    """
    slug = text.strip().lower()
    if slug == OWNER:
        raise errors.ReservedRoleSlug(param="role")
    if not _GLOBAL.fullmatch(slug):
        raise errors.InvalidRoleSlug(param="role")
    return slug


def org_role(text: str) -> str:
    """Return the name of a role of an organization; any spelling of ``owner`` is ``owner``.

    Raises:
        InvalidOrgRole: It is not a valid name.
    """
    name = text.strip()
    if not _OF_ORG.fullmatch(name):
        raise errors.InvalidOrgRole(param="role")
    return OWNER if name.lower() == OWNER else name
