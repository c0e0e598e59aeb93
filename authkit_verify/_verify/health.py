"""The state of a verifier: of the keys and the introspection endpoint of every issuer.

``issuer_policy.IssuerPolicy.is_ready`` decides if an issuer is ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from authkit_verify._jwks.issuer_keys import IssuerHealth
from authkit_verify._policy.introspection.introspector import IntrospectionHealth
from authkit_verify._policy.issuer_policy import IssuerPolicy


class Health(TypedDict):
    """The state of the keys and the introspection endpoint of every issuer, in plain JSON types."""

    ready: bool
    """True if every issuer has usable keys, or else an introspection endpoint for opaque tokens alone. Those
    that ``issuer_loader`` returned do not count."""
    issuers: dict[str, IssuerHealth]
    """The state of the keys by issuer."""
    introspection: dict[str, IntrospectionHealth]
    """The state of the endpoint by issuer, of those that have one."""


def health_of(policies: Mapping[str, IssuerPolicy], needed: Mapping[str, IssuerPolicy]) -> Health:
    """Return the state of these issuers, without any I/O; it is ready if those that are ``needed`` are."""
    asked = {issuer: policy.introspector for issuer, policy in policies.items()}
    return {
        "ready": all(policy.is_ready() for policy in needed.values()),
        "issuers": {issuer: policy.keys.health() for issuer, policy in policies.items()},
        "introspection": {issuer: one.health() for issuer, one in asked.items() if one is not None},
    }
