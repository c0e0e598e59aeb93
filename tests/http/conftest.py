"""The application over a real service, and people who use it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

import httpx
import pytest
from pydantic import Field
from starlette.routing import Route, Router

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.config.limits import BUCKETS
from authkit_issuer.http import create_app
from authkit_issuer.http.cors import Origins
from authkit_issuer.http.dispatch import Path, Runner, Surface
from authkit_issuer.http.middleware import Edge, not_found
from authkit_issuer.http.operations import Auth, Body, Call, Operation, Params, Text
from fakes.users import finish_background

PASSWORD = "correct horse battery"


class Api(httpx.AsyncClient):
    """Calls a service as a program on this machine does; an exception that escapes fails the test."""

    def __init__(self, service: Any, app: Any = None, base_url: str = "http://127.0.0.1:8000") -> None:
        transport = httpx.ASGITransport(app=app or create_app(service), client=("127.0.0.1", 4711))
        super().__init__(transport=transport, base_url=base_url)
        self._service = service

    async def delivered(self) -> None:
        """Wait until every mail of the requests so far was handed over."""
        await finish_background(self._service)


@pytest.fixture
def config(config: Config) -> Config:
    """Rates that no test here reaches by accident; those of limits set their own."""
    return dataclasses.replace(config, rate_limits=dict.fromkeys(BUCKETS, "1000000/1m"))


@pytest.fixture
def serve() -> type[Api]:
    return Api


@pytest.fixture
async def api(service: Any) -> AsyncIterator[Api]:
    async with Api(service) as http:
        yield http


@pytest.fixture
def sign_up(mailbox: Any) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Register, read the mail, confirm; returns the tokens."""

    async def do(api: Api, name: str = "ada_l") -> dict[str, Any]:
        email = f"{name}@example.test"
        body = {"identifier": email, "username": name, "password": PASSWORD}
        answer = await api.post("/auth/register", json=body)
        assert answer.status_code == 202, answer.text
        await api.delivered()
        code = mailbox.last(email).code
        confirmed = await api.post(
            "/auth/email/verify/confirm",
            json={"email": email, "code": code, "registration_id": answer.json()["registration_id"]},
        )
        assert confirmed.status_code == 200, confirmed.text
        return confirmed.json()

    return do


class DownStore:
    """An ephemeral store that never answers."""

    mode = "memory"

    async def aclose(self) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        async def fail(*args: Any, **options: Any) -> Any:
            raise errors.EphemeralStoreUnavailable

        return fail


@pytest.fixture
def down_store() -> DownStore:
    return DownStore()


# --- a table of toy operations ----------------------------------------------------------------------------


class Toy(Body):
    name: Text
    count: Annotated[int, Field(ge=0)] = 0
    inner: dict[str, Any] | None = None


class Filter(Params):
    deep: bool = False
    word: str = ""


@dataclass(frozen=True, slots=True)
class Echo:
    name: str
    ip: str | None = None


async def _echo(call: Call[Any, Any]) -> Echo:
    return Echo(name=call.body.name, ip=call.client.ip)


async def _filtered(call: Call[Any, Any]) -> Echo:
    return Echo(name=f"{call.params.deep}:{call.params.word}")


async def _broken(call: Call[Any, Any]) -> Echo:
    raise RuntimeError("secret detail of the inside")


async def _waiting(call: Call[Any, Any]) -> Echo:
    raise errors.DatabaseUnavailable(retry_after=4).because("PostgreSQL at db.internal: Connection refused")


def _operation(method: Any, path: str, handler: Any, **more: Any) -> Operation:
    return Operation(
        method=method,
        path=path,
        name=path,
        summary="",
        tag="login",
        handler=handler,
        returns=Echo,
        auth=Auth.PUBLIC,
        limit=None,
        **more,
    )


@pytest.fixture
def app() -> Edge:
    """A table of toy operations without a service."""
    table = [
        _operation("POST", "/toy", _echo, body=Toy, omit_none=True),
        _operation("GET", "/toy", _filtered, params=Filter, omit_none=True),
        _operation("POST", "/form", _echo, body=Toy, oauth=True, omit_none=True),
        _operation("GET", "/broken", _broken),
        _operation("GET", "/waiting", _waiting),
    ]
    paths = dict.fromkeys(operation.path for operation in table)
    nothing = cast("Any", None)
    surface = Surface(service=nothing)
    routes = [Route(path, Path([Runner(surface, o) for o in table if o.path == path])) for path in paths]
    origins = Origins(Config(issuer="https://issuer.test", issued_audiences=("app",), environment="test"))
    return Edge(Router(routes, redirect_slashes=False, default=not_found), origins)


@pytest.fixture
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, client=("203.0.113.7", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://issuer.test") as http:
        yield http


def _scope(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": headers, "client": None, "root_path": "",
    }  # fmt: skip


@pytest.fixture
def scope() -> Callable[..., dict[str, Any]]:
    """Build the scope of a request whose messages the test sends itself."""
    return _scope


@pytest.fixture
def assert_refusal() -> Callable[..., None]:
    """Assert that an answer is a whole refusal."""

    def check(answer: httpx.Response, status: int, code: str, param: str | None = None) -> None:
        body = answer.json()
        assert (answer.status_code, body["error"], body.get("param")) == (status, code, param)
        assert body["request_id"] == answer.headers["x-request-id"]
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"

    return check
