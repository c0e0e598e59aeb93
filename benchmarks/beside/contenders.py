"""The issuer, its floors and the application that its verifier protects, as servers of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from authkit_issuer import Config, Service
from beside.accounts import PASSWORD, SAME_HASH, address
from beside.conversation import Asking, Refreshing, Same, ask, http
from beside.processes import Process, free_port
from beside.stage import Stage

LOGIN, OWN_LOGIN, WHO = "login", "login, own default hash", "who am I"
REFRESH, PROTECTED, JWKS = "refresh", "protected route", "key set"
AUTHKIT, VERIFIER = "authkit", "authkit verifier, FastAPI"
HELLO, HASH = "floor: bare ASGI answer", "floor: bare ASGI and one hash"
SELECT, ROTATE = "floor: one SELECT, JSON", "floor: one rotating UPDATE, ES256"
CALLERS = int(os.environ.get("BENCHMARK_CALLERS", "64"))
"""Users of each kind; each connection has one of its own. A test has fewer: each of them signs in."""

Parts = dict[tuple[str, str], list[Asking]]
"""What the connections ask, by action and candidate."""

ISSUER, AUDIENCE = "https://issuer.example.test", "bench"
_BUCKETS = (
    "auth_user_me", "auth_token", "auth_password_login", "auth_password_login:account", "auth_logout",
    "default",
)  # fmt: skip
_BENCHMARKS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server: how it is started, and what it is asked.

    ``command`` and ``parts`` get the port. ``ready`` is a path that the server answers.
    """

    name: str
    command: Callable[[int], list[str]]
    ready: str
    parts: Callable[[int], Awaitable[Parts]]
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path = _BENCHMARKS

    def start(self, folder: Path) -> Process:
        port = free_port()
        output = folder / f"{self.name.replace(' ', '-')}.log"
        return Process(
            self.command(port), port=port, ready=self.ready, output=output, env=self.env, cwd=self.cwd
        )


def settings(stage: Stage) -> dict[str, str]:
    """Return the settings of a production server; rates are high, but counted."""
    keys = stage.folder / "keys"
    if not keys.exists():
        generate = ["keys", "generate", "--dir", str(keys), "--alg", "ES256"]
        subprocess.run([authkit(), *generate], check=True, capture_output=True)
    return {
        "AUTHKIT_ENVIRONMENT": "production", "AUTHKIT_ISSUER": ISSUER, "AUTHKIT_AUDIENCES": AUDIENCE,
        "AUTHKIT_DATABASE_URL": stage.dsn, "AUTHKIT_REDIS_URL": stage.redis_url,
        "AUTHKIT_KEYS_DIR": str(keys), "AUTHKIT_TRUSTED_PROXIES": "127.0.0.1/32",
        "AUTHKIT_RATE_LIMITS": json.dumps(dict.fromkeys(_BUCKETS, "1000000/1m")),
        "AUTHKIT_ACCESS_TOKEN_DURATION": "14400",
        # 64 logins at once wait longer on one core than users should.
        "AUTHKIT_HASH_QUEUE": "256", "AUTHKIT_HASH_DEADLINE": "60",
    }  # fmt: skip


def authkit() -> str:
    return str(Path(sys.executable).with_name("authkit"))


async def ours(stage: Stage) -> list[Contender]:
    """Return the issuer, the floors and the protected application; the issuer gets its users."""
    env = settings(stage)
    await _make_users(env)
    issuer = Contender(
        name=AUTHKIT,
        command=lambda port: [authkit(), "serve", "--port", str(port)],
        ready="/.well-known/jwks.json",
        parts=issuer_parts,
        env=env,
    )
    floors = Contender(
        name="floors",
        command=lambda port: [sys.executable, "-m", "beside.floors", str(port), str(CALLERS)],
        ready="/hello",
        parts=_floor_parts,
        env=env,
    )
    return [issuer, floors]


def protected_by(issuer: Process) -> Contender:
    """Return the protected application; its parts sign in at the issuer."""
    keys = f"http://127.0.0.1:{issuer.port}/.well-known/jwks.json"
    return Contender(
        name="verifier",
        command=lambda port: [sys.executable, "-m", "beside.protected", str(port), ISSUER, AUDIENCE, keys],
        ready="/hello",
        parts=partial(_protected_parts, issuer.port),
    )


async def _make_users(env: dict[str, str]) -> None:
    """Create the users; those of logins are others, because a login ends the oldest session of its user."""
    async with await Service.open(Config.from_env(env, environment="production")) as service:
        for kind in ("login", "session"):
            for number in range(CALLERS):
                user = await service.users.add(email=address(kind, number), verified=True)
                await service.passwords.upsert_hash(user.id, SAME_HASH, "argon2id")


def _login(kind: str, number: int) -> bytes:
    body = {"identifier": address(kind, number), "password": PASSWORD}
    return http("POST", "/auth/password/login", number, body=body)


async def _tokens(port: int) -> list[dict[str, Any]]:
    return [(await ask(port, _login("session", number)))[1] for number in range(CALLERS)]


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def exchange(number: int, token: str) -> bytes:
    body = {"grant_type": "refresh_token", "refresh_token": token}
    return http("POST", "/auth/token", number, body=body)


async def issuer_parts(port: int) -> Parts:
    tokens = await _tokens(port)
    logins: list[Asking] = [Same(_login("login", number)) for number in range(CALLERS)]
    return {
        (LOGIN, AUTHKIT): logins,
        (OWN_LOGIN, AUTHKIT): logins,
        (WHO, AUTHKIT): [
            Same(http("GET", "/auth/user/me", number, bearer(pair["access_token"])))
            for number, pair in enumerate(tokens)
        ],
        (REFRESH, AUTHKIT): [
            Refreshing(
                pair["refresh_token"], partial(exchange, number), lambda said: str(said["refresh_token"])
            )
            for number, pair in enumerate(tokens)
        ],
        (JWKS, AUTHKIT): [Same(http("GET", "/.well-known/jwks.json", number)) for number in range(CALLERS)],
    }


async def _floor_parts(_: int) -> Parts:
    def floor(path: str) -> list[Asking]:
        return [Same(http("GET", path.format(number), number)) for number in range(CALLERS)]

    return {
        (LOGIN, HASH): floor("/hash"),
        (WHO, SELECT): floor("/select/{}"),
        (REFRESH, ROTATE): floor("/rotate/{}"),
        (PROTECTED, HELLO): floor("/hello"),
        (JWKS, HELLO): floor("/hello"),
    }


async def _protected_parts(issuer: int, _: int) -> Parts:
    tokens = await _tokens(issuer)
    return {
        (PROTECTED, VERIFIER): [
            Same(http("GET", "/protected", number, bearer(pair["access_token"])))
            for number, pair in enumerate(tokens)
        ]
    }
