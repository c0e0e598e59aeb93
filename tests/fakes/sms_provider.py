"""A provider of SMS over a socket: answers as Twilio or a receiver of webhooks, and keeps requests."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from fakes.listening import listening, read_request


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The body as a form without repeats."""
        pairs = parse_qsl(self.body.decode(), strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    @property
    def login(self) -> str:
        """User and password of HTTP Basic."""
        return base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()


@dataclass(slots=True)
class SmsProvider:
    """Answers with the next of ``answers`` (status and JSON), then with 201; ``hang`` answers never."""

    requests: list[Request] = field(default_factory=list[Request])
    answers: list[tuple[int, object] | str] = field(default_factory=list[tuple[int, object] | str])
    connections: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await self._answer(reader, writer):
            pass

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        path, headers, body = await read_request(reader)
        self.requests.append(Request(path=path, headers=headers, body=body))
        answer = self.answers.pop(0) if self.answers else (201, {"sid": "SM00"})
        if isinstance(answer, str):
            if answer == "hang":
                await reader.read()
            return False
        status, document = answer
        text = json.dumps(document).encode()
        start = f"HTTP/1.1 {status} x\r\nlocation: /elsewhere\r\ncontent-length: {len(text)}\r\n\r\n"
        writer.write(start.encode() + text)
        await writer.drain()
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioReport:
    """A report of a message's status, as Twilio sends it to ``url``."""

    url: str
    auth_token: str
    sid: str = "SM" + "0" * 32
    status: str = "delivered"
    error: str = ""
    more: dict[str, str] = field(default_factory=lambda: {"To": "+15550100299", "Body": ""})

    @property
    def form(self) -> dict[str, str]:
        """Every parameter, those without a value too."""
        said = {"MessageSid": self.sid, "MessageStatus": self.status, "ErrorCode": self.error}
        return {**self.more, **said}

    @property
    def signature(self) -> str:
        """What stands in ``X-Twilio-Signature``."""
        signed = self.url + "".join(name + value for name, value in sorted(self.form.items()))
        digest = hmac.digest(self.auth_token.encode(), signed.encode(), hashlib.sha1)
        return base64.b64encode(digest).decode()

    @property
    def request(self) -> dict[str, dict[str, str]]:
        """The arguments of a POST by httpx."""
        return {"data": self.form, "headers": {"x-twilio-signature": self.signature}}


@asynccontextmanager
async def sms_provider() -> AsyncIterator[SmsProvider]:
    """Run a provider on this machine; ``url`` leads to it."""
    provider = SmsProvider()
    async with listening(provider.serve) as port:
        provider.url = f"http://127.0.0.1:{port}"
        yield provider
