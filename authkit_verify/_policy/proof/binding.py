"""What a token is bound to (``cnf``, RFC 7800), and what a request shows to use it.

A token whose ``cnf`` is malformed, or names a method that this package does not check, is refused.
A token that is bound to a key or a certificate is refused without it: ``check_shown``. ``dpop_proof`` checks
the DPoP proof itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from authkit_verify.config.issuer_accept import BindingMode
from authkit_verify.errors import TokenError

_METHODS = frozenset({"jkt", "x5t#S256"})


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What a request shows beside its token. ``request_proof`` makes it from an ASGI scope."""

    dpop: str | None = None
    """The value of the only ``DPoP`` header (RFC 9449) if the token came with the ``DPoP`` scheme; empty if
    the header is missing. Default None: the token came with another scheme."""
    method: str = ""
    """The HTTP method of the request; ``GET`` for a WebSocket. Needed with ``dpop``."""
    url: str = ""
    """The absolute URL of the request as its client knows it. Needed with ``dpop``."""
    certificate: str | None = None
    """The unpadded base64url SHA-256 of the client's certificate in DER (RFC 8705, 3.1). Default None: the
    connection has no client certificate."""


class Binding(msgspec.Struct, frozen=True):
    """The thumbprints that a token is bound to: of a DPoP key, of a client certificate, or of both."""

    jkt: str | None
    certificate: str | None


BindingOf = Callable[[Mapping[str, Any]], Binding | None]
"""Returns what the token with this payload is bound to, or None. Raises TokenError."""


def binding_rule(dpop: BindingMode, mtls: BindingMode) -> BindingOf:
    """Return the rule of one issuer; what its settings decide is decided here, and not for each token."""

    def of(payload: Mapping[str, Any]) -> Binding | None:
        binding = _read(payload["cnf"]) if "cnf" in payload else None
        jkt = binding.jkt if binding is not None else None
        certificate = binding.certificate if binding is not None else None
        _check_mode("DPoP key", "dpop", dpop, bound=jkt is not None)
        _check_mode("client certificate", "mtls", mtls, bound=certificate is not None)
        return binding

    def of_unbound(payload: Mapping[str, Any]) -> Binding | None:
        return of(payload) if "cnf" in payload else None

    return of if "required" in {dpop, mtls} else of_unbound


class ShownDPoP(msgspec.Struct, frozen=True):
    """The DPoP proof that a request shows, and the thumbprint of the key that its token is bound to."""

    jkt: str
    text: str
    proof: Proof


def check_shown(binding: Binding | None, proof: Proof | None) -> ShownDPoP | None:
    """Refuse a request that does not show what its token is bound to, or shows a DPoP proof for no binding.

    Returns the DPoP proof that is still to be checked, or None.
    """
    text = proof.dpop if proof is not None else None
    if binding is None or binding.jkt is None:
        if text is not None:
            raise TokenError("invalid_token", "the token is not bound to a DPoP key: send it as Bearer")
        if binding is not None:
            _check_certificate(binding, proof)
        return None
    if proof is None or text is None:
        raise TokenError(
            "invalid_token",
            "the token is bound to a DPoP key: send it with the DPoP scheme and a DPoP header",
        )
    _check_certificate(binding, proof)
    return ShownDPoP(binding.jkt, text, proof)


def _check_certificate(binding: Binding, proof: Proof | None) -> None:
    """Refuse a token that is bound to another certificate than that of the connection, or of none."""
    if binding.certificate is None:
        return
    shown = proof.certificate if proof is not None else None
    if shown is None:
        raise TokenError(
            "invalid_token", "the token is bound to a client certificate, and the connection has none"
        )
    if not hmac.compare_digest(shown.encode(), binding.certificate.encode()):
        raise TokenError("invalid_token", "the token is bound to another client certificate")


def _read(cnf: Any) -> Binding:
    if type(cnf) is not dict or not cnf or not _METHODS.issuperset(cnf):
        raise TokenError("invalid_token", "the token's cnf names no key, or one that cannot be checked here")
    for value in cnf.values():
        if type(value) is not str or not value:
            raise TokenError("invalid_token", "the token's cnf holds a thumbprint that is not a string")
    return Binding(cnf.get("jkt"), cnf.get("x5t#S256"))


def _check_mode(what: str, setting: str, mode: BindingMode, *, bound: bool) -> None:
    if mode == "required" and not bound:
        raise TokenError("invalid_token", f"the token is not bound to a {what}; {setting} is 'required'")
    if mode == "disabled" and bound:
        raise TokenError("invalid_token", f"the token is bound to a {what}; {setting} is 'disabled'")
