"""The thumbprint of a public key (RFC 7638, 3; RFC 8037, 2)."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from authkit_verify._jose.algorithms import PublicKey

_CURVES = {"secp256r1": ("P-256", 32), "secp384r1": ("P-384", 48), "secp521r1": ("P-521", 66)}


def thumbprint(key: PublicKey) -> str:
    """Return the unpadded base64url SHA-256 of the key, whatever the spelling that it was read from."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        e, n = _number(numbers.e), _number(numbers.n)
        members = f'{{"e":"{e}","kty":"RSA","n":"{n}"}}'
    elif isinstance(key, ec.EllipticCurvePublicKey):
        curve, size = _CURVES[key.curve.name]
        point = key.public_numbers()
        x, y = _number(point.x, size), _number(point.y, size)
        members = f'{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}'
    else:
        members = f'{{"crv":"Ed25519","kty":"OKP","x":"{_encoded(key.public_bytes_raw())}"}}'
    return _encoded(hashlib.sha256(members.encode()).digest())


def _number(value: int, size: int | None = None) -> str:
    return _encoded(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
