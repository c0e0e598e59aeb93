"""The keys that are refused although they are well-formed: too short, too long, or known to be breakable.

The curves that a key may be on are in ``algorithms.algorithms_of``.
"""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from authkit_verify._jose.algorithms import PublicKey

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192  # RFC 7518, 3.3; the upper bound keeps one verification cheap


class UnusableKey(ValueError):
    """The key must not verify signatures; the message gives the reason."""


def check_strength(key: PublicKey) -> None:
    """Raise UnusableKey for a weak key."""
    if isinstance(key, rsa.RSAPublicKey):
        check_rsa(key.public_numbers())
    if isinstance(key, ed25519.Ed25519PublicKey):
        _check_ed25519(key.public_bytes_raw())


def _check_ed25519(raw: bytes) -> None:
    if int.from_bytes(raw, "little") & (2**255 - 1) in _SMALL_ORDER:
        raise UnusableKey("an Ed25519 key of small order")


def check_rsa(numbers: rsa.RSAPublicNumbers) -> None:
    """Raise UnusableKey for an RSA key outside the bounds, with an unsafe exponent, or with a known flaw."""
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
