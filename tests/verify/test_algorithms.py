from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from authkit_verify._jose.algorithms import ALGORITHMS, Check, algorithms_of
from authkit_verify._jose.fast_algorithms import FAST_ALGORITHMS
from authkit_verify.testing import FakeKey

BACKENDS = pytest.mark.parametrize("checks", [ALGORITHMS, FAST_ALGORITHMS], ids=["cryptography", "fast"])


@BACKENDS
@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_a_good_signature_differs_from_a_bad_one(alg: str, checks: dict[str, Check]) -> None:
    key = FakeKey.generate("k", alg)
    public = key.private_key.public_key()
    signature = key.sign(b"signed")
    check = checks[alg]
    assert check(public, b"signed", signature)
    assert not check(public, b"Signed", signature)
    assert not check(public, b"signed", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not check(public, b"signed", signature[:-1])
    assert not check(public, b"signed", signature + b"\0")
    assert not check(public, b"signed", b"")
    assert not check(public, b"signed", bytes(len(signature)))
    assert not check(public, b"signed", b"\xff" * len(signature))
    assert not check(FakeKey.generate("k", alg).private_key.public_key(), b"signed", signature)


@pytest.mark.parametrize("name", ["none", "HS256", "HS384", "HS512", "rs256", "ES256K", "RSA1_5", ""])
def test_no_table_entry_can_admit_a_weak_or_symmetric_algorithm(name: str) -> None:
    assert name not in ALGORITHMS
    assert FAST_ALGORITHMS.keys() == ALGORITHMS.keys()


def test_a_key_fits_the_algorithms_of_its_type_and_curve_only() -> None:
    assert algorithms_of(FakeKey.generate("k", "RS256").private_key.public_key()) == {
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    }  # fmt: skip
    assert algorithms_of(ec.generate_private_key(ec.SECP384R1()).public_key()) == {"ES384"}
    assert algorithms_of(ec.generate_private_key(ec.SECP256K1()).public_key()) == frozenset()
    assert algorithms_of(ed25519.Ed25519PrivateKey.generate().public_key()) == {"EdDSA", "Ed25519"}


@BACKENDS
@pytest.mark.parametrize("alg", ["PS256", "PS384", "PS512", "RS256"])
def test_a_signature_without_its_leading_zeros_is_not_a_second_spelling(
    alg: str, checks: dict[str, Check]
) -> None:
    """OpenSSL takes it for PSS; a token would have two spellings."""
    fake = FakeKey.generate("k", alg)
    key, check = fake.private_key.public_key(), checks[alg]
    signed, signature = next(
        (text, made)
        for text in (b"%d" % number for number in range(100_000))
        if (made := fake.sign(text))[0] == 0
    )
    assert check(key, signed, signature)
    assert not check(key, signed, signature[1:])
    assert not check(key, signed, b"\0" + signature)


@BACKENDS
def test_a_der_encoded_ecdsa_signature_is_not_a_second_spelling(checks: dict[str, Check]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    from cryptography.hazmat.primitives import hashes

    der = key.sign(b"signed", ec.ECDSA(hashes.SHA256()))
    assert not checks["ES256"](key.public_key(), b"signed", der)
