"""Signing keys of tests, and the tokens that they seal, however malformed."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from authkit_verify._jose.algorithms import ALGORITHMS
from authkit_verify._jose.compact import split
from authkit_verify.errors import TokenError

_CURVES: Mapping[str, tuple[ec.EllipticCurve, int]] = {
    "ES256": (ec.SECP256R1(), 32),
    "ES384": (ec.SECP384R1(), 48),
    "ES512": (ec.SECP521R1(), 66),
}
_SHA: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True, eq=False)
class FakeKey:
    """A signing key of a fake issuer."""

    kid: str
    """The key id under which it is published."""
    alg: str
    """The algorithm with which it signs."""
    private_key: PrivateKey
    """The private key, of the type that the algorithm needs."""
    issuer: str | None = None
    """The issuer of one tenant, or a template, that it is published for. Default None: it is not named."""

    @classmethod
    def generate(cls, kid: str, alg: str) -> FakeKey:
        """Generate a key; only RSA takes a noticeable time."""
        if alg in _CURVES:
            return cls(kid, alg, ec.generate_private_key(_CURVES[alg][0]))
        if alg in {"EdDSA", "Ed25519"}:
            return cls(kid, alg, ed25519.Ed25519PrivateKey.generate())
        return cls(kid, alg, rsa.generate_private_key(65537, 2048))

    def jwk(self) -> dict[str, Any]:
        """Return the public key as it is published (RFC 7517)."""
        public = self.private_key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            members = RSAAlgorithm.to_jwk(public, as_dict=True)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            members = ECAlgorithm.to_jwk(public, as_dict=True)
        else:
            members = OKPAlgorithm.to_jwk(public, as_dict=True)
        members.pop("key_ops", None)
        named = {} if self.issuer is None else {"issuer": self.issuer}
        return members | {"kid": self.kid, "alg": self.alg, "use": "sig"} | named

    def pem(self) -> str:
        """Return the public key as PEM, for ``pinned_pems``."""
        return (
            self.private_key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def signed(self, token: str) -> bool:
        """True if this key made the signature of a compact token."""
        try:
            parts = split(token)
        except TokenError:
            return False
        return ALGORITHMS[self.alg](self.private_key.public_key(), parts.signed, parts.signature)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data`` in the form of RFC 7518."""
        key = self.private_key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        digest = _SHA[self.alg[2:]]
        if isinstance(key, ec.EllipticCurvePrivateKey):
            size = _CURVES[self.alg][1]
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if self.alg.startswith("PS"):
            pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
            return key.sign(data, pss, digest)
        return key.sign(data, padding.PKCS1v15(), digest)


def encode(data: bytes) -> str:
    """Return unpadded base64url."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def seal(key: FakeKey, header: bytes, payload: bytes) -> str:
    """Return a compact token of any two byte strings, however malformed they are."""
    signed = f"{encode(header)}.{encode(payload)}"
    return f"{signed}.{encode(key.sign(signed.encode()))}"


def compact(value: Any) -> bytes:
    """Return JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()
