"""The client certificate of a connection (RFC 8705): in a header of a proxy that ended the TLS connection.

Only its hash is compared: the proxy, or the server, has checked that the client holds its private key.
``binding`` compares the hash with ``cnf``.
"""

from __future__ import annotations

import binascii
import hashlib
import ipaddress
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

CertificateFormat = Literal["pem", "xfcc", "rfc9440"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_VALUE = 64 * 1024

# Compiled at their first use: most verifiers never see a certificate, and every one is imported.
_NAME = r"[!#$%&'*+.^_`|~0-9a-z-]+"
_PEM = r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----"
_HASH = r"(?i)(?:^|;)Hash=([0-9a-f]{64})(?=;|$)"
# A quoted text is a whole value: one that a client leaves open would take in the element of the proxy. It
# ends at the next quote, so that a pattern that fails is not tried again from many places.
_QUOTED = r'(?<==)"(?:[^"\\]|\\.)*"(?=[,;]|\Z)'


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateHeader:
    """The request header in which a proxy passes the client certificate on.

    The proxy must set or remove the header in every request. A header from another peer is ignored, and so
    are two headers. ``scope["client"]`` must be the proxy itself: uvicorn replaces it by the client's address
    unless it runs with ``--no-proxy-headers``. With httptools, uvicorn takes the fields of a trailer for
    headers: run it with ``--http h11`` behind a proxy that passes trailers on. WSGI does not distinguish
    ``X-Cert`` from ``X_Cert``: there the proxy must remove both.

    Raises:
        ValueError: A field is invalid.
    """

    name: str
    """The name of the header, such as ``x-forwarded-client-cert``."""
    format: CertificateFormat
    """``pem``: a PEM, percent-encoded (nginx ``$ssl_client_escaped_cert``). ``xfcc``: one element with
    ``Hash`` (Envoy). ``rfc9440``: the ``Client-Cert`` header of RFC 9440."""
    trusted_proxies: Sequence[str]
    """The addresses of the proxy, as networks: ``10.0.0.0/8``."""
    _networks: tuple[_Network, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Normalize, then check."""
        object.__setattr__(self, "name", self.name.lower())
        if not re.fullmatch(_NAME, self.name):
            raise ValueError(f"CertificateHeader.name must be the name of a header, not {self.name!r}")
        if self.format not in ("pem", "xfcc", "rfc9440"):
            raise ValueError(f"CertificateHeader.format must be pem, xfcc or rfc9440, not {self.format!r}")
        if isinstance(self.trusted_proxies, str) or not self.trusted_proxies:
            raise ValueError("CertificateHeader.trusted_proxies must list at least one network")
        object.__setattr__(self, "trusted_proxies", tuple(self.trusted_proxies))
        try:
            networks = tuple([ipaddress.ip_network(network) for network in self.trusted_proxies])
        except ValueError as error:
            raise ValueError(f"CertificateHeader.trusted_proxies: {error}") from None
        object.__setattr__(self, "_networks", networks)

    def trusts(self, peer: str) -> bool:
        """True if this address is one of the proxy."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def thumbprint(self, value: str) -> str | None:
        """Return the thumbprint of the certificate in a value of the header; None if it is unreadable."""
        if len(value) > _MAX_VALUE:
            return None
        if self.format == "xfcc":
            return _of_xfcc(value)
        if "," in value:  # two headers, which some servers join: which one is the proxy's is unknown
            return None
        if self.format == "rfc9440":
            value = value.strip()
            enclosed = len(value) > 2 and value[0] == value[-1] == ":"
            return _of_base64(value[1:-1]) if enclosed else None
        return pem_thumbprint(unquote(value))


def pem_thumbprint(pem: str) -> str | None:
    """Return the thumbprint (``x5t#S256``) of the first certificate of a PEM; None if it has none."""
    found = re.search(_PEM, pem)
    return None if found is None else _of_base64("".join(found[1].split()))


def _of_base64(text: str) -> str | None:
    try:
        der = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return _encoded(hashlib.sha256(der).digest()) if der else None


def _of_xfcc(value: str) -> str | None:
    # Quoted texts go first: a subject may hold any separator, and is chosen by the owner of the certificate.
    bare = re.sub(_QUOTED, "", value)
    if '"' in bare or "," in bare:  # or of several proxies: which certificate is the client's is unknown
        return None
    hashes = re.findall(_HASH, bare)
    return _encoded(bytes.fromhex(hashes[0])) if len(hashes) == 1 else None


def _encoded(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
