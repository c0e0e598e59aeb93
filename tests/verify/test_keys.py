from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519

from authkit_verify._jose.key_strength import UnusableKey
from authkit_verify._jose.keys import Key, KeySet, make_key, pinned_key
from authkit_verify.testing import FakeKey

PEM = serialization.Encoding.PEM
RSA = FakeKey.generate("rsa", "RS256")
EC = FakeKey.generate("ec", "ES256")
ED = FakeKey.generate("ed", "EdDSA")


def key(fake: FakeKey, kid: str | None = None, only: str | None = None) -> Key:
    return make_key(fake.private_key.public_key(), kid=kid, only=only)


def test_a_key_is_found_by_its_id_and_only_where_it_fits() -> None:
    keys = KeySet([key(RSA, "a"), key(EC, "a"), key(ED, "b")])
    assert [found.algorithms for found in keys.named("a", "ES256")] == [{"ES256"}]
    assert keys.named("b", "ES256") == ()
    assert keys.named("c", "ES256") == ()
    assert keys.kids == ("a", "b")
    assert keys.has("b")
    assert not keys.has("c")


def test_a_repeated_id_is_tried_four_times_at_most() -> None:
    keys = KeySet([key(FakeKey.generate("x", "ES256"), "a") for _ in range(9)])
    assert len(keys.named("a", "ES256")) == 4
    assert len(keys.fitting("ES256")) == 9


def test_a_key_that_is_listed_again_takes_no_other_keys_place() -> None:
    keys = KeySet([*[key(EC, "a")] * 5, key(FakeKey.generate("x", "ES256"), "a")])
    assert len(keys.named("a", "ES256")) == len(keys) == 2
    assert KeySet([key(EC, "a")] * 2).repeated == ()
    assert len(KeySet([key(EC, "a"), key(EC, "a", only="ES256")])) == 1


def test_a_key_bound_to_one_algorithm_serves_no_other() -> None:
    assert key(RSA, only="PS256").algorithms == {"PS256"}
    with pytest.raises(UnusableKey):
        key(RSA, only="ES256")
    with pytest.raises(UnusableKey):
        key(RSA, only="RSA-OAEP")


def test_a_set_has_another_digest_exactly_when_its_keys_are_others() -> None:
    one = KeySet([key(EC, "a")])
    assert one.digest == KeySet([key(EC, "a")]).digest
    others = [KeySet([key(EC, "b")]), KeySet([key(FakeKey.generate("x", "ES256"), "a")]), KeySet()]
    assert one.digest not in {other.digest for other in others}


def test_keys_of_other_kinds_are_refused() -> None:
    for other in (
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
        dsa.generate_private_key(2048).public_key(),
        object(),
    ):
        with pytest.raises(UnusableKey):
            make_key(other)


@pytest.mark.parametrize("fake", [RSA, EC, ED])
def test_a_pin_may_be_a_key_or_a_certificate_with_or_without_an_id(fake: FakeKey) -> None:
    plain = pinned_key(fake.pem())
    assert plain.kid is None
    assert plain.digest == key(fake).digest
    assert pinned_key(("k", fake.pem().encode())).kid == "k"
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pin.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        .public_key(fake.private_key.public_key())
        .not_valid_before(now).not_valid_after(now + timedelta(days=1))
        .sign(EC.private_key, hashes.SHA256())  # type: ignore[arg-type]
    )  # fmt: skip
    assert pinned_key(certificate.public_bytes(PEM)).digest == plain.digest


def test_an_old_style_rsa_pem_can_be_pinned() -> None:
    public = RSA.private_key.public_key()
    assert pinned_key(public.public_bytes(PEM, serialization.PublicFormat.PKCS1)).digest == key(RSA).digest


def test_a_pin_that_is_private_weak_or_unreadable_stops_the_start() -> None:
    private = RSA.private_key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    weak = rsa.generate_private_key(65537, 1024).public_key()
    for pin in (
        private,
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        weak.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ):
        with pytest.raises(ValueError):
            pinned_key(pin)
