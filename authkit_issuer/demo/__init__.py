"""``authkit demo``: issuer, protected application and client in three processes, over real sockets.

This process is the client. Every step prints its response; the exit status is 1 after the first unexpected
one.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from authkit_issuer.config import process_environment
from authkit_issuer.server.listener import bind

GRACE = 2.0
"""Seconds in which a rotated refresh token still works; short here, so that the replay is soon."""
EMAIL, PASSWORD = "ada@example.test", "correct horse battery"
START_TIMEOUT = 60.0


class Failed(Exception):
    """A step had an unexpected response."""


def run() -> int:
    """Run every step; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="authkit-demo-") as folder:
        Path(folder).chmod(0o711)  # the PostgreSQL of root runs as another user, which must enter
        try:
            asyncio.run(_play(Path(folder)))
        except (Failed, TimeoutError, httpx.HTTPError) as failure:
            print(f"FAILED: {failure or type(failure).__name__}", flush=True)  # noqa: T201
            return 1
    print("The demo is over: every response was as expected.", flush=True)  # noqa: T201
    return 0


async def _play(folder: Path) -> None:
    async with _processes(folder) as story:
        await story.walk()


class Story:
    """The client, its tokens and the number of the step."""

    def __init__(self, client: httpx.AsyncClient, issuer: str, app: str, folder: Path) -> None:
        """Use the URLs of the two servers and the issuer's data folder."""
        self.client, self.issuer, self.app, self.folder = client, issuer, app, folder
        self.step = 0

    async def walk(self) -> None:
        """Run every step in order."""
        await self._sign_up()
        tokens = await self._log_in()
        await self._call_app(tokens)
        await self._rotate_keys()
        await self._refresh_and_replay(tokens)
        await self._log_out(await self._log_in())

    async def _sign_up(self) -> None:
        person = {"identifier": EMAIL, "username": "ada_l", "password": PASSWORD}
        started = await self._post("register", "/auth/register", person, 202)
        code = await self._code()
        self._say("read the code from the inbox", code)
        confirm = {"email": EMAIL, "code": code, "registration_id": started["registration_id"]}
        await self._post("confirm the address", "/auth/email/verify/confirm", confirm, 200)

    async def _code(self) -> str:
        """Return the code of the newest mail, which is sent after the response: wait for it."""
        async with asyncio.timeout(30):
            while True:
                answer = await self.client.get(f"{self.issuer}/dev/inbox", params={"to": EMAIL})
                for message in answer.json()["messages"]:
                    return str(message["code"])
                await asyncio.sleep(0.05)

    async def _log_in(self) -> dict[str, Any]:
        body = {"identifier": EMAIL, "password": PASSWORD}
        return await self._post("log in with the password", "/auth/password/login", body, 200)

    async def _call_app(self, tokens: dict[str, Any]) -> None:
        good = tokens["access_token"]
        await self._app("call the protected app", good, 200)
        head, body, signature = good.split(".")
        first = "A" if signature[0] != "A" else "B"
        await self._app("a tampered token", f"{head}.{body}.{first}{signature[1:]}", 401)
        await self._app("no token at all", None, 401)

    async def _rotate_keys(self) -> None:
        before = await self._first_kid()
        command = ("-m", "authkit_issuer.cli", "keys", "rotate", "--now", "--yes", "--dir", str(self.folder))
        rotation = await _spawn(command, _environment(), self.folder / "rotation.log")
        if await rotation.wait() != 0:
            raise Failed("keys rotate did not work")
        async with asyncio.timeout(30):
            while (kid := await self._first_kid()) == before:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.1)
        self._say("keys rotate --now", f"the issuer signs with {kid[:12]}…")
        tokens = await self._log_in()
        await self._app("the app accepts the new key's token", tokens["access_token"], 200)

    async def _first_kid(self) -> str:
        answer = await self.client.get(f"{self.issuer}/.well-known/jwks.json")
        return str(answer.json()["keys"][0]["kid"])

    async def _refresh_and_replay(self, tokens: dict[str, Any]) -> None:
        old = tokens["refresh_token"]
        new = (await self._refresh("refresh", old, 200))["refresh_token"]
        again = (await self._refresh("the same refresh again, at once", old, 200))["refresh_token"]
        if again != new:
            raise Failed("a repeated refresh within the grace returned another successor")
        self._say("both got the same successor", "yes")
        newest = (await self._refresh("refresh with the successor", new, 200))["refresh_token"]
        await asyncio.sleep(GRACE + 0.5)
        await self._refresh("the old refresh token after a pause: a replay", old, 400)
        await self._refresh("the session has ended for every token", newest, 400)

    async def _log_out(self, tokens: dict[str, Any]) -> None:
        access = {"authorization": f"Bearer {tokens['access_token']}"}
        await self._ask("log out", "DELETE", f"{self.issuer}/auth/logout", 200, headers=access)
        await self._refresh("refresh after logging out", tokens["refresh_token"], 400)

    async def _refresh(self, name: str, token: str, status: int) -> dict[str, Any]:
        body = {"grant_type": "refresh_token", "refresh_token": token}
        return await self._post(name, "/auth/token", body, status)

    async def _post(self, name: str, path: str, body: dict[str, str], status: int) -> dict[str, Any]:
        return await self._ask(name, "POST", self.issuer + path, status, json=body)

    async def _app(self, name: str, token: str | None, status: int) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        await self._ask(name, "GET", self.app, status, headers=headers)

    async def _ask(self, name: str, method: str, url: str, status: int, **kwargs: Any) -> dict[str, Any]:
        answer = await self.client.request(method, url, **kwargs)
        body: dict[str, Any] = answer.json()
        detail = body.get("hello") or body.get("error") or ""
        self._say(name, f"{answer.status_code} {detail}".rstrip())
        if answer.status_code != status:
            raise Failed(f"{name}: expected {status}, got {answer.status_code}: {answer.text}")
        return body

    def _say(self, name: str, result: str) -> None:
        self.step += 1
        print(f"{self.step:2d}. {name:<48} {result}", flush=True)  # noqa: T201


@asynccontextmanager
async def _processes(folder: Path) -> AsyncGenerator[Story, None]:
    """Start issuer and application on free ports, wait for both, and stop them at the end."""
    ports = [_free_port(), _free_port()]
    issuer, app = (f"http://127.0.0.1:{port}" for port in ports)
    serve = ("-m", "authkit_issuer.cli", "serve", "--dev", "--port", str(ports[0]), "--data-dir", str(folder))
    protected = ("-m", "authkit_issuer.demo.protected", issuer, "authkit", str(ports[1]))
    print(f"issuer {issuer}   protected app {app}", flush=True)  # noqa: T201
    logs = [folder / "issuer.log", folder / "app.log"]
    started = [
        await _spawn(arguments, _environment(), log)
        for arguments, log in zip((serve, protected), logs, strict=True)
    ]
    try:
        # The environment may name a proxy, which httpx would use for loopback addresses too.
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            for url, process, log in zip((f"{issuer}/readyz", app), started, logs, strict=True):
                await _until_answering(client, url, process, log)
            yield Story(client, issuer, app, folder)
    finally:
        for process in started:
            await _stop(process)


def _environment() -> dict[str, str]:
    """Return the environment without the user's settings, and without a proxy for loopback addresses."""
    ours = re.compile(
        r"AUTHKIT_.*|ACTIVE_(KEY_ID|PRIVATE_KEY_PEM)|PUBLIC_KEYS|REFRESH_SECRET(S|_ACTIVE)|(?i:.*_proxy)"
    )
    return {
        **{name: value for name, value in process_environment().items() if not ours.fullmatch(name)},
        "AUTHKIT_REFRESH_ROTATION_GRACE": str(GRACE),
        "AUTHKIT_KEY_RELOAD_INTERVAL": "0.2",
        "AUTHKIT_ENVIRONMENT": "development",
    }


async def _spawn(arguments: tuple[str, ...], env: dict[str, str], log: Path) -> asyncio.subprocess.Process:
    output = await asyncio.to_thread(log.open, "wb")
    with output:
        return await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=env, stdout=output, stderr=asyncio.subprocess.STDOUT
        )


async def _until_answering(
    client: httpx.AsyncClient, url: str, process: asyncio.subprocess.Process, log: Path
) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.returncode is not None:
            said = await asyncio.to_thread(log.read_text)
            raise Failed(f"the server for {url} ended with status {process.returncode}: {said.strip()}")
        try:
            await client.get(url)
        except httpx.TransportError:
            await asyncio.sleep(0.1)
        else:
            return
    raise Failed(f"{url} does not answer within {START_TIMEOUT:.0f} s")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(20):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port() -> int:
    listener = bind("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    listener.close()
    return port
