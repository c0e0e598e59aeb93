"""What the verifier's tests share: an issuer in process, ASGI connections by hand."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from authkit_verify._jose.jwk import load_libraries
from authkit_verify.testing import FakeIssuer
from fakes.clock import MOMENT, FakeClock
from fakes.virtual_time import virtual_time


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give ``virtual_time`` to the tests of a marked module that have an event loop."""
    marked = item.get_closest_marker("virtual_time")
    if marked and isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
        item.fixturenames.insert(0, "_virtual_time")


@pytest.fixture
async def _virtual_time() -> AsyncIterator[None]:
    with virtual_time():
        yield


@pytest.fixture
async def issuer(clock: FakeClock) -> AsyncIterator[FakeIssuer]:
    """An issuer with an EC key, on the test's clock."""
    made = FakeIssuer(clock=clock)
    yield made
    await made.client.aclose()


class Ticking:
    """A clock that stands still, then runs."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.started: float | None = None

    def __call__(self) -> float:
        if self.started is None:
            return self.clock()
        return self.clock() + asyncio.get_running_loop().time() - self.started


@pytest.fixture
async def short(clock: FakeClock) -> Any:
    """An issuer and a token that ends in a moment of real time."""
    load_libraries()  # the first fetch of a process would take the whole moment
    issuer = FakeIssuer(clock=clock)
    token = issuer.mint("ann", lifetime=100)
    clock.advance(100 - MOMENT)
    ticking = Ticking(clock)
    issuer.clock = ticking
    ticking.started = asyncio.get_running_loop().time()
    yield issuer, token
    await issuer.client.aclose()


class Connection:
    """One http or websocket connection to an ASGI application, driven by hand."""

    def __init__(self, app: Any, **scope: Any) -> None:
        self.app = app
        self.scope: dict[str, Any] = {
            "type": "http", "method": "GET", "path": "/", "root_path": "", "query_string": b"",
            "headers": [], "extensions": {}, "state": {},
        } | scope  # fmt: skip
        self.sent: list[dict[str, Any]] = []
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run(self) -> Connection:
        """Let the application answer; a websocket connects first."""
        kind = self.scope["type"]
        self.incoming.put_nowait({"type": "websocket.connect" if kind == "websocket" else "http.request"})
        await self.app(self.scope, self.incoming.get, self._send)
        return self

    async def _send(self, message: Any) -> None:
        self.sent.append(dict(message))

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.sent[0]["status"]

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return b"".join(message.get("body", b"") for message in self.sent)

    def header(self, name: str) -> str | None:
        """One header of the answer."""
        headers = dict(self.sent[0]["headers"])
        value = headers.get(name.encode())
        return None if value is None else value.decode()


@pytest.fixture
def connect() -> Callable[..., Connection]:
    """Make a connection: ``await connect(app, token=..., **scope).run()``."""

    def make(app: Any, *, token: str | None = None, **scope: Any) -> Connection:
        if token is not None:
            scope["headers"] = [(b"authorization", b"Bearer " + token.encode()), *scope.get("headers", [])]
        return Connection(app, **scope)

    return make
