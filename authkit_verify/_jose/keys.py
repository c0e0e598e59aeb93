"""Public keys, key sets, and the source of a key set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192  # RFC 7518, 3.3; the upper bound keeps one verification cheap
MAX_CANDIDATES = 4
"""Keys that are tried for one token if an issuer repeats a key id."""

_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_ED25519_ALGORITHMS = frozenset({"EdDSA", "Ed25519"})
"""Two names of one algorithm (RFC 9864): a key that is named for one serves the other."""
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})

Source = Literal["fresh", "stale", "last_known_good", "pinned", "introspection"]


class KeyState(msgspec.Struct, frozen=True, kw_only=True):
    """The source of the keys that admitted a request, and their age."""

    source: Source
    """``fresh``: within ``cache_ttl``. ``stale``: older, because the issuer is unreachable.
    ``last_known_good``: kept because the issuer's newest document held no usable key. ``pinned``: from the
    configuration. ``introspection``: no keys; the issuer itself confirmed an opaque token."""
    age: float
    """Seconds since the issuer confirmed the keys, or the opaque token; 0 for pinned keys."""


class UnusableKey(ValueError):
    """The key must not verify signatures; the message gives the reason."""


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

    __slots__ = ("_by_kid", "_named", "digest", "keys")

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self.keys = tuple({(key.kid, key.algorithms, key.digest, key.issuer): key for key in keys}.values())
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


def fitting(key: PublicKey) -> frozenset[str]:
    """Return the algorithms that fit this key: those of its type and, for an EC key, of its curve."""
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA_ALGORITHMS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return frozenset({_CURVES[key.curve.name]} if key.curve.name in _CURVES else ())
    return _ED25519_ALGORITHMS


def make_key(
    public_key: object, *, kid: str | None = None, only: str | None = None, issuer: str | None = None
) -> Key:
    """Return a key for verification; ``only`` limits it to one algorithm. Raises UnusableKey."""
    if not isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise UnusableKey("not an RSA, EC or Ed25519 public key")
    if isinstance(public_key, rsa.RSAPublicKey):
        _check_rsa(public_key.public_numbers())
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        _check_ed25519(public_key.public_bytes_raw())
    algorithms = fitting(public_key)
    if only is not None:
        algorithms &= _ED25519_ALGORITHMS if only in _ED25519_ALGORITHMS else {only}
    if not algorithms:
        raise UnusableKey(
            f"its algorithm does not fit its type: {only!a}" if only else "an unsupported curve"
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


def _check_ed25519(raw: bytes) -> None:
    if int.from_bytes(raw, "little") & (2**255 - 1) in _SMALL_ORDER:
        raise UnusableKey("an Ed25519 key of small order")


def _check_rsa(numbers: rsa.RSAPublicNumbers) -> None:
    n, e = numbers.n, numbers.e
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        raise UnusableKey(
            f"an RSA key of {n.bit_length()} bits; accepted are {MIN_RSA_BITS} to {MAX_RSA_BITS}"
        )
    if e < 3 or e % 2 == 0 or e.bit_length() > 33:
        raise UnusableKey("an RSA key with an unsafe exponent")
    if all(n % prime in residues for prime, residues in _roca()):
        raise UnusableKey("an RSA key that can be factored (CVE-2017-15361)")


# The seven y-coordinates, reduced or not, of points of order 1, 2, 4 and 8: anyone can make signatures for
# such a key (RFC 8032, 5.1; Chalkias et al., Taming the Many EdDSAs, 2020).
_P = 2**255 - 19
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = frozenset({0, 1, _P - 1, _P, _P + 1, _Y8, _P - _Y8})


# Keys of the flawed library are powers of 65537 modulo every small prime; a random key is so with
# probability below 2^-27 (Nemec et al., The Return of Coppersmith's Attack, 2017).
_PRIMES = (
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
)  # fmt: skip


@cache
def _roca() -> tuple[tuple[int, frozenset[int]], ...]:
    """Return the powers of 65537 modulo each prime; made with the first RSA key, not with the import."""
    return tuple(
        [(prime, frozenset(pow(65537, power, prime) for power in range(prime))) for prime in _PRIMES]
    )
