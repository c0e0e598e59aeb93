"""Whatever arrives: no forgery is accepted, and nothing but TokenError comes out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify._jose.compact import read_object
from authkit_verify._jose.jwk import UnusableDocument, read_jwks
from authkit_verify.testing import FakeIssuer, FakeKey, encode, seal
from fakes.tokens import mutate
from fakes.verdicts import accepted_or_code as outcome

Rounds = Callable[[int], int]
NOW = 1_900_000_000.0


def verifier(issuer: FakeIssuer, backend: Any = "cryptography") -> Verifier:
    """A verifier without a network, whose answers depend on the token alone."""
    accept = IssuerAccept(
        issuer=issuer.issuer, audiences=["api"], pinned_only=True,
        pinned_pems=[(key.kid, key.pem()) for key in issuer.keys],
    )  # fmt: skip
    config = AcceptConfig(issuers=[accept], algorithms=["ES256", issuer.algorithm], signature_backend=backend)
    return Verifier(config, clock=lambda: NOW)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("alg", "backend"), [("EdDSA", "cryptography"), ("RS256", "fast"), ("EdDSA", "fast")]
)
async def test_no_mutated_token_is_accepted_or_raises_anything_else(
    rounds: Rounds, alg: str, backend: str
) -> None:
    dice = random.Random(20)
    issuer = FakeIssuer(algorithm=alg, clock=lambda: NOW)
    judge = verifier(issuer, backend)
    tokens = [issuer.mint(f"user-{n}", roles=["a"], scope="b c").encode() for n in range(8)]
    for token in tokens:
        assert await outcome(judge, token.decode()) == "accepted"
    codes: set[str] = set()
    for _ in range(rounds(200_000)):
        token = mutate(dice.choice(tokens), dice)
        if token not in tokens:
            codes.add(await outcome(judge, token.decode("latin-1")))
    assert "accepted" not in codes
    assert {"invalid_token", "disallowed_alg"} <= codes
    await issuer.client.aclose()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = st.dictionaries(
    st.sampled_from(
        [
            "iss",
            "sub",
            "aud",
            "exp",
            "nbf",
            "iat",
            "scope",
            "scp",
            "roles",
            "org",
            "amr",
            "auth_time",
            "email",
            "x",
        ]
    ),
    JSON,
    max_size=6,
)
HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]), JSON, max_size=4)
SIGNER = FakeIssuer(algorithm="EdDSA", clock=lambda: NOW)
OTHER = FakeKey.generate(SIGNER.key.kid, "EdDSA")


@given(header=HEADERS, claims=CLAIMS, genuine=st.booleans())
async def test_signed_tokens_of_any_content_give_claims_or_a_token_error(
    header: dict[str, Any], claims: dict[str, Any], *, genuine: bool
) -> None:
    head = {"alg": "EdDSA", "kid": SIGNER.key.kid} | header
    body = {"iss": SIGNER.issuer, "sub": "u", "aud": "api", "exp": NOW + 9} | claims
    key = SIGNER.key if genuine else OTHER
    token = seal(key, json.dumps(head).encode(), json.dumps(body).encode())
    result = await outcome(verifier(SIGNER), token)
    assert genuine or result != "accepted"


@given(data=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_the_fast_reader_accepts_nothing_the_strict_one_refuses(data: bytes) -> None:
    from authkit_verify._jose.compact import _read_slowly

    try:
        fast: Any = read_object(data)
    except TokenError:
        return
    assert fast == _read_slowly(data)


@given(parts=st.lists(st.binary(max_size=30), max_size=6))
async def test_any_dotted_bytes_are_refused(parts: list[bytes]) -> None:
    token = ".".join(map(encode, parts))
    assert await outcome(verifier(SIGNER), token) != "accepted"


def stirred(value: Any, dice: random.Random) -> Any:
    """Return a JSON value with something in it changed."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        name = dice.choice(list(value))
        return value | {name: stirred(value[name], dice)}
    if isinstance(value, list) and value and dice.random() < 0.8:
        at = dice.randrange(len(value))
        return [*value[:at], stirred(value[at], dice), *value[at + 1 :]]
    if isinstance(value, str) and dice.random() < 0.6:
        return mutate(value.encode(), dice).decode("latin-1")
    return dice.choice([None, 1, -1, 1.5, True, "", "x", [], {}, ["verify"], "AQAB", "A" * 700, {"keys": []}])


@pytest.mark.timeout(1800)
def test_no_mutated_key_set_raises_anything_else(rounds: Rounds) -> None:
    dice = random.Random(21)
    algs = ("RS256", "ES256", "ES512", "EdDSA")
    original = {"keys": [FakeKey.generate(alg, alg).jwk() for alg in algs]}
    usable = 0
    for _ in range(rounds(20_000)):
        document = json.dumps(stirred(original, dice)).encode()
        if dice.random() < 0.3:
            document = mutate(document, dice)
        try:
            usable += len(read_jwks(document).keys)
        except UnusableDocument:
            continue
    assert usable > 0
