"""The configuration of a verifier: one frozen record per issuer, checked when it is built.

Every mistake that would only fail in the middle of a request, or would silently accept too much, is a
``ValueError`` here.
"""

from __future__ import annotations

from authkit_verify.config.accept_config import AcceptConfig
from authkit_verify.config.issuer_accept import IssuerAccept, Pem, Pin
from authkit_verify.config.stricter_rules import StricterRules
from authkit_verify.config.values import SUPPORTED_ALGORITHMS

__all__ = ["SUPPORTED_ALGORITHMS", "AcceptConfig", "IssuerAccept", "Pem", "Pin", "StricterRules"]
