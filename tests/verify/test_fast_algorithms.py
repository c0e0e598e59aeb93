from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from authkit_verify import AcceptConfig, TokenError, Verifier
from authkit_verify._jose import fast_algorithms
from authkit_verify._jose.algorithms import PublicKey
from authkit_verify.testing import FakeIssuer, FakeKey


def config(issuer: FakeIssuer, backend: Any = "fast") -> AcceptConfig:
    return AcceptConfig(issuers=[issuer.accept()], algorithms=[issuer.algorithm], signature_backend=backend)


def refuse(_key: PublicKey) -> fast_algorithms.Bound:
    raise ValueError("not a key for me")


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA", "RS384", "ES512"])
async def test_a_verifier_with_faster_libraries_accepts_and_refuses_the_same(alg: str) -> None:
    issuer = FakeIssuer("https://fast.test", algorithm=alg)
    other = FakeKey(issuer.key.kid, alg, FakeKey.generate("other", alg).private_key)
    async with Verifier(config(issuer), http_client=issuer.client) as verifier:
        assert (await verifier.verify(issuer.mint(sub="ada"))).user_id == "ada"
        for token in (issuer.mint(key=other), issuer.mint()[:-4] + "AAAA"):
            with pytest.raises(TokenError) as caught:
                await verifier.verify(token)
            assert caught.value.code == "invalid_token"
        issuer.rotate()
        assert (await verifier.verify(issuer.mint(sub="bob"))).user_id == "bob"
        explained = await verifier.explain(issuer.mint())
        assert explained.accepted
    await issuer.client.aclose()


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_a_key_that_a_faster_library_does_not_take_is_checked_by_cryptography(alg: str) -> None:
    fake = FakeKey.generate("k", alg)
    key = fake.private_key.public_key()
    check = fast_algorithms._checked(alg, refuse)
    assert check(key, b"signed", fake.sign(b"signed"))
    assert not check(key, b"Signed", fake.sign(b"signed"))


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_what_a_faster_library_fails_at_is_checked_by_cryptography(alg: str) -> None:
    def fail(_signed: bytes, _signature: bytes) -> bool:
        raise RuntimeError("2051 (AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED)")

    fake = FakeKey.generate("k", alg)
    key = fake.private_key.public_key()
    check = fast_algorithms._checked(alg, lambda _: fail)
    assert check(key, b"signed", fake.sign(b"signed"))
    assert not check(key, b"Signed", fake.sign(b"signed"))


def test_each_key_is_parsed_once_and_few_keys_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_algorithms, "_MAX_KEYS", 2)
    parsed: list[PublicKey] = []

    def bind(key: PublicKey) -> fast_algorithms.Bound:
        parsed.append(key)
        return lambda _signed, _signature: len(parsed) == 1

    check = fast_algorithms._checked("EdDSA", bind)
    fakes = [FakeKey.generate(f"k{number}", "EdDSA") for number in range(3)]
    keys = [fake.private_key.public_key() for fake in fakes]
    assert check(keys[0], b"signed", b"")
    assert check(keys[0], b"signed", b"")
    assert parsed == keys[:1]
    for key in (keys[1], keys[2], keys[2], keys[0]):  # the third key drops the first two
        assert not check(key, b"signed", b"")
    assert parsed == [keys[0], keys[1], keys[2], keys[0]]


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_the_faster_libraries_are_really_asked(alg: str) -> None:
    fake = FakeKey.generate("k", alg)
    blind: Any = SimpleNamespace(public_bytes=fake.private_key.public_key().public_bytes)
    assert fast_algorithms.FAST_ALGORITHMS[alg](blind, b"signed", fake.sign(b"signed"))
    with pytest.raises(AttributeError):
        fast_algorithms.ALGORITHMS[alg](blind, b"signed", fake.sign(b"signed"))


def test_a_backend_that_is_not_installed_or_not_known_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = FakeIssuer("https://fast.test")
    for odd in ("openssl", ["fast"], None):
        with pytest.raises(ValueError, match="cryptography or fast"):
            config(issuer, odd)
    monkeypatch.delitem(sys.modules, "authkit_verify._jose.fast_algorithms")
    monkeypatch.setitem(sys.modules, "awscrt.crypto", None)
    with pytest.raises(ValueError, match=r"authkit\[fast\]"):
        config(issuer)
    assert config(issuer, "cryptography")
