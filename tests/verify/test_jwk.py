from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify._jose.jwk import MAX_KEYS, UnusableDocument, read_jwk, read_jwks
from authkit_verify._jose.key_strength import UnusableKey
from authkit_verify._jose.keys import make_key
from authkit_verify.testing import FakeKey

RSA = FakeKey.generate("rsa", "RS256")
EC = FakeKey.generate("ec", "ES256")
ED = FakeKey.generate("ed", "EdDSA")


def document(*members: Any) -> bytes:
    return json.dumps({"keys": members}).encode()


@pytest.mark.parametrize("fake", [RSA, EC, ED])
def test_a_published_key_is_the_key_that_signs(fake: FakeKey) -> None:
    key = read_jwk(fake.jwk())
    names = {"EdDSA", "Ed25519"} if fake is ED else {fake.alg}
    assert (key.kid, key.algorithms) == (fake.kid, names)
    assert key.digest == make_key(fake.private_key.public_key()).digest


def test_alg_use_and_kid_may_be_missing() -> None:
    bare = {name: value for name, value in RSA.jwk().items() if name not in {"alg", "use", "kid"}}
    key = read_jwk(bare)
    assert key.kid is None
    assert {"RS256", "PS512"} <= key.algorithms


def test_padding_the_standard_alphabet_and_leading_zeros_are_read() -> None:
    plain = RSA.jwk()
    n = base64.urlsafe_b64decode(plain["n"] + "==")
    sloppy = plain | {"n": base64.b64encode(b"\0" + n).decode()}
    assert read_jwk(sloppy).digest == read_jwk(plain).digest


def test_a_coordinate_that_lost_its_leading_zeros_is_read() -> None:
    while True:
        fake = FakeKey.generate("k", "ES256")
        x = base64.urlsafe_b64decode(fake.jwk()["x"] + "==")
        if x[0] == 0:
            break
    short = fake.jwk() | {"x": base64.urlsafe_b64encode(x[1:]).decode().rstrip("=")}
    assert read_jwk(short).digest == read_jwk(fake.jwk()).digest


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"}, {"use": ["sig"]}, {"key_ops": ["encrypt"]},
        {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"alg": "RS384"},
        {"alg": 1}, {"alg": "ES384"}, {"alg": "ES521"}, {"kid": 1}, {"kid": "k" * 300}, {"kty": "oct"},
        {"kty": "AKP"}, {"kty": None}, {"crv": "P-384"}, {"crv": "secp256k1"}, {"crv": 1},
        {"x": None}, {"x": ""}, {"x": 1},
        {"x": "A" * 43}, {"x": "!!!!"}, {"x": "é"}, {"x": "A" * 500}, {"x": "A"}, {"y": "AQ"},
    ],
)  # fmt: skip
def test_a_key_for_something_else_or_of_no_use_is_skipped(change: dict[str, Any]) -> None:
    with pytest.raises(UnusableKey):
        read_jwk(EC.jwk() | change)


def test_what_is_said_of_a_key_has_a_limit() -> None:
    with pytest.raises(UnusableKey, match="does not fit its type") as refused:
        read_jwk(EC.jwk() | {"alg": "x" * 10_000})
    assert len(str(refused.value)) < 200


def test_one_bad_key_spoils_no_other() -> None:
    bad: list[Any] = [
        None, 1, "x", [], {}, {"kty": "RSA"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "oct", "k": "AA"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}, {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "RSA", "n": "AA", "e": "AA"}, EC.jwk() | {"y": "AAAA"},
    ]  # fmt: skip
    for position in range(len(bad) + 1):
        reading = read_jwks(document(*bad[:position], ED.jwk(), *bad[position:]))
        assert reading.keys.kids == ("ed",)
        assert len(reading.skipped) == len(bad)


def test_a_private_key_serves_with_its_public_half_and_raises_an_alarm() -> None:
    exported = {"d": "AAAA", "key_ops": ["sign"], "ext": True}
    reading = read_jwks(document(EC.jwk() | exported, ED.jwk()))
    assert reading.keys.kids == ("ec", "ed")
    assert len(reading.alarms) == 1


def test_a_secret_of_an_unusable_key_raises_the_alarm_too() -> None:
    reading = read_jwks(
        document({"kty": "oct", "k": "AAAA"}, EC.jwk() | {"use": "enc", "d": "AAAA"}, ED.jwk())
    )
    assert reading.keys.kids == ("ed",)
    assert len(reading.alarms) == 2


def test_keys_beyond_the_hundredth_are_not_read() -> None:
    reading = read_jwks(document(*[ED.jwk() | {"kid": f"k{n}"} for n in range(MAX_KEYS + 5)]))
    assert len(reading.keys) == MAX_KEYS
    assert any("beyond" in note for note in reading.skipped)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"keys":{}}', b'{"keys":null}',
     b"<html>", b"\xff\xfe", b"[" * 100_000, b"{"],
)  # fmt: skip
def test_what_is_not_a_key_set_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(UnusableDocument):
        read_jwks(body)


def test_the_key_sets_of_real_providers_are_read_as_recorded(testdata: Callable[[str], Any]) -> None:
    wrong: list[str] = []
    for entry in testdata("jwks/index.json")["documents"]:
        if entry["kind"] != "jwks":
            continue
        body = testdata(f"jwks/{entry['file']}")
        members = body.get("body", body)["keys"]
        for member, recorded in zip(members, entry["keys"], strict=True):
            try:
                read_jwk(member)
                usable = True
            except UnusableKey:
                usable = False
            if usable != (recorded["verdict"] in {"usable", "lax"}):
                wrong.append(f"{entry['file']} {recorded['kid']}: {recorded['verdict']}")
    assert wrong == []


def test_the_rfc_key_sets_yield_their_signature_keys(testdata: Callable[[str], Any]) -> None:
    found = {row["name"]: row["doc"] for row in testdata("rfc/rfc_examples.json")["jwk"]}
    public = read_jwks(json.dumps(found["RFC 7517 A.1 public key set"]).encode())
    assert len(public.keys) == 1  # the other one is for encryption
    private = read_jwks(json.dumps(found["RFC 7517 A.2 private key set"]).encode())
    assert (len(private.keys), len(private.alarms)) == (1, 2)  # the other one is for encryption
    assert len(read_jwks(json.dumps(found["RFC 7517 A.3 symmetric key set"]).encode()).keys) == 0
