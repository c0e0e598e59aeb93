"""Refusals of the service in the routes of a host."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from authkit_issuer import AuthError, Service, errors
from authkit_issuer.http import refusal_response


async def _refused(request: Request) -> None:
    make = _ERRORS[request.path_params["kind"]]
    raise make()


def _down() -> AuthError:
    return errors.DatabaseUnavailable(retry_after=4).because("PostgreSQL at db.internal: Connection refused")


_ERRORS: dict[str, Any] = {
    "password": errors.InvalidCredentials,
    "session": errors.SessionEnded,
    "down": _down,
    "other": lambda: RuntimeError("secret detail"),
}


@pytest.fixture
async def host() -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=[Route("/{kind}", _refused)], exception_handlers={AuthError: refusal_response})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://host.test") as client:
        yield client


async def test_a_route_of_fastapi_answers_a_taken_address_as_the_service_does(
    service: Service, assert_refusal: Any
) -> None:
    app = FastAPI()
    app.add_exception_handler(AuthError, refusal_response)

    @app.post("/team")
    async def add() -> str:
        return (await service.users.create("ada@example.test", "ada_l")).id

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host.test") as client:
        assert (await client.post("/team")).status_code == 200
        assert_refusal(await client.post("/team", headers={"x-request-id": "r-7"}), 400, "email_in_use")


async def test_an_outage_says_when_to_come_back_and_the_log_says_why(
    host: httpx.AsyncClient, assert_refusal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "authkit.http"):
        answer = await host.get("/down", headers={"x-request-id": "r-8"})
    assert_refusal(answer, 503, "database_unavailable")
    assert answer.headers["retry-after"] == "4"
    assert "db.internal" not in answer.text
    assert [record.getMessage() for record in caplog.records] == [
        "request r-8 of the host is database_unavailable: PostgreSQL at db.internal: Connection refused"
    ]


@pytest.mark.parametrize(
    ("kind", "headers", "status"),
    [
        ("password", {}, 401),
        ("password", {"authorization": "Bearer valid"}, 403),
        ("session", {"authorization": "Bearer valid"}, 401),
    ],
)
async def test_a_wrong_password_beside_a_token_does_not_make_clients_refresh_it(
    host: httpx.AsyncClient, kind: str, headers: dict[str, str], status: int
) -> None:
    answer = await host.get(f"/{kind}", headers=headers)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_another_exception_stays_an_error_of_the_host(host: httpx.AsyncClient) -> None:
    answer = await host.get("/other")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


async def test_the_handler_refuses_to_hide_other_exceptions() -> None:
    error = RuntimeError("secret detail")
    with pytest.raises(TypeError, match="register it for that class") as raised:
        await refusal_response(Request({"type": "http", "headers": []}), error)
    assert raised.value.__cause__ is error
