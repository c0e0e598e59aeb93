"""A steady load on a running issuer: so many refreshes and logins a second, whatever they answer."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import Any

LOGIN_EVERY = 10
"""One request in so many is a login."""
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it began and ended on the loop's clock, and what came back."""

    kind: str
    began: float
    ended: float
    status: int
    error: str


async def post(port: int, path: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Send one request on a connection of its own; dearer clients would take their time from the server."""
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            content = json.dumps(body).encode()
            writer.write(
                b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (path.encode(), len(content), content)
            )
            head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
    return int(head.split(b" ", 2)[1]), json.loads(answer)


class Load:
    """Clients who refresh in turn, each with the token it has, and logins between them."""

    def __init__(self, port: int, people: list[dict[str, str]]) -> None:
        self._port = port
        self._people = people
        self._waiting: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self.tokens: list[str] = []
        self.outcomes: list[Outcome] = []
        self.left_out = 0
        """Requests that were not sent because every client still waited for its answer."""

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sign_in(self, clients: int) -> None:
        """Open that many sessions."""
        for number in range(clients):
            status, body = await self.log_in(number)
            assert status == 200, body
            self.tokens.append(body["refresh_token"])
            self._waiting.append(number)
        self.outcomes.clear()

    async def log_in(self, number: int) -> tuple[int, dict[str, Any]]:
        """Open a session that stays unused."""
        return await self._send("login", "/auth/password/login", self._people[number % len(self._people)])

    async def refresh(self, client: int) -> tuple[int, dict[str, Any]]:
        """Exchange the token of a client, who keeps it unless there is an answer with a new one."""
        body = {"grant_type": "refresh_token", "refresh_token": self.tokens[client]}
        status, answer = await self._send("refresh", "/auth/token", body)
        if status == 200:
            self.tokens[client] = answer["refresh_token"]
        return status, answer

    async def _send(self, kind: str, path: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Note what comes back; anything but success and a 503 that names what is down is a failure."""
        began = self.now
        status, answer = await post(self._port, path, body)
        error = answer.get("error", "")
        assert status == 200 or (status == 503 and error.endswith("_unavailable")), (status, answer)
        self.outcomes.append(Outcome(kind, began, self.now, status, error))
        return status, answer

    def trouble_since(self, moment: float) -> bool:
        """True if anything that was sent since then was refused."""
        return any(outcome.status != 200 for outcome in self.outcomes if outcome.began >= moment)

    def start(self, rate: float) -> None:
        """Begin to send this many requests a second."""
        self._running = asyncio.create_task(self._run(1 / rate))

    async def stop(self) -> None:
        """Send no more, wait for what is under way, and raise what went wrong beyond an answer."""
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await asyncio.gather(*self._tasks)

    async def _run(self, pause: float) -> None:
        due, number = self.now, 0
        while True:
            due, number = due + pause, number + 1
            await asyncio.sleep(max(0, due - self.now))
            if number % LOGIN_EVERY == 0:
                self._begin(self.log_in(number))
            elif self._waiting:
                self._begin(self._in_turn(self._waiting.popleft()))
            else:
                self.left_out += 1

    def _begin(self, work: Any) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _in_turn(self, client: int) -> None:
        await self.refresh(client)
        self._waiting.append(client)
