"""Verify JWT access tokens from many issuers in any ASGI application."""

from __future__ import annotations

from authkit_verify.challenge import AccessDenied
from authkit_verify.claims import Claims
from authkit_verify.config import AcceptConfig, IssuerAccept
from authkit_verify.enrich import Enrichment, EnrichmentSource
from authkit_verify.errors import TokenError
from authkit_verify.guards import (
    fresh_keys,
    require_entitlement,
    require_login,
    require_org_role,
    require_role,
    require_scope,
)
from authkit_verify.keys import KeyState
from authkit_verify.middleware import AuthMiddleware
from authkit_verify.principal import Principal
from authkit_verify.verifier import Verifier

__all__ = [
    "AcceptConfig",
    "AccessDenied",
    "AuthMiddleware",
    "Claims",
    "Enrichment",
    "EnrichmentSource",
    "IssuerAccept",
    "KeyState",
    "Principal",
    "TokenError",
    "Verifier",
    "fresh_keys",
    "require_entitlement",
    "require_login",
    "require_org_role",
    "require_role",
    "require_scope",
]
