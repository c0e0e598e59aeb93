"""A running issuer that sends SMS messages; what it sent stands in the inboxes of its servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx

from fakes.commands import Server
from fakes.deployment import ISSUER, UNLIMITED, Deployment, Mode, start
from fakes.keys import as_settings
from fakes.mail_server import MailServer
from fakes.patience import PATIENCE


class Inboxes:
    """The inboxes of all servers as one; every message is handed out once."""

    def __init__(self, servers: list[Server], client: httpx.Client) -> None:
        self._servers, self._client = servers, client
        self._seen: set[tuple[str, str]] = set()

    def code(self, to: str) -> str:
        """Return the code of the next message to an address or number, once it is there."""
        return str(self._next(to, "code"))

    def token(self, to: str) -> str:
        """Return the token of the next message with a link."""
        return str(self._next(to, "token"))

    def _next(self, to: str, secret: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for key, message in self._fresh(to):
                if message.get(secret):
                    self._seen.add(key)
                    return message[secret]
            time.sleep(0.02)
        raise AssertionError(f"no {secret} went to {to}")

    def _fresh(self, to: str) -> list[tuple[tuple[str, str], dict[str, Any]]]:
        found: list[tuple[tuple[str, str], dict[str, Any]]] = []
        for server in self._servers:
            answer = self._client.get(f"{server.url}/dev/inbox", params={"to": to}).json()
            found += [((server.url, message["id"]), message) for message in answer["messages"]]
        return sorted(
            (entry for entry in found if entry[0] not in self._seen), key=lambda entry: entry[1]["at"]
        )


@contextmanager
def texting(
    folder: Path, mode: Mode, database_url: str, redis_url: str, **settings: str
) -> Iterator[Deployment]:
    """Run an issuer in development: one server, or two that share Redis and keys."""
    common = as_settings() | {
        "AUTHKIT_ISSUER": ISSUER,
        "AUTHKIT_AUDIENCES": "api",
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_RATE_LIMITS": UNLIMITED,
        "AUTHKIT_CODE_COOLDOWN": "0",
        "AUTHKIT_ARGON2_MEMORY_KIB": "64",
        "AUTHKIT_ARGON2_TIME": "1",
    }
    if mode == "redis":
        common["AUTHKIT_REDIS_URL"] = redis_url
    common |= settings
    arguments = ("--dev", "--port", "0", "--data-dir", str(folder / "data"))
    with ExitStack() as stack:
        servers = start(stack, 2 if mode == "redis" else 1, arguments, common)
        client = stack.enter_context(httpx.Client(timeout=60, trust_env=False))
        yield Deployment(servers, client, cast("MailServer", Inboxes(servers, client)), common)
