"""The examples are true: each is run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from authkit_issuer.ports import EmailSender
from authkit_verify import AcceptConfig, HttpClient, TokenError, Verifier
from authkit_verify.testing import FakeIssuer
from fakes.examples import load
from fakes.users import finish_background


async def test_the_issuer_can_be_mounted_below_a_path(config) -> None:
    app = load("issuer_server").build(config)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://host.example.test"
        ) as client,
    ):
        answer = await client.get("/identity/.well-known/jwks.json")
        assert answer.json()["keys"]
        assert (await client.get("/identity/readyz")).status_code == 200


async def test_a_sender_of_ones_own_sends_the_code(make_service) -> None:
    sent: list[tuple[str, str, str]] = []

    async def send(to: str, subject: str, text: str) -> None:
        sent.append((to, subject, text))

    sender = load("custom_sender").HouseMailer(send)
    assert isinstance(sender, EmailSender)
    service = await make_service(email_sender=sender)
    await service.registration.register("ada@example.test", "ada_l", "correct horse battery")
    await finish_background(service)
    ((to, _, text),) = sent
    assert to == "ada@example.test"
    assert text.startswith("Hello ada_l, your code is ")


class Session:
    """An ``aiohttp.ClientSession`` as far as the adapter uses it, which reaches a fake issuer."""

    def __init__(self, issuer: FakeIssuer) -> None:
        self.issuer = issuer
        self.redirects: list[bool] = []

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], allow_redirects: bool, data: bytes | None
    ) -> AsyncIterator[Any]:
        self.redirects.append(allow_redirects)
        answer = await self.issuer.client.request(method, url, headers=headers, content=data)

        async def pieces() -> AsyncIterator[bytes]:
            yield answer.content

        yield SimpleNamespace(
            status=answer.status_code, headers=answer.headers, content=SimpleNamespace(iter_any=pieces)
        )


async def test_a_client_that_is_not_of_httpx_asks_about_opaque_tokens() -> None:
    issuer = FakeIssuer()
    client: HttpClient = load("aiohttp_client").AiohttpClient(Session(issuer))
    async with Verifier(issuer.accept(introspection=issuer.introspection()), http_client=client) as verifier:
        assert (await verifier.verify(issuer.mint_opaque("ann"))).user_id == "ann"


async def test_a_client_that_is_not_of_httpx_fetches_keys() -> None:
    issuer = FakeIssuer()
    session = Session(issuer)
    client: HttpClient = load("aiohttp_client").AiohttpClient(session)
    config = AcceptConfig(issuers=[issuer.accept(discovery=False)])
    async with Verifier(config, http_client=client) as verifier:
        assert (await verifier.verify(issuer.mint("ann"))).user_id == "ann"
        issuer.break_down(404)
        with pytest.raises(TokenError, match="keys_unavailable"):
            await Verifier(config, http_client=client).verify(issuer.mint("ann"))
    assert session.redirects == [False, False]
