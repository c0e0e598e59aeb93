"""The signature algorithms of this package; ``algorithms_of`` binds each to one type of key, one curve.

Asymmetric only: ``none`` and the HS family are not in the table, so no configuration can admit them
(RFC 8725, 2.1 and 3.1). The table follows RFC 7518 section 3.1 and RFC 8037 section 3.1. ``token_checks``
refuses a token that names another algorithm, ``config.values`` a setting that does, and
``_jwks.issuer_keys`` a token whose key does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
Check = Callable[[PublicKey, bytes, bytes], bool]
"""``check(key, signed, signature)``; the key is of the type that the algorithm is bound to."""

_SHA: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}

# Built once: a fresh padding or hash object per signature costs more than everything around it.
_PKCS1V15 = padding.PKCS1v15()


def _rs(size: str) -> Check:
    digest = _SHA[size]

    def check(key: PublicKey, signed: bytes, signature: bytes) -> bool:
        try:
            cast("rsa.RSAPublicKey", key).verify(signature, signed, _PKCS1V15, digest)
        except InvalidSignature:
            return False
        return True

    return check


def _ps(size: str) -> Check:
    digest = _SHA[size]
    # RFC 7518, 3.5: the salt is as long as the hash, and MGF1 uses the same hash.
    pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)

    def check(key: PublicKey, signed: bytes, signature: bytes) -> bool:
        public = cast("rsa.RSAPublicKey", key)
        # RFC 8017, 8.1.2 step 1, which the library leaves out: leading zeros make another spelling.
        if len(signature) != (public.key_size + 7) // 8:
            return False
        try:
            public.verify(signature, signed, pss, digest)
        except InvalidSignature:
            return False
        return True

    return check


def der_signature(signature: bytes, octets: int) -> bytes | None:
    """Return an ECDSA signature in DER, the form that the libraries take; None if its length is wrong.

    RFC 7518, 3.4: R and S as fixed-length octets. Any other length would be a second spelling.
    """
    if len(signature) != 2 * octets:
        return None
    r, s = int.from_bytes(signature[:octets], "big"), int.from_bytes(signature[octets:], "big")
    return encode_dss_signature(r, s)


def _es(size: str, octets: int) -> Check:
    ecdsa = ec.ECDSA(_SHA[size])

    def check(key: PublicKey, signed: bytes, signature: bytes) -> bool:
        der = der_signature(signature, octets)
        if der is None:
            return False
        try:
            cast("ec.EllipticCurvePublicKey", key).verify(der, signed, ecdsa)
        except InvalidSignature:
            return False
        return True

    return check


def _eddsa(key: PublicKey, signed: bytes, signature: bytes) -> bool:
    try:
        cast("ed25519.Ed25519PublicKey", key).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


ALGORITHMS: dict[str, Check] = {
    "RS256": _rs("256"),
    "RS384": _rs("384"),
    "RS512": _rs("512"),
    "PS256": _ps("256"),
    "PS384": _ps("384"),
    "PS512": _ps("512"),
    "ES256": _es("256", 32),
    "ES384": _es("384", 48),
    "ES512": _es("512", 66),
    "EdDSA": _eddsa,
    "Ed25519": _eddsa,  # RFC 9864: the same signature by its exact name
}
"""Every algorithm that can be allowed. Names are compared exactly, case included."""

_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ED25519_ALGORITHMS = frozenset({"EdDSA", "Ed25519"})
"""Two names of one algorithm (RFC 9864): a key that is named for one serves the other."""
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


def algorithms_of(key: PublicKey) -> frozenset[str]:
    """Return the algorithms that fit this key: those of its type and, for an EC key, of its curve."""
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA_ALGORITHMS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return frozenset({_CURVES[key.curve.name]} if key.curve.name in _CURVES else ())
    return ED25519_ALGORITHMS
