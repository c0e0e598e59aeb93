"""A receiver of webhooks over a socket: records what comes and gives the answers of a list."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fakes.listening import listening, read_request


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def payload(self) -> dict[str, Any]:
        """The body, decoded."""
        return json.loads(self.body)


class Receiver:
    """Answers with the next of ``answers``, then with 204; ``hang`` answers never, ``close`` hangs up."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[int | str] = []
        self.extra = ""
        self.url = ""

    @property
    def numbers(self) -> list[int]:
        """The session ids of the events, which are numbers, in the order of their arrival."""
        return [int(request.payload["data"]["session_id"]) for request in self.received]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target, headers, body = await read_request(reader)
        self.received.append(Received(target=target, headers=headers, body=body))
        answer = self.answers.pop(0) if self.answers else 204
        if answer == "hang":
            await reader.read()  # until the client gives up
        elif answer != "close":
            text = f"HTTP/1.1 {answer} x\r\n{self.extra}content-length: 0\r\nconnection: close\r\n\r\n"
            writer.write(text.encode())
            await writer.drain()


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver on this machine; ``url`` leads to it."""
    receiver = Receiver()
    async with listening(receiver._serve, tls=tls) as port:
        receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook"
        yield receiver
