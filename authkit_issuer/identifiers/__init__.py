"""Normal forms and rules of email addresses, phone numbers, user names, roles, slugs and ids. Pure functions.

Every path that stores or looks up one of these goes through here, so that two spellings of one thing never
become two things.
"""

from __future__ import annotations

from authkit_issuer.identifiers.client import (
    MAX_USER_AGENT,
    browser_family,
    ip_address,
    ip_prefix,
    ip_site,
    storable,
    user_agent,
)
from authkit_issuer.identifiers.email_address import MAX_EMAIL, MAX_LOCAL_PART, displayed_email, email
from authkit_issuer.identifiers.ids import new_id, uuid_or_none
from authkit_issuer.identifiers.phone_number import is_calling_code, is_phone, phone, takes_sms
from authkit_issuer.identifiers.role_name import OWNER, org_role, role_slug
from authkit_issuer.identifiers.slugs import MAX_ORG_SLUG, org_slug, owner_slug, slug
from authkit_issuer.identifiers.user_name import (
    DEFAULT_RESERVED_USERNAMES,
    MAX_BIOGRAPHY,
    MAX_USERNAME,
    MIN_USERNAME,
    biography,
    derived_username,
    is_reserved,
    reason,
    suffixed_username,
    username,
)

__all__ = [
    "DEFAULT_RESERVED_USERNAMES",
    "MAX_BIOGRAPHY",
    "MAX_EMAIL",
    "MAX_LOCAL_PART",
    "MAX_ORG_SLUG",
    "MAX_USERNAME",
    "MAX_USER_AGENT",
    "MIN_USERNAME",
    "OWNER",
    "biography",
    "browser_family",
    "derived_username",
    "displayed_email",
    "email",
    "ip_address",
    "ip_prefix",
    "ip_site",
    "is_calling_code",
    "is_phone",
    "is_reserved",
    "new_id",
    "org_role",
    "org_slug",
    "owner_slug",
    "phone",
    "reason",
    "role_slug",
    "slug",
    "storable",
    "suffixed_username",
    "takes_sms",
    "user_agent",
    "username",
    "uuid_or_none",
]
