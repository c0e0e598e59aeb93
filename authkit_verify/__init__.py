"""Verify JWT access tokens from many issuers in any ASGI application."""

from __future__ import annotations

from authkit_verify.challenge import AccessDenied
from authkit_verify.claims import Claims
from authkit_verify.config import AcceptConfig, IssuerAccept, StricterRules
from authkit_verify.enrich import Enricher, Enrichment, EnrichmentSource
from authkit_verify.errors import TokenError
from authkit_verify.events import Event
from authkit_verify.explanation import CheckResult, Explanation
from authkit_verify.gate import refusal_for
from authkit_verify.guards import (
    fresh_keys,
    require_admin,
    require_entitlement,
    require_login,
    require_org_role,
    require_recent_login,
    require_role,
    require_scope,
)
from authkit_verify.keys import KeyState
from authkit_verify.metadata import ResourceMetadata
from authkit_verify.middleware import AuthMiddleware
from authkit_verify.principal import Principal
from authkit_verify.verifier import Verifier

__all__ = [
    "AcceptConfig",
    "AccessDenied",
    "AuthMiddleware",
    "CheckResult",
    "Claims",
    "Enricher",
    "Enrichment",
    "EnrichmentSource",
    "Event",
    "Explanation",
    "IssuerAccept",
    "KeyState",
    "Principal",
    "ResourceMetadata",
    "StricterRules",
    "TokenError",
    "Verifier",
    "fresh_keys",
    "refusal_for",
    "require_admin",
    "require_entitlement",
    "require_login",
    "require_org_role",
    "require_recent_login",
    "require_role",
    "require_scope",
]
