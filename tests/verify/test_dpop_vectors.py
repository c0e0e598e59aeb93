"""Proofs that others made: those of RFC 9449, of joserfc and of jose for node. And damaged ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jws

from authkit_verify import DPoP, Proof, TokenError, Verifier
from authkit_verify._policy.proof.binding import Binding
from authkit_verify._policy.proof.dpop_proof import ProofChecker
from authkit_verify.config import AcceptConfig
from authkit_verify.testing import FakeClient, FakeIssuer, encode, seal
from fakes.node import asking, need
from fakes.tokens import mutate

Rounds = Callable[[int], int]
URL = "https://api.test/orders"
NOW = 1_900_000_000.0


async def test_the_proof_of_rfc_9449_section_7_1_is_accepted_once_in_its_time() -> None:
    proof = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZ"
        "OXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIs"
        "ImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJj"
        "ZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05y"
        "V0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6"
        "Fy1dqd-jfxSYoMxhAJpLjA"
    )
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    assert encode(hashlib.sha256(token.encode()).digest()) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    binding = Binding("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", None)
    shown = Proof(dpop=proof, method="GET", url="https://resource.example.org/protectedresource")
    now = [1562262618.0]
    checker = ProofChecker(DPoP(), lambda: now[0])
    await checker.check(token, binding, shown)
    with pytest.raises(TokenError, match="used before"):
        await checker.check(token, binding, shown)
    with pytest.raises(TokenError, match="ath"):
        await checker.check(token + "a", binding, shown)
    with pytest.raises(TokenError, match="another key"):
        await checker.check(token, Binding("1" + "A" * 42, None), shown)
    now[0] += 301
    with pytest.raises(TokenError, match="iat"):
        await checker.check(token, binding, shown)


@pytest.mark.parametrize(
    ("alg", "kty", "parameter"),
    [
        ("ES256", "EC", "P-256"), ("ES384", "EC", "P-384"), ("ES512", "EC", "P-521"),
        ("RS256", "RSA", 2048), ("PS512", "RSA", 2048), ("Ed25519", "OKP", "Ed25519"),
    ],
)  # fmt: skip
async def test_proofs_of_joserfc_are_accepted(issuer: FakeIssuer, alg: str, kty: Any, parameter: Any) -> None:
    key = jwk.generate_key(kty, parameter)
    token = issuer.mint(cnf={"jkt": key.thumbprint()})
    claims = {
        "jti": "1", "htm": "GET", "htu": URL, "iat": int(issuer.clock()),
        "ath": encode(hashlib.sha256(token.encode()).digest()),
    }  # fmt: skip
    header = {"typ": "dpop+jwt", "alg": alg, "jwk": key.as_dict(private=False)}
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    made = jws.serialize_compact(header, json.dumps(claims), key, registry=registry)
    async with issuer.verifier() as verifier:
        await verifier.verify(token, Proof(dpop=made, method="GET", url=URL))


JOSE = """
import { createInterface } from "node:readline";
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } from "jose";
const alg = process.argv[1];
const { publicKey, privateKey } = await generateKeyPair(alg);
const jwk = await exportJWK(publicKey);
for await (const line of createInterface({ input: process.stdin })) {
  const { claims } = JSON.parse(line);
  const answer = claims === null ? await calculateJwkThumbprint(jwk)
    : await new SignJWT(claims).setProtectedHeader({ typ: "dpop+jwt", alg, jwk }).sign(privateKey);
  console.log(JSON.stringify(answer));
}
"""


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_proofs_of_jose_for_node_are_accepted(alg: str) -> None:
    need("jose")
    issuer = FakeIssuer()
    with asking(JOSE, alg) as ask:
        token = issuer.mint(cnf={"jkt": ask('{"claims": null}')})
        claims = {
            "jti": "1", "htm": "GET", "htu": URL, "iat": int(time.time()),
            "ath": encode(hashlib.sha256(token.encode()).digest()),
        }  # fmt: skip
        made = ask(json.dumps({"claims": claims}))
    asyncio.run(issuer.verifier().verify(token, Proof(dpop=made, method="GET", url=URL)))


ISSUER = FakeIssuer(algorithm="EdDSA", clock=lambda: NOW)
CLIENT = FakeClient(algorithm="EdDSA", clock=lambda: NOW)
THIEF = FakeClient(algorithm="EdDSA", clock=lambda: NOW)
TOKEN = ISSUER.mint(cnf=CLIENT.cnf)


def judge() -> Verifier:
    accept = ISSUER.accept(pinned_only=True, pinned_pems=[ISSUER.key.pem()])
    return Verifier(AcceptConfig(issuers=[accept]), clock=lambda: NOW)


async def outcome(verifier: Verifier, proof: str) -> str:
    try:
        await verifier.verify(TOKEN, Proof(dpop=proof, method="GET", url=URL))
    except TokenError as error:
        return error.code
    return "accepted"


@pytest.mark.timeout(1800)
async def test_no_mutated_proof_is_accepted_or_raises_anything_else(rounds: Rounds) -> None:
    dice, verifier = random.Random(22), judge()
    proofs = [CLIENT.proof(TOKEN, "GET", URL, nonce="n").encode() for _ in range(8)]
    assert await outcome(verifier, proofs[0].decode()) == "accepted"
    codes: set[str] = set()
    for _ in range(rounds(100_000)):
        proof = mutate(dice.choice(proofs), dice)
        if proof not in proofs:
            codes.add(await outcome(verifier, proof.decode("latin-1")))
    assert codes == {"invalid_dpop_proof"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = ["kty", "crv", "x", "y", "n", "e", "d", "k", "alg", "use", "key_ops", "kid"]
KEY = st.dictionaries(st.sampled_from(MEMBERS), JSON)
HEADER = st.dictionaries(
    st.sampled_from(["typ", "alg", "jwk", "kid", "crit", "b64", "jku"]), JSON | KEY, max_size=3
)
CLAIMS = st.dictionaries(
    st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce", "exp", "x"]), JSON, max_size=4
)


@given(header=HEADER, claims=CLAIMS, thief=st.booleans())
async def test_proofs_of_any_content_give_claims_or_a_token_error(
    header: dict[str, Any], claims: dict[str, Any], *, thief: bool
) -> None:
    maker = THIEF if thief else CLIENT
    jwk_of_maker = {name: maker.key.jwk()[name] for name in ("kty", "crv", "x")}
    head = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk_of_maker} | header
    right = {
        "jti": "1", "htm": "GET", "htu": URL, "iat": NOW,
        "ath": encode(hashlib.sha256(TOKEN.encode()).digest()),
    }  # fmt: skip
    proof = seal(maker.key, json.dumps(head).encode(), json.dumps(right | claims).encode())
    result = await outcome(judge(), proof)
    assert result in {"accepted", "invalid_dpop_proof"}
    assert not thief or result == "invalid_dpop_proof"


@given(text=st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
async def test_any_text_in_place_of_a_proof_is_refused(text: str) -> None:
    assert await outcome(judge(), text) == "invalid_dpop_proof"
