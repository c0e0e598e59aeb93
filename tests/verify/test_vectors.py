"""Other people's vectors, read in place: every signature layer case and every issuer's real tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from authkit_verify import AcceptConfig, IssuerAccept, TokenError, Verifier
from authkit_verify._jose.algorithms import ALGORITHMS, Check
from authkit_verify._jose.compact import read_header, split
from authkit_verify._jose.fast_algorithms import FAST_ALGORITHMS
from authkit_verify._jose.jwk import read_jwk, read_jwks
from authkit_verify._jose.key_strength import UnusableKey
from authkit_verify.testing import encode

Read = Callable[[str], Any]
BACKENDS = pytest.mark.parametrize("checks", [ALGORITHMS, FAST_ALGORITHMS], ids=["cryptography", "fast"])


def is_signed(token: str, document: dict[str, Any], checks: Mapping[str, Check] = ALGORITHMS) -> bool:
    """Judge the signature layer alone: parse, find keys, verify."""
    try:
        parts = split(token)
        header = read_header(parts.header_segment)
    except TokenError:
        return False
    keys = read_jwks(json.dumps(document).encode()).keys
    check = checks.get(header.alg)
    if check is None:
        return False
    found = keys.named(header.kid, header.alg) if header.kid is not None else keys.fitting(header.alg)
    return any(check(key.public_key, parts.signed, parts.signature) for key in found)


@BACKENDS
def test_every_wycheproof_signature_is_judged_as_recorded(
    testdata: Read, checks: Mapping[str, Check]
) -> None:
    wrong: list[str] = []
    rows = testdata("wycheproof/asymmetric_jws.json")["rows"]
    for row in rows:
        jwk = row["jwk"]
        document = jwk if "keys" in jwk else {"keys": [jwk]}
        accepted = is_signed(row["token"], document, checks)
        # A signature over nothing is a fine signature and no token: claims are a JSON object.
        expected = row["expect"] == "accept" and ".." not in row["token"]
        if row["level"] != "choice" and accepted != expected:
            wrong.append(f"{row['id']} {row['group']} {row['comment']}: {accepted}")
    assert wrong == []
    assert len(rows) > 300


@BACKENDS
def test_the_worked_examples_of_the_rfcs_are_judged_as_recorded(
    testdata: Read, checks: Mapping[str, Check]
) -> None:
    wrong: list[str] = []
    examples = testdata("rfc/rfc_examples.json")
    for row in examples["jws"]:
        token = row.get("token") or row.get("json") or row["token_or_json"]
        keys = row.get("keys") or ([row["key"]] if row.get("key") else [])
        symmetric = row.get("alg") == "HS256"
        expected = bool(row.get("signature_valid")) and not symmetric
        if is_signed(token, {"keys": keys}, checks) != expected:
            wrong.append(row["name"])
    assert wrong == []
    for row in examples["jwt"]:
        assert not is_signed(row["token"], {"keys": []})


def test_a_thumbprint_example_is_the_same_key_we_read(testdata: Read) -> None:
    for row in testdata("rfc/rfc_examples.json")["thumbprints"]:
        try:
            assert read_jwk(row["jwk"]).algorithms
        except UnusableKey:
            pytest.fail(row["name"])


async def verdict(issuer: dict[str, Any], row: dict[str, Any]) -> str:
    """Verify one real token with the real key set; return "accept" or "reject"."""
    configured = row["configure"]
    body = json.dumps(issuer["jwks_http"]["body"]).encode()
    audience = configured["audience"]
    accept = IssuerAccept(
        issuer=configured["issuer"],
        audiences=[audience] if audience else [],
        any_audience=not audience,
        jwks_url="https://keys.test/jwks.json",
    )
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body)))
    config = AcceptConfig(issuers=[accept], algorithms=configured["algorithms"])
    async with client, Verifier(config, http_client=client, clock=lambda: 1_800_000_000.0) as verifier:
        try:
            claims = await verifier.verify(row["token"])
        except TokenError:
            return "reject"
    assert claims.to_dict() == row["claims"]
    return "accept"


async def test_real_tokens_of_other_issuers_are_judged_as_recorded(testdata: Read) -> None:
    wrong: list[str] = []
    for issuer in testdata("issuers/fixtures.json")["issuers"]:
        for row in issuer["tokens"]:
            found = await verdict(issuer, row)
            if found != row["expect"]:
                wrong.append(f"{issuer['name']} {row['kind']}: {found}")
    assert wrong == []


async def test_the_tokens_of_an_issuer_survive_a_sloppy_spelling_of_its_keys(testdata: Read) -> None:
    for issuer in testdata("issuers/fixtures.json")["issuers"]:
        sloppy = {
            "keys": [
                {n: v + "==" if n in {"n", "x", "y"} else v for n, v in key.items()}
                for key in issuer["jwks_http"]["body"]["keys"]
            ]
        }
        row = issuer["tokens"][0]
        assert await verdict(issuer | {"jwks_http": {"body": sloppy}}, row) == row["expect"]


def test_an_unpadded_vector_and_ours_are_spelled_alike() -> None:
    assert encode(b"\xfb\xff") == "-_8"
