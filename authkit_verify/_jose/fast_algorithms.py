"""Signature checks with faster libraries: ``awscrt`` and libsodium (PyNaCl).

``AcceptConfig(signature_backend="fast")`` uses them and ``pip install "asgi-authkit[fast]"`` installs them.
``awscrt`` is AWS-LC on Linux, and the system's own library on macOS and Windows. ``cryptography`` checks the
algorithms that the two lack (RSA and ECDSA with longer hashes) and every signature on which they fail.
libsodium refuses a little more: signatures of small order, which no honest signer makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from typing import cast

from awscrt.crypto import EC, RSA, RSASignatureAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from authkit_verify._jose.algorithms import ALGORITHMS, Check, PublicKey, der_signature

_MAX_KEYS = 1024
"""Keys that are held in the form of a library, for each algorithm."""

Bound = Callable[[bytes, bytes], bool]
"""``bound(signed, signature)``, or ``bound(digest, signature)``: a check bound to its key."""


def _rsa(scheme: RSASignatureAlgorithm, key: PublicKey) -> Bound:
    der = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return partial(RSA.new_public_key_from_der_data(der).verify, scheme)


def _p256(key: PublicKey) -> Bound:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    verify = cast("Bound", EC.new_key_from_der_data(der).verify)

    def check(digest: bytes, signature: bytes) -> bool:
        der_form = der_signature(signature, 32)
        return der_form is not None and verify(digest, der_form)

    return check


def _ed25519(key: PublicKey) -> Bound:
    verify = VerifyKey(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).verify

    def check(signed: bytes, signature: bytes) -> bool:
        if len(signature) != 64:
            return False
        try:
            verify(signed, signature)
        except BadSignatureError:
            return False
        return True

    return check


class _BoundKeys:
    """The checks of at most ``_MAX_KEYS`` keys, each key parsed once; None for a key that is not taken."""

    __slots__ = ("_bind", "_known")

    def __init__(self, bind: Callable[[PublicKey], Bound]) -> None:
        self._bind = bind
        # By identity, since the keys of ``cryptography`` cannot be hashed. The entry holds the key, so that
        # its id is not given to another one.
        self._known: dict[int, tuple[PublicKey, Bound | None]] = {}

    def of(self, key: PublicKey) -> Bound | None:
        known = self._known.get(id(key))
        if known is not None:
            return known[1]
        try:
            bound = self._bind(key)
        except (RuntimeError, ValueError):
            bound = None
        if len(self._known) >= _MAX_KEYS:
            self._known.clear()
        self._known[id(key)] = (key, bound)
        return bound


def _checked(alg: str, bind: Callable[[PublicKey], Bound], *, hashed: bool = True) -> Check:
    otherwise = ALGORITHMS[alg]
    bound_keys = _BoundKeys(bind)

    def check(key: PublicKey, signed: bytes, signature: bytes) -> bool:
        verify = bound_keys.of(key)
        if verify is not None:
            try:
                return verify(sha256(signed).digest() if hashed else signed, signature)
            except (RuntimeError, ValueError):
                pass  # awscrt raises every result of its library other than "wrong signature"
        return otherwise(key, signed, signature)

    return check


FAST_ALGORITHMS: Mapping[str, Check] = ALGORITHMS | {
    "RS256": _checked("RS256", partial(_rsa, RSASignatureAlgorithm.PKCS1_5_SHA256)),
    "PS256": _checked("PS256", partial(_rsa, RSASignatureAlgorithm.PSS_SHA256)),
    "ES256": _checked("ES256", _p256),
    "EdDSA": _checked("EdDSA", _ed25519, hashed=False),
    "Ed25519": _checked("Ed25519", _ed25519, hashed=False),
}
"""The table of ``ALGORITHMS``, with faster entries."""
