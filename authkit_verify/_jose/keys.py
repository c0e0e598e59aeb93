"""Public keys, key sets, and the source of a key set.

``key_strength`` refuses weak keys, ``algorithms.algorithms_of`` binds each to its algorithms, ``jwk`` reads
published ones, and ``_jwks.issuer_keys`` picks those that are tried for a token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from authkit_verify._jose.algorithms import ED25519_ALGORITHMS, PublicKey, algorithms_of
from authkit_verify._jose.key_strength import UnusableKey, check_strength

MAX_CANDIDATES = 4
"""Keys that are tried for one token if an issuer repeats a key id."""

Source = Literal["fresh", "stale", "last_known_good", "pinned", "introspection"]


class KeyState(msgspec.Struct, frozen=True, kw_only=True):
    """The source of the keys that admitted a request, and their age."""

    source: Source
    """``fresh``: within ``cache_ttl``. ``stale``: older, because the issuer is unreachable.
    ``last_known_good``: kept because the issuer's newest document held no usable key. ``pinned``: from the
    configuration. ``introspection``: no keys; the issuer itself confirmed an opaque token."""
    age: float
    """Seconds since the issuer confirmed the keys, or the opaque token; 0 for pinned keys."""


class Key(msgspec.Struct, frozen=True, eq=False):
    """A public key with its id and the algorithms it may verify.

    ``digest`` is the SHA-256 of the key itself (SPKI): two keys with equal digests are the same key.
    ``issuer`` is the one of several tenants that a provider publishes the key for, or their template.
    """

    kid: str | None
    algorithms: frozenset[str]
    public_key: PublicKey
    """Of the type that the algorithms are bound to."""
    digest: bytes
    issuer: str | None = None


class KeySet:
    """An immutable set of distinct keys, in the order of their document; key ids may repeat."""

    __slots__ = ("_by_kid", "_named", "digest", "keys", "names_issuers")

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self.keys = tuple({(key.kid, key.algorithms, key.digest, key.issuer): key for key in keys}.values())
        self.names_issuers = any(key.issuer is not None for key in self.keys)
        """True if a key is published for one issuer of several."""
        self._by_kid: dict[str, list[Key]] = {}
        for key in self.keys:
            if key.kid is not None:
                self._by_kid.setdefault(key.kid, []).append(key)
        self._named = {
            (kid, alg): tuple([key for key in same if alg in key.algorithms][:MAX_CANDIDATES])
            for kid, same in self._by_kid.items()
            for alg in frozenset().union(*(key.algorithms for key in same))
        }
        parts = [
            repr((key.kid, sorted(key.algorithms), key.digest, key.issuer)).encode() for key in self.keys
        ]
        self.digest = hashlib.sha256(b"\0".join(parts)).hexdigest()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def kids(self) -> tuple[str, ...]:
        """Every key id, each once, in document order."""
        return tuple(self._by_kid)

    @property
    def repeated(self) -> tuple[str, ...]:
        """Every key id that several keys share."""
        return tuple([kid for kid, same in self._by_kid.items() if len(same) > 1])

    def has(self, kid: str) -> bool:
        """True if any key has this id."""
        return kid in self._by_kid

    def named(self, kid: str, alg: str) -> tuple[Key, ...]:
        """Return the keys with this id that fit the algorithm, at most ``MAX_CANDIDATES``."""
        return self._named.get((kid, alg), ())

    def fitting(self, alg: str) -> tuple[Key, ...]:
        """Return every key that fits the algorithm."""
        return tuple([key for key in self.keys if alg in key.algorithms])


def make_key(
    public_key: object, *, kid: str | None = None, only: str | None = None, issuer: str | None = None
) -> Key:
    """Return a key for verification; ``only`` limits it to one algorithm. Raises UnusableKey."""
    if not isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise UnusableKey("not an RSA, EC or Ed25519 public key")
    check_strength(public_key)
    algorithms = algorithms_of(public_key)
    if only is not None:
        algorithms &= ED25519_ALGORITHMS if only in ED25519_ALGORITHMS else {only}
    if not algorithms:
        raise UnusableKey(
            f"its algorithm does not fit its type: {only!a:.60}" if only else "an unsupported curve"
        )
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an import of many milliseconds

    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Key(kid, algorithms, public_key, hashlib.sha256(der).digest(), issuer)


def pinned_key(pin: str | bytes | tuple[str, str | bytes]) -> Key:
    """Return the key of a pinned PEM. Raises ValueError: a bad pin must stop the startup."""
    from cryptography import x509  # noqa: PLC0415 - an import of many milliseconds
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - likewise

    kid, pem = pin if isinstance(pin, tuple) else (None, pin)
    if kid is not None and (not isinstance(kid, str) or not kid):
        raise ValueError(f"pinned_pems: a key id must be a non-empty string, not {kid!r}")
    data = pem.encode() if isinstance(pem, str) else pem
    if b"PRIVATE KEY" in data:
        raise ValueError("pinned_pems: a PEM is a private key; pin its public key or certificate")
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return make_key(x509.load_pem_x509_certificate(data).public_key(), kid=kid)
        return make_key(serialization.load_pem_public_key(data), kid=kid)
    except UnusableKey as error:
        raise ValueError(f"pinned_pems: a key cannot be used: {error}") from error
    except Exception as error:  # the library raises several unrelated errors for unreadable input
        raise ValueError("pinned_pems: a PEM is not a readable public key or certificate") from error
