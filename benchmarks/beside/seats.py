"""Connections that stay open, each with the session of a user, and the things that users do."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from beside.accounts import PASSWORD, address
from beside.contenders import bearer, exchange
from beside.conversation import ask_on, http

_opened: deque[str] = deque()
"""The refresh tokens of sessions that a seat has signed in and no seat has signed out."""


class Seat:
    """One connection, whose user asks for one thing at a time."""

    def __init__(self, number: int, port: int) -> None:
        self._number, self._port = number, port
        self._tokens: dict[str, Any] = {}

    async def begin(self) -> None:
        """Open the connection and the session."""
        await self.open()
        self._keep(await self._ask(self._login("session")))

    async def open(self) -> None:
        """Open the connection, again if it was lost."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def act(self, what: str) -> None:
        """Do one of the things that users do.

        Raises:
            ConnectionError: The answer is a refusal, or the server closed the connection.
        """
        if what == "refresh" or (what == "who" and time.perf_counter() > self._stale):
            self._keep(await self._ask(exchange(self._number, self._tokens["refresh_token"])))
        elif what == "sign in":
            _opened.append((await self._ask(self._login("login")))["refresh_token"])
        elif what == "sign out" and _opened:
            body = {"refresh_token": _opened.popleft()}
            await self._ask(http("POST", "/auth/logout", self._number, body=body))
        elif what == "keys":
            await self._ask(http("GET", "/.well-known/jwks.json", self._number))
        else:
            who = http("GET", "/auth/user/me", self._number, bearer(self._tokens["access_token"]))
            await self._ask(who)

    def _keep(self, tokens: dict[str, Any]) -> None:
        """Go on with these tokens until half of their time is over, as clients do."""
        self._tokens = tokens
        self._stale = time.perf_counter() + tokens["expires_in"] / 2

    def _login(self, kind: str) -> bytes:
        body = {"identifier": address(kind, self._number), "password": PASSWORD}
        return http("POST", "/auth/password/login", self._number, body=body)

    async def _ask(self, request: bytes) -> Any:
        return (await ask_on(self._reader, self._writer, request))[1]
