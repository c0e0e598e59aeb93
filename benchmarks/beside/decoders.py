"""Other libraries asked for the same: signature, issuer, audience and times of a token."""

from __future__ import annotations

import importlib
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from authkit_verify.testing import FakeIssuer
from beside.tokens import AUDIENCE

with warnings.catch_warnings():
    importlib.import_module("authlib.deprecate")  # it sets a filter of its own, so it comes before ours

    warnings.simplefilter("ignore")
    from authlib.jose import JsonWebKey, JsonWebToken

Decode = Callable[[str], object]


def pyjwt(module: ModuleType, issuer: FakeIssuer) -> Decode:
    public: Any = issuer.key.private_key.public_key()

    def decode(token: str) -> object:
        return module.decode(token, public, [issuer.algorithm], audience=AUDIENCE, issuer=issuer.issuer)

    return decode


def pyjwk_client(module: ModuleType, issuer: FakeIssuer, url: str) -> Decode:
    client = module.PyJWKClient(url)

    def decode(token: str) -> object:
        key = client.get_signing_key_from_jwt(token).key
        return module.decode(token, key, [issuer.algorithm], audience=AUDIENCE, issuer=issuer.issuer)

    return decode


def joserfc(issuer: FakeIssuer) -> Decode:
    key = joserfc_jwk.import_key(issuer.key.jwk())
    rules = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer.issuer},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    )

    def decode(token: str) -> object:
        found = joserfc_jwt.decode(token, key, algorithms=[issuer.algorithm])
        rules.validate(found.claims)
        return found

    return decode


def authlib(issuer: FakeIssuer) -> Decode:
    reader = JsonWebToken([issuer.algorithm])
    key = JsonWebKey.import_key(issuer.key.jwk())
    options = {
        "iss": {"essential": True, "value": issuer.issuer},
        "aud": {"essential": True, "value": AUDIENCE},
        "exp": {"essential": True},
    }

    def decode(token: str) -> object:
        claims = reader.decode(token, key, claims_options=options)
        claims.validate()
        return claims

    return decode


@contextmanager
def published(issuer: FakeIssuer) -> Iterator[str]:
    """Serve the key set over HTTP, as ``PyJWKClient`` wants it."""
    body = json.dumps({"keys": [key.jwk() for key in issuer.keys]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
