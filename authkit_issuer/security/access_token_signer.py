"""Signs access tokens: compact JWS (RFC 7515 section 7.1) of type ``at+jwt`` (RFC 9068 section 2.1)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from authkit_issuer.errors import MissingSigner
from authkit_issuer.keys import KeySource, PrivateKey, SigningKey, base64url

_HASHES = {"ES256": hashes.SHA256(), "ES384": hashes.SHA384(), "ES512": hashes.SHA512()}
_SHA256 = hashes.SHA256()
_PKCS1 = padding.PKCS1v15()

_encode = msgspec.json.Encoder().encode


class AccessTokenSigner:
    """Signs claims with the key in force, read anew on every call."""

    __slots__ = ("_headers", "_keys")

    def __init__(self, keys: KeySource) -> None:
        """Take the source of keys."""
        self._keys = keys
        self._headers: tuple[SigningKey | None, str] = (None, "")

    def sign(self, claims: Mapping[str, object], *, kind: str = "at+jwt") -> str:
        """Return the signed token, or raise ``MissingSigner``. ``kind`` is its ``typ``.

        Signing runs on the calling thread: handing 30 to 300 microseconds to another one costs as much.
        """
        key = self._keys.current().signing
        if key is None:
            raise MissingSigner
        header = self._header(key) if kind == "at+jwt" else _header(key, kind)
        signed = f"{header}.{base64url(_encode(claims))}"
        return f"{signed}.{base64url(sign(key.private_key, key.alg, signed.encode()))}"

    def _header(self, key: SigningKey) -> str:
        known, header = self._headers
        if known is not key:
            header = _header(key, "at+jwt")
            self._headers = (key, header)
        return header


def _header(key: SigningKey, kind: str) -> str:
    return base64url(_encode({"alg": key.alg, "kid": key.kid, "typ": kind}))


def sign(key: PrivateKey, alg: str, data: bytes) -> bytes:
    """Return the signature in the form a JWS carries it (RFC 7518 section 3)."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, _PKCS1, _SHA256)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_HASHES[alg])))
        size = (key.key_size + 7) // 8  # RFC 7518 section 3.4: fixed-width R and S, not DER
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(data)
