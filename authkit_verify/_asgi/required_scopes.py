"""Required scopes: a token that lacks one is refused with 403 ``insufficient_scope`` (RFC 6750, 3.1).

``require_scope`` in ``guards`` names those of a route. ``required_scopes`` of an issuer are a rule of its
tokens: ``_policy/token_checks`` has it.
"""

from __future__ import annotations

from authkit_verify._asgi.challenge import AccessDenied
from authkit_verify._asgi.principal import Principal
from authkit_verify._verify.verifier import Verifier


def refuse_missing_scopes(caller: Principal, scopes: tuple[str, ...]) -> None:
    """Raise ``AccessDenied`` (``insufficient_scope``) if the caller's token lacks one of the scopes."""
    if not set(scopes).issubset(caller.claims.scopes):
        raise AccessDenied("insufficient_scope", "the token lacks a required scope", scopes=scopes)


def required_scopes(verifier: Verifier) -> tuple[str, ...]:
    """Return the scopes that the issuers of this moment require, each once: what a challenge names."""
    scopes = (scope for accept in verifier.issuers for scope in accept.required_scopes)
    return tuple(dict.fromkeys(scopes))
