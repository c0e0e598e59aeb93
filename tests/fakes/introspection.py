"""A verifier that asks the introspection endpoint of a fake issuer, and how often it did."""

from __future__ import annotations

from typing import Any

from authkit_verify import Verifier
from authkit_verify.testing import FakeIssuer


def judge(issuer: FakeIssuer, **terms: Any) -> Verifier:
    """Return a verifier; ``terms`` are fields of ``Introspection``."""
    return issuer.verifier(introspection=issuer.introspection(**terms))


def asked(issuer: FakeIssuer) -> int:
    """Return the number of requests that the endpoint has got."""
    return len(issuer.endpoint.asked)
