"""Signing keys, published keys and refresh secrets, as one immutable ``KeySet``.

A ``KeySource`` hands out the set in force; ``security.key_rotation`` says which key signs when. Keys come
from PEM; the algorithm follows from the key: RSA signs RS256, P-256 ES256, P-384 ES384, P-521 ES512, Ed25519
EdDSA (RFC 7518 section 3.1, RFC 8037 section 3.1). ``security.key_file`` reads ``keys.json``, and
``security.key_sources`` finds the keys of a process.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from authkit_issuer.errors import ConfigError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192  # those of ``authkit_verify/_jose/key_strength.py``
MIN_SECRET_BYTES = 32
SEALING_KEY_BYTES, MAX_SEALING_ID = 32, 2**31 - 1
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_CURVES = {"secp256r1": ("P-256", "ES256"), "secp384r1": ("P-384", "ES384"), "secp521r1": ("P-521", "ES512")}


def base64url(raw: bytes) -> str:
    """Return the bytes as base64url without padding (RFC 7515 section 2)."""
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A private key with the id it is published under."""

    kid: str
    private_key: PrivateKey = field(repr=False)

    @cached_property
    def alg(self) -> str:
        """The one algorithm this key signs with."""
        return algorithm(self.private_key.public_key())


@dataclass(frozen=True, kw_only=True)
class KeySet:
    """Everything secret or published that a service works with at one moment.

    ``signing`` is None for a service that only verifies. ``public`` holds every published key by kid, the
    signing key's among them. ``refresh_secrets`` maps an id from 0 to 255, never used twice, to its bytes.
    ``sealing_keys`` maps an id to the 32 bytes that seal the secrets of authenticator apps in the database;
    the highest id seals, and without any key there are no authenticator apps.
    """

    signing: SigningKey | None = field(repr=False)
    public: Mapping[str, PublicKey] = field(repr=False)
    refresh_secrets: Mapping[int, bytes] = field(repr=False)
    active_secret: int
    sealing_keys: Mapping[int, bytes] = field(default_factory=dict[int, bytes], repr=False)
    _derived: dict[tuple[str, int], bytes] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse what would stop tokens from verifying."""
        if self.active_secret not in self.refresh_secrets:
            raise ConfigError("The active refresh secret is not among the refresh secrets.")
        for number, secret in self.refresh_secrets.items():
            if not 0 <= number <= 255:
                raise ConfigError("A refresh secret's id must be between 0 and 255.")
            if len(secret) < MIN_SECRET_BYTES:
                raise ConfigError(f"Refresh secret {number} is shorter than {MIN_SECRET_BYTES} bytes.")
        if len(set(self.refresh_secrets.values())) != len(self.refresh_secrets):
            raise ConfigError("Two refresh secrets are the same.")
        for number, key in self.sealing_keys.items():
            if len(key) != SEALING_KEY_BYTES or not 0 <= number <= MAX_SEALING_ID:
                raise ConfigError(
                    f"Sealing key {number} must have {SEALING_KEY_BYTES} bytes, an id up to {MAX_SEALING_ID}."
                )
        signing = self.signing
        if signing is not None and not same_key(
            self.public.get(signing.kid), signing.private_key.public_key()
        ):
            raise ConfigError(f"The key published as {signing.kid!r} is not the one that signs.")

    def derive(self, name: str, secret_id: int | None = None) -> bytes:
        """Return the 32-byte sub-key of a refresh secret for this named use (HKDF-SHA256, RFC 5869)."""
        number = self.active_secret if secret_id is None else secret_id
        found = self._derived.get((name, number))
        if found is None:
            found = HKDF(hashes.SHA256(), 32, salt=None, info=f"authkit:{name}".encode()).derive(
                self.refresh_secrets[number]
            )
            self._derived[name, number] = found
        return found

    @cached_property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The JWK set (RFC 7517 section 5): the signing key first, the others by kid."""
        first = self.signing.kid if self.signing else None
        kids = sorted(self.public, key=lambda kid: (kid != first, kid))
        return {"keys": [public_jwk(self.public[kid], kid) for kid in kids]}

    @cached_property
    def jwks_body(self) -> bytes:
        """The JWK set as the bytes that are served."""
        return json.dumps(self.jwks, separators=(",", ":")).encode()

    @cached_property
    def jwks_etag(self) -> str:
        """The strong validator of ``jwks_body``: its quoted SHA-256 (RFC 9110 section 8.8.3)."""
        return f'"{hashlib.sha256(self.jwks_body).hexdigest()}"'

    @cached_property
    def pinned(self) -> tuple[tuple[str, str], ...]:
        """Every published key as ``(kid, PEM)``."""
        return tuple((kid, public_pem(key)) for kid, key in self.public.items())


class KeySource(Protocol):
    """Hands out the keys in force. ``current`` never blocks; ``refresh`` may read a file, off the loop."""

    def current(self) -> KeySet:
        """Return the keys in force now."""
        ...

    async def refresh(self) -> None:
        """Look for new keys; a broken new set is reported and the last good one kept."""
        ...


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """Keys that do not change while the process runs."""

    keys: KeySet

    def current(self) -> KeySet:
        """See ``KeySource``."""
        return self.keys

    async def refresh(self) -> None:
        """See ``KeySource``: nothing to look for."""


def load_private(pem: str, name: str) -> PrivateKey:
    """Read a PKCS#1, SEC 1 or PKCS#8 PEM, or raise ``ConfigError`` that names the setting."""
    try:
        key = serialization.load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{name} is not a readable private key in PEM.") from error
    _check(key, name)
    assert isinstance(key, PrivateKey)  # noqa: S101 - narrowed by _check
    return key


def load_public(pem: str, name: str) -> PublicKey:
    """Read an SPKI, PKCS#1 or certificate PEM, or raise ``ConfigError`` that names the setting."""
    try:
        data = pem.replace("\\n", "\n").encode()
        if b"BEGIN CERTIFICATE" in data:
            key: object = x509.load_pem_x509_certificate(data).public_key()
        else:
            key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{name} is not a readable public key in PEM.") from error
    _check(key, name)
    assert isinstance(key, PublicKey)  # noqa: S101 - narrowed by _check
    return key


def _check(key: object, name: str) -> None:
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise ConfigError(f"{name} must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits.")
    elif isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise ConfigError(f"{name} must be on P-256, P-384 or P-521.")
    elif not isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        raise ConfigError(f"{name} must be an RSA, EC or Ed25519 key.")


def algorithm(key: PublicKey) -> str:
    """Return the JWS algorithm this key is used with."""
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES[key.curve.name][1]
    return "EdDSA"


def same_key(one: PublicKey | None, other: PublicKey) -> bool:
    """True if both are the same public key."""
    return one is not None and public_pem(one) == public_pem(other)


def public_pem(key: PublicKey) -> str:
    """Return the key as SPKI PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def public_jwk(key: PublicKey, kid: str) -> dict[str, str]:
    """Return the public JWK (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2)."""
    return {**_members(key), "use": "sig", "alg": algorithm(key), "kid": kid}


def thumbprint(key: PublicKey) -> str:
    """Return the JWK thumbprint (RFC 7638): the same key has the same id in every process."""
    text = json.dumps(_members(key), separators=(",", ":"), sort_keys=True)
    return base64url(hashlib.sha256(text.encode()).digest())


def _members(key: PublicKey) -> dict[str, str]:
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _b64_int(numbers.n), "e": _b64_int(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point, size = key.public_numbers(), (key.key_size + 7) // 8
        curve = _CURVES[key.curve.name][0]
        return {"kty": "EC", "crv": curve, "x": _b64_int(point.x, size), "y": _b64_int(point.y, size)}
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw)}


def _b64_int(number: int, size: int | None = None) -> str:
    return base64url(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))
