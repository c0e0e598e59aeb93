"""A running issuer as its users meet it: one server or several, behind sockets, with mails over SMTP."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from authkit_issuer.config.limits import ACCOUNT, BUCKETS
from fakes.commands import Server, run, serving
from fakes.keys import as_settings
from fakes.mail_server import MailServer, mail_server

Mode = Literal["memory", "redis"]

ISSUER, AUDIENCE, PASSWORD = "https://id.example.test", "api", "correct horse battery"
_GENEROUS = "100000/1m"
UNLIMITED = json.dumps({f"{bucket}{about}": _GENEROUS for bucket in BUCKETS for about in ("", ACCOUNT)})
"""Rates that many users from one address do not reach."""


@dataclass(slots=True)
class Person:
    """A user who is signed in."""

    id: str
    name: str
    email: str
    access: str
    refresh: str

    def keep(self, tokens: Mapping[str, Any]) -> None:
        """Go on with another pair of tokens."""
        self.access, self.refresh = tokens["access_token"], tokens["refresh_token"]


class Deployment:
    """A running issuer: each request goes to the next of its servers."""

    def __init__(
        self, servers: list[Server], client: httpx.Client, box: MailServer, settings: dict[str, str]
    ):
        self.servers, self.mails, self.settings = servers, box, settings
        self._client = client
        self._turn = itertools.cycle(servers)

    def ask(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **options: Any
    ) -> httpx.Response:
        """Send one request; ``token`` is the bearer's, ``options`` are httpx's."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        url = next(self._turn).url + path
        return self._client.request(method, url, json=body, headers=headers, **options)

    def expect(
        self, status: int, method: str, path: str, body: object = None, *, token: str | None = None
    ) -> Any:
        """Send one request and return the body of the answer, which must have this status."""
        answer = self.ask(method, path, body, token=token)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def join(self, name: str) -> Person:
        """Register, confirm with the code from the mail, and return the new user."""
        address = f"{name}@example.test"
        who = {"identifier": address, "username": name, "password": PASSWORD}
        started = self.expect(202, "POST", "/auth/register", who)
        proof = {"email": address, "code": self.mails.code(address)}
        proof["registration_id"] = started["registration_id"]
        tokens = self.expect(200, "POST", "/auth/email/verify/confirm", proof)
        me = self.expect(200, "GET", "/auth/user/me", token=tokens["access_token"])
        return Person(me["id"], name, address, tokens["access_token"], tokens["refresh_token"])

    def log_in(self, person: Person) -> None:
        """Open another session with the password."""
        who = {"identifier": person.email, "password": PASSWORD}
        person.keep(self.expect(200, "POST", "/auth/password/login", who))

    def refresh(self, person: Person, **more: str) -> None:
        """Exchange the refresh token; ``org`` asks for an organization's token."""
        body = {"grant_type": "refresh_token", "refresh_token": person.refresh, **more}
        person.keep(self.expect(200, "POST", "/auth/token", body))

    def expect_refused_refresh(self, refresh: str, reason: str, **more: str) -> None:
        """Exchange a refresh token that must be refused for this reason."""
        body = {"grant_type": "refresh_token", "refresh_token": refresh, **more}
        answer = self.expect(400, "POST", "/auth/token", body)
        assert answer["metadata"]["reason"] == reason, answer

    def command(self, *arguments: str) -> str:
        """Run an ``authkit`` command over the same database and return what it printed."""
        done = run(*arguments, **self.settings)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def deployed(
    folder: Path, mode: Mode, database_url: str, redis_url: str, *, count: int = 2, **settings: str
) -> Iterator[Deployment]:
    """Run an issuer while the block runs: one in development, or with Redis ``count`` production servers."""
    with ExitStack() as stack:
        box = stack.enter_context(mail_server())
        common = _common(database_url, box) | settings
        if mode == "redis":
            common |= as_settings() | {"AUTHKIT_REDIS_URL": redis_url}
            arguments: tuple[str, ...] = ("--port", "0")
        else:
            count, arguments = 1, ("--dev", "--port", "0", "--data-dir", str(folder / "data"))
            # Commands over the same database read their keys in the folder at hand unless told otherwise.
            common |= {"AUTHKIT_KEYS_DIR": str(folder / "data")}
        servers = start(stack, count, arguments, common)
        client = stack.enter_context(httpx.Client(timeout=60, trust_env=False))
        yield Deployment(servers, client, box, common)


def start(stack: ExitStack, count: int, arguments: tuple[str, ...], settings: dict[str, str]) -> list[Server]:
    """Start servers side by side; the stack stops them."""
    starting = [serving(*arguments, **settings) for _ in range(count)]
    for server in starting:
        stack.push(server)
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda server: server.__enter__(), starting))


def _common(database_url: str, box: MailServer) -> dict[str, str]:
    return {
        "AUTHKIT_ISSUER": ISSUER,
        "AUTHKIT_AUDIENCES": AUDIENCE,
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_SMTP_URL": box.url,
        "AUTHKIT_SMTP_FROM": "Example <auth@example.test>",
        "AUTHKIT_RATE_LIMITS": UNLIMITED,
        "AUTHKIT_ARGON2_MEMORY_KIB": "64",
        "AUTHKIT_ARGON2_TIME": "1",
    }
