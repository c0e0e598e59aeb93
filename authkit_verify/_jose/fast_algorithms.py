"""Signatures checked by faster libraries: ``awscrt`` and libsodium (PyNaCl).

``AcceptConfig(signature_backend="fast")`` asks for them and ``pip install "authkit[fast]"`` brings them.
``awscrt`` is AWS-LC on Linux, and the system's own library on macOS and Windows. What the two do not know,
RSA and ECDSA with longer hashes, and whatever they fail at is left to ``cryptography``. libsodium refuses a
little more: signatures of small order, which no honest signer makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from awscrt.crypto import EC, RSA, RSASignatureAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from authkit_verify._jose.algorithms import ALGORITHMS, Check, der_signature

if TYPE_CHECKING:
    from authkit_verify._jose.keys import Key

_KEYS = 1024
"""How many keys are held in the form that a library wants."""

Bound = Callable[[bytes, bytes], bool]
"""``bound(signed, signature)``, or ``bound(digest, signature)``: a check that has its key."""


def _rsa(scheme: RSASignatureAlgorithm, key: Key) -> Bound:
    der = key.public_key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return partial(RSA.new_public_key_from_der_data(der).verify, scheme)


def _p256(key: Key) -> Bound:
    der = key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    verify = cast("Bound", EC.new_key_from_der_data(der).verify)

    def check(digest: bytes, signature: bytes) -> bool:
        der_form = der_signature(signature, 32)
        return der_form is not None and verify(digest, der_form)

    return check


def _ed25519(key: Key) -> Bound:
    verify = VerifyKey(key.public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)).verify

    def check(signed: bytes, signature: bytes) -> bool:
        if len(signature) != 64:
            return False
        try:
            verify(signed, signature)
        except BadSignatureError:
            return False
        return True

    return check


def _checked(alg: str, bind: Callable[[Key], Bound], *, hashed: bool = True) -> Check:
    otherwise = ALGORITHMS[alg]

    @lru_cache(_KEYS)
    def bound(key: Key) -> Bound | None:
        try:
            return bind(key)
        except (RuntimeError, ValueError):
            return None

    def check(key: Key, signed: bytes, signature: bytes) -> bool:
        verify = bound(key)
        if verify is not None:
            try:
                return verify(sha256(signed).digest() if hashed else signed, signature)
            except (RuntimeError, ValueError):
                pass  # awscrt raises whatever its library says beyond "wrong"
        return otherwise(key, signed, signature)

    return check


FAST_ALGORITHMS: Mapping[str, Check] = ALGORITHMS | {
    "RS256": _checked("RS256", partial(_rsa, RSASignatureAlgorithm.PKCS1_5_SHA256)),
    "PS256": _checked("PS256", partial(_rsa, RSASignatureAlgorithm.PSS_SHA256)),
    "ES256": _checked("ES256", _p256),
    "EdDSA": _checked("EdDSA", _ed25519, hashed=False),
}
"""The table of ``ALGORITHMS``, with faster entries."""
