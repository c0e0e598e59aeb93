"""The floors of the issuer: bare ASGI answers with nothing but what an action cannot do without.

    python -m beside.floors PORT CALLERS

The environment has the settings of the issuer. ``/hello`` says a word. ``/select/N`` runs
the statement that finds the account and session of caller N, and answers its row in JSON. ``/rotate/N``
rotates the session of caller N in one statement and signs a token with ES256. ``/hash`` verifies one password
in a thread. The issuer's own statements run on the driver's own pool.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import argon2
import uvicorn

from authkit_issuer import Config, Service
from authkit_issuer.domains.sessions.presented_tokens import AUTHENTICATE
from authkit_issuer.domains.sessions.rotation import ROTATE
from authkit_issuer.keys import SigningKey, base64url
from authkit_issuer.security import refresh_token
from authkit_issuer.security.access_token_signer import signature_of
from beside.accounts import PASSWORD, SAME_HASH

Answer = Callable[[int], Awaitable[bytes]]


@dataclass(slots=True)
class Caller:
    """A user with a session of their own."""

    user_id: str
    session_id: str
    key: bytes
    generation: int = 0


class Floors:
    """The answers, by the first part of the path."""

    def __init__(self, service: Service, callers: list[Caller]) -> None:
        assert service.pool is not None
        self._pool, self._config = service.pool, service.config
        signing = service.rt.keys.current().signing
        assert signing is not None
        self._signing: SigningKey = signing
        self._signature = signature_of(signing)
        self._callers = callers
        self._hasher = argon2.PasswordHasher()
        self.answers: dict[str, Answer] = {
            "hello": self.hello, "select": self.select, "rotate": self.rotate, "hash": self.hash,
        }  # fmt: skip
        schema = service.config.database_schema
        self._select, self._rotate = AUTHENTICATE.text(schema), ROTATE.one.text(schema)

    async def hello(self, _: int) -> bytes:
        return b'{"ok":true}'

    async def select(self, number: int) -> bytes:
        caller = self._callers[number]
        row = await self._pool.fetchrow(
            self._select, caller.session_id, caller.user_id, self._config.issuer, None
        )
        assert row is not None
        return json.dumps(dict(row), default=str).encode()

    async def rotate(self, number: int) -> bytes:
        caller = self._callers[number]
        row = await self._pool.fetchrow(
            self._rotate,
            caller.session_id,
            caller.generation,
            caller.key,
            None,
            None,
            self._config.issuer,
            None,
        )
        assert row is not None
        caller.generation += 1
        return json.dumps({"access_token": self._token(dict(row))}).encode()

    async def hash(self, _: int) -> bytes:
        await asyncio.to_thread(self._hasher.verify, SAME_HASH, PASSWORD)
        return b'{"ok":true}'

    def _token(self, row: dict[str, Any]) -> str:
        now = int(time.time())
        claims = row | {"iss": self._config.issuer, "aud": "bench", "iat": now, "exp": now + 900}
        header = base64url(json.dumps({"alg": self._signing.alg, "kid": self._signing.kid}).encode())
        signed = f"{header}.{base64url(json.dumps(claims, default=str).encode())}"
        signature = self._signature(signed.encode())
        return f"{signed}.{base64url(signature)}"

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        _, name, *rest = scope["path"].split("/")
        body = await self.answers[name](int(rest[0]) if rest else 0)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def caller_of(service: Service, number: int) -> Caller:
    user = await service.users.create(None, f"floor_{number}_{int(time.time())}")
    issued = await service.sessions.issue(user.id)
    decoded = refresh_token.decode(service.rt.keys.current(), service.config.issuer, issued.refresh_token)
    assert decoded is not None
    return Caller(user.id, decoded.session_id, decoded.key)


async def main() -> None:
    port, count = map(int, sys.argv[1:])
    async with await Service.open(Config.from_env(environment="production")) as service:
        callers = [await caller_of(service, number) for number in range(count)]
        config = uvicorn.Config(
            Floors(service, callers), port=port, loop="none", http="httptools", lifespan="off",
            log_level="error", access_log=False,
        )  # fmt: skip
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
