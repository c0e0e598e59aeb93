"""What a request shows beside its token: the ``DPoP`` header, method and URL, and the client certificate."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from authkit_verify._asgi.types import Scope, raw_path, whole_path
from authkit_verify._policy.proof.binding import Proof
from authkit_verify._policy.proof.certificates import CertificateHeader, pem_thumbprint
from authkit_verify._verify.verifier import Verifier
from authkit_verify.errors import TokenError

_SAFE = "/:@!$&'()*+,;=~"  # RFC 3986, 3.3, beside letters and digits


def request_proof(scope: Scope, verifier: Verifier, *, dpop: str | None = None) -> Proof:
    """Return what an ASGI request shows to use a sender-constrained token, for ``verify`` and ``renew``.

    Args:
        scope: The scope of the request or of the WebSocket.
        verifier: The verifier, for its ``certificate_header``.
        dpop: The DPoP proof; see ``dpop_header`` for that of the request. Default None: the token came with
            another scheme.
    """
    certificate = _certificate(scope, verifier.certificate_header)
    if dpop is None:
        return Proof(certificate=certificate)
    method = scope["method"] if scope["type"] == "http" else "GET"
    return Proof(dpop=dpop, method=method, url=_url(scope), certificate=certificate)


def may_have_certificate(scope: Scope, verifier: Verifier) -> bool:
    """True if a client certificate could be found: nearly no request pays for looking."""
    return verifier.certificate_header is not None or "tls" in (scope.get("extensions") or ())


def dpop_header(scope: Scope) -> str:
    """Return the value of the only ``DPoP`` header; empty without one. Raises TokenError for a second one."""
    found = _values(scope, b"dpop")
    if len(found) > 1:
        raise TokenError("invalid_dpop_proof", "more than one DPoP header")
    return found[0] if found else ""


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _url(scope: Scope) -> str:
    hosts = _values(scope, b"host")
    if not hosts and scope.get("server"):
        host, port = scope["server"]
        hosts = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    if len(hosts) != 1:
        return ""  # which no proof fits
    return f"{scope.get('scheme') or 'http'}://{hosts[0]}{_path(scope)}"


def _path(scope: Scope) -> str:
    """Return the encoded path as the client sent it.

    Servers and frameworks disagree on whether ``path`` and ``raw_path`` repeat ``root_path``, and a
    middleware may have rewritten ``path`` alone.
    """
    path = whole_path(scope)
    root: str = (scope.get("root_path") or "").rstrip("/")
    whole = path if path == root or path.startswith(root + "/") else root + path
    raw = raw_path(scope)
    if unquote(raw) == whole:
        return raw
    if unquote(raw) == path:
        return quote(root, _SAFE) + raw
    return quote(whole, _SAFE)


def _certificate(scope: Scope, header: CertificateHeader | None) -> str | None:
    """Return the thumbprint of the client certificate; None without one that is beyond doubt."""
    if header is None:
        return _of_connection((scope.get("extensions") or {}).get("tls"))
    # The connection itself ends at the proxy: a certificate on it would be the proxy's.
    peer = scope.get("client")
    values = _values(scope, header.name.encode())
    if len(values) != 1 or not peer or not header.trusts(peer[0]):
        return None
    return header.thumbprint(values[0])


def _of_connection(tls: Any) -> str | None:
    if not tls or tls.get("client_cert_error"):
        return None
    chain = list(tls.get("client_cert_chain") or ())
    return pem_thumbprint(chain[0]) if chain else None
