from __future__ import annotations

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from authkit_verify._jose.key_strength import UnusableKey, check_rsa
from authkit_verify._jose.keys import make_key
from authkit_verify.testing import FakeKey

RSA = FakeKey.generate("rsa", "RS256")


@pytest.mark.parametrize("bits", [1024, 2040])
def test_a_short_rsa_key_is_refused(bits: int) -> None:
    with pytest.raises(UnusableKey, match="bits"):
        make_key(rsa.generate_private_key(65537, bits).public_key())


def test_an_rsa_key_may_have_8192_bits_and_not_one_more() -> None:
    longest, longer = (rsa.RSAPublicNumbers(65537, 2**bits - 1).public_key() for bits in (8192, 8193))
    assert "RS256" in make_key(longest).algorithms
    with pytest.raises(UnusableKey, match="8193 bits"):
        make_key(longer)


@pytest.mark.parametrize("e", [1, 2, 65536, 2**64 + 1])
def test_an_unsafe_exponent_is_refused(e: int) -> None:
    n = RSA.private_key.public_key().public_numbers().n  # type: ignore[union-attr]
    with pytest.raises(UnusableKey, match="exponent"):
        check_rsa(rsa.RSAPublicNumbers(e, n))


def test_a_key_of_the_generator_with_the_known_flaw_is_refused() -> None:
    """Every such key is a power of 65537 modulo the product of the small primes (CVE-2017-15361)."""
    product = math.prod(number for number in range(3, 168) if all(number % less for less in range(2, number)))
    flawed = pow(65537, 99, product) + product * (2**2047 // product + 1)
    flawed += product * (1 - flawed % 2)
    with pytest.raises(UnusableKey, match="factored"):
        check_rsa(rsa.RSAPublicNumbers(65537, flawed))
    check_rsa(rsa.RSAPublicNumbers(65537, flawed + 2))


def test_a_key_that_anybody_can_sign_for_is_unusable() -> None:
    """Ed25519 has eight points of small order, some of them with a second spelling (RFC 8032, 5.1)."""
    p = 2**255 - 19
    d = -121_665 * pow(121_666, -1, p) % p
    eighths = {y for root in roots(1 + d, p) for y in roots((root - 1) * pow(d, -1, p), p)}
    assert len(eighths) == 2
    for y in {0, 1, p - 1, p, p + 1} | eighths:
        for sign in (0, 1):
            raw = (y | sign << 255).to_bytes(32, "little")
            with pytest.raises(UnusableKey, match="small order"):
                make_key(ed25519.Ed25519PublicKey.from_public_bytes(raw))
    assert make_key(ed25519.Ed25519PrivateKey.generate().public_key())


def roots(square: int, p: int) -> set[int]:
    """Return the square roots modulo ``p``, which is 5 modulo 8."""
    root = pow(square, (p + 3) // 8, p)
    found = {root, root * pow(2, (p - 1) // 4, p) % p}
    return {sign * one % p for one in found for sign in (1, -1) if (one * one - square) % p == 0}
