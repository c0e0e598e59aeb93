"""Slugs of user names, owners and organizations."""

from __future__ import annotations

import re

from authkit_issuer import errors

MAX_ORG_SLUG = 63
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_-]+")
_SEPARATORS = re.compile(r"[-_]+")
_ORG_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def slug(text: str) -> str:
    """Return the normal form under which names are held and resolved, or raise ``InvalidSlug``."""
    value = text.strip().lower()
    if not _SLUG.fullmatch(value):
        raise errors.InvalidSlug(param="slug")
    return value


def owner_slug(name: str) -> str:
    """Return the owner slug of a user name: ``A__B--C`` becomes ``a-b-c``. May be empty."""
    kept = _NOT_IN_NAMES.sub("", name.strip().lower())
    return _SEPARATORS.sub("-", kept).strip("-")


def org_slug(text: str) -> str:
    """Return the normal form of an organization slug, or raise ``InvalidOrgSlug``."""
    value = text.strip().lower()
    if not _ORG_SLUG.fullmatch(value):
        raise errors.InvalidOrgSlug(param="org")
    return value
