"""The public names of ``authkit_verify``, which imports this module when one of them is first used."""

from __future__ import annotations

from authkit_verify._asgi.authenticator import refusal_for
from authkit_verify._asgi.challenge import AccessDenied, Challenge, Refusal
from authkit_verify._asgi.credentials import bearer_token, sole_authorization
from authkit_verify._asgi.enrichment import Enricher, Enrichment, EnrichmentSource
from authkit_verify._asgi.guards import (
    Guard,
    fresh_keys,
    require_admin,
    require_entitlement,
    require_login,
    require_org_role,
    require_permission,
    require_recent_login,
    require_role,
    require_scope,
)
from authkit_verify._asgi.lease import Lease
from authkit_verify._asgi.middleware import AuthMiddleware
from authkit_verify._asgi.principal import Principal
from authkit_verify._asgi.request_proof import request_proof
from authkit_verify._asgi.resource_metadata import ResourceMetadata
from authkit_verify._jose.keys import KeyState
from authkit_verify._policy.proof.binding import Proof
from authkit_verify._policy.proof.certificates import CertificateHeader
from authkit_verify._policy.proof.dpop import DPoP
from authkit_verify._policy.proof.replay_cache import MemoryReplayCache, RedisReplayCache, ReplayCache
from authkit_verify._policy.verified_claims import Claims
from authkit_verify._telemetry.events import Event
from authkit_verify._verify.explain.explanation import CheckResult, Explanation
from authkit_verify._verify.sync_verifier import SyncVerifier
from authkit_verify._verify.verifier import Verifier
from authkit_verify.config import AcceptConfig, IssuerAccept, StricterRules
from authkit_verify.config.claims_mapping import ClaimsMapping
from authkit_verify.config.http_client import HttpClient
from authkit_verify.config.introspection import Introspection
from authkit_verify.errors import TokenError

__all__ = [
    "AcceptConfig",
    "AccessDenied",
    "AuthMiddleware",
    "CertificateHeader",
    "Challenge",
    "CheckResult",
    "Claims",
    "ClaimsMapping",
    "DPoP",
    "Enricher",
    "Enrichment",
    "EnrichmentSource",
    "Event",
    "Explanation",
    "Guard",
    "HttpClient",
    "Introspection",
    "IssuerAccept",
    "KeyState",
    "Lease",
    "MemoryReplayCache",
    "Principal",
    "Proof",
    "RedisReplayCache",
    "Refusal",
    "ReplayCache",
    "ResourceMetadata",
    "StricterRules",
    "SyncVerifier",
    "TokenError",
    "Verifier",
    "bearer_token",
    "fresh_keys",
    "refusal_for",
    "request_proof",
    "require_admin",
    "require_entitlement",
    "require_login",
    "require_org_role",
    "require_permission",
    "require_recent_login",
    "require_role",
    "require_scope",
    "sole_authorization",
]
