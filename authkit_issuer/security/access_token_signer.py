"""Signs access tokens: compact JWS (RFC 7515 section 7.1) of type ``at+jwt`` (RFC 9068 section 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from authkit_issuer.errors import MissingSigner
from authkit_issuer.keys import KeySource, SigningKey, base64url

_HASHES = {"ES256": hashes.SHA256(), "ES384": hashes.SHA384(), "ES512": hashes.SHA512()}
_SHA256 = hashes.SHA256()
_PKCS1 = padding.PKCS1v15()

_encode = msgspec.json.Encoder().encode


class AccessTokenSigner:
    """Signs claims with the key in force, read anew on every call."""

    __slots__ = ("_keys", "_prepared")

    def __init__(self, keys: KeySource) -> None:
        """Take the source of keys."""
        self._keys = keys
        self._prepared: _Prepared | None = None

    def sign(self, claims: Mapping[str, object], *, kind: str = "at+jwt") -> str:
        """Return the signed token, or raise ``MissingSigner``. ``kind`` is its ``typ``.

        Signing runs on the calling thread: handing 30 to 300 microseconds to another one costs as much.
        """
        key = self._keys.current().signing
        if key is None:
            raise MissingSigner
        prepared = self._prepared
        if prepared is None or prepared.key is not key:
            prepared = self._prepared = _Prepared(key, _header(key, "at+jwt"), signature_of(key))
        header = prepared.header if kind == "at+jwt" else _header(key, kind)
        signed = f"{header}.{base64url(_encode(claims))}"
        return f"{signed}.{base64url(prepared.signature(signed.encode()))}"


@dataclass(frozen=True, slots=True)
class _Prepared:
    key: SigningKey
    header: str
    signature: Callable[[bytes], bytes]


def _header(key: SigningKey, kind: str) -> str:
    return base64url(_encode({"alg": key.alg, "kid": key.kid, "typ": kind}))


def signature_of(key: SigningKey) -> Callable[[bytes], bytes]:
    """Return what signs data with the key, in the form a JWS carries a signature (RFC 7518 section 3)."""
    private = key.private_key
    if isinstance(private, rsa.RSAPrivateKey):
        return lambda data: private.sign(data, _PKCS1, _SHA256)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign
    scheme = ec.ECDSA(_HASHES[key.alg])
    size = (private.key_size + 7) // 8  # RFC 7518 section 3.4: fixed-width R and S, not DER

    def fixed_width(data: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(data, scheme))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return fixed_width
