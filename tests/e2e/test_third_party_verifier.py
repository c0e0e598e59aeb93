"""The npm package ``jose``, which knows nothing of us, verifies our tokens by our published keys."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest

from fakes import node
from fakes.commands import run
from fakes.deployment import AUDIENCE, ISSUER, Deployment, Person, deployed

pytestmark = pytest.mark.timeout(180)

# One key set for all tokens, kept as jose keeps it and fetched again for a kid it does not know.
VERIFIER = """
import { createInterface } from 'node:readline';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const [url, issuer, audience] = process.argv.slice(1);
const keys = createRemoteJWKSet(new URL(url), { cooldownDuration: 0 });
const terms = { issuer, audience, typ: 'at+jwt', requiredClaims: ['sub', 'sid', 'jti', 'client_id', 'exp'] };
for await (const token of createInterface({ input: process.stdin })) {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, terms);
    console.log(JSON.stringify({ alg: protectedHeader.alg, sub: payload.sub }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.code ?? String(error) }));
  }
}
"""


def algorithm(token: str) -> str:
    return str(jwt.get_unverified_header(token)["alg"])


def rotate(issuer: Deployment, folder: Path, ada: Person, to: str) -> None:
    """Let another key sign, and return once the running server does."""
    issuer.command("keys", "rotate", "--now", "--yes", "--dir", str(folder), "--alg", to)
    deadline = time.monotonic() + 60
    while algorithm(ada.access) != to:
        assert time.monotonic() < deadline, f"the server does not sign with {to}"
        issuer.refresh(ada)


def tampered(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def test_jose_verifies_every_algorithm_over_rotations(tmp_path: Path, database_url: str) -> None:
    node.need("jose")
    keys = tmp_path / "data"
    assert run("keys", "generate", "--dir", str(keys), "--alg", "RS256").returncode == 0
    settings = {"AUTHKIT_KEY_RELOAD_INTERVAL": "0.1"}
    with deployed(tmp_path, "memory", database_url, "", **settings) as issuer:
        url = f"{issuer.servers[0].url}/.well-known/jwks.json"
        with node.asking(VERIFIER, url, ISSUER, AUDIENCE) as verify:
            ada = issuer.join("ada_l")
            tokens = [ada.access]
            for other in ("ES256", "EdDSA"):
                rotate(issuer, keys, ada, other)
                tokens.append(ada.access)
            # The first token came before the other keys were published, and is still good.
            expected = [{"alg": alg, "sub": ada.id} for alg in ("EdDSA", "ES256", "RS256")]
            assert [verify(token) for token in reversed(tokens)] == expected
            for token in tokens:
                assert verify(tampered(token)) == {"error": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"}
        with node.asking(VERIFIER, url, ISSUER, "elsewhere") as verify:
            assert verify(ada.access) == {"error": "ERR_JWT_CLAIM_VALIDATION_FAILED"}


def test_jose_fetches_the_keys_again_when_a_new_one_signs(tmp_path: Path, database_url: str) -> None:
    node.need("jose")
    settings = {"AUTHKIT_KEY_RELOAD_INTERVAL": "0.1"}
    with deployed(tmp_path, "memory", database_url, "", **settings) as issuer:
        url = f"{issuer.servers[0].url}/.well-known/jwks.json"
        with node.asking(VERIFIER, url, ISSUER, AUDIENCE) as verify:
            ada = issuer.join("ada_l")
            old = ada.access
            assert verify(old) == {"alg": "RS256", "sub": ada.id}
            rotate(issuer, tmp_path / "data", ada, "ES256")
            assert verify(ada.access) == {"alg": "ES256", "sub": ada.id}
            assert verify(old) == {"alg": "RS256", "sub": ada.id}
