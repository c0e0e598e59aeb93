"""An OpenID Connect provider on loopback: real sockets, real signatures, and every fault on request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

CLIENT, SECRET = "our client", "s3cret+with/odd:characters %"

HTML = {"content-type": "text/html"}
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Reply:
    """One answer. ``delay`` keeps the caller waiting until ``LoopbackProvider.go`` is set."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: bool = False


def as_json(value: Any, status: int = 200) -> Reply:
    return Reply(status=status, body=json.dumps(value).encode(), headers={"content-type": "application/json"})


@dataclass
class LoopbackProvider:
    """The provider; attributes may be changed at any time. ``person`` is who signs in."""

    clock: Callable[[], float]
    host: str = "127.0.0.1"
    port: int = 0
    person: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "person-1", "email": "Ada@example.test", "email_verified": True, "name": "Ada Lovelace",
            "preferred_username": "ada_l",
        }
    )  # fmt: skip
    claims: dict[str, Any] = field(default_factory=dict)
    """Members of the ID token that differ from what is right; None leaves one out."""
    algorithm: str = "RS256"
    token: Callable[[dict[str, Any]], str] | None = None
    """Makes the ID token, in place of signing the right one."""
    metadata: dict[str, Any] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    """Answers by path, in place of the right ones."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)
    """The parameters of the last authorization request."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    form_post: bool = False
    """Answers an authorization request by a form on a page of its own."""
    go: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    @property
    def issuer(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.go.set()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def approve(self, auth_url: str, **changes: str) -> dict[str, str]:
        """Do what the provider does once its user agreed: return the parameters of the callback."""
        query = dict(parse_qsl(urlsplit(auth_url).query))
        self.asked = query
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return {"code": code, "state": query["state"], **changes}

    @contextmanager
    def in_thread(self) -> Iterator[LoopbackProvider]:
        """Serve from a thread of its own, for tests without a loop."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result(20)
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result(20)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *lines = head.split("\r\n")
            headers = {name.lower(): value for name, _, value in (entry.partition(": ") for entry in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, target, _ = line.split(" ")
            reply = self._answer(method, urlsplit(target), headers, body.decode())
            if reply.delay:
                await self.go.wait()
            extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
            start = f"HTTP/1.1 {reply.status} X\r\ncontent-length: {len(reply.body)}\r\n{extra}"
            writer.write(f"{start}connection: close\r\n\r\n".encode() + reply.body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, target: Any, headers: dict[str, str], body: str) -> Reply:
        self.requests.append((method, target.path))
        answers: dict[str, Callable[[], Reply]] = {
            "/.well-known/openid-configuration": lambda: as_json(self._metadata()),
            "/jwks": lambda: as_json({"keys": self._keys()}),
            "/token": lambda: self._token(headers, dict(parse_qsl(body))),
            "/authorize": lambda: self._authorize(target.geturl()),
        }
        given = self.replies.get(target.path)
        return given or answers.get(target.path, lambda: Reply(status=404))()

    def _authorize(self, target: str) -> Reply:
        back = self.approve(target)
        place = self.asked["redirect_uri"]
        if self.form_post:
            return Reply(body=_form(place, back).encode(), headers=HTML)
        return Reply(status=302, headers={"location": f"{place}?{urlencode(back)}"})

    def _metadata(self) -> dict[str, Any]:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            **self.metadata,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _keys(self) -> list[dict[str, Any]]:
        return [
            json.loads(RSAAlgorithm.to_jwk(RSA_KEY.public_key())) | {"kid": "rsa", "use": "sig"},
            json.loads(ECAlgorithm.to_jwk(EC_KEY.public_key())) | {"kid": "ec", "alg": "ES256"},
        ]

    def _token(self, headers: dict[str, str], form: dict[str, str]) -> Reply:
        if self._client(headers, form) != (CLIENT, SECRET):
            return as_json({"error": "invalid_client"}, 401)
        asked = self.codes.pop(form["code"], None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return as_json({"error": "invalid_grant"}, 400)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if "code_challenge" in asked and _b64(digest) != asked["code_challenge"]:
            return as_json({"error": "invalid_grant"}, 400)
        person = {"sub": asked["sub"]} if "sub" in asked else {}
        proof = {"auth_time": int(self.clock())} if "max_age" in asked else {}
        claims = self.right_claims(asked["nonce"]) | proof | person | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        token = self.token(claims) if self.token else self.sign(claims)
        return as_json({"access_token": "the access token", "token_type": "mac", "id_token": token})

    def _client(self, headers: dict[str, str], form: dict[str, str]) -> tuple[str, str]:
        if "authorization" in headers:
            raw = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode()
            name, _, secret = raw.partition(":")
            return unquote_plus(name), unquote_plus(secret)
        return form.get("client_id", ""), form.get("client_secret", "")

    def right_claims(self, nonce: str) -> dict[str, Any]:
        now = int(self.clock())
        half = hashlib.sha256(b"the access token").digest()[:16]
        return {
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce,
            "at_hash": _b64(half), **self.person,
        }  # fmt: skip

    def sign(self, claims: dict[str, Any], algorithm: str | None = None) -> str:
        chosen = algorithm or self.algorithm
        key, kid = (EC_KEY, "ec") if chosen == "ES256" else (RSA_KEY, "rsa")
        return jwt.encode(claims, key, algorithm=chosen, headers={"kid": kid})


def _form(action: str, fields: dict[str, str]) -> str:
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    return f'<form method="post" action="{action}">{inputs}</form><script>document.forms[0].submit()</script>'


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
