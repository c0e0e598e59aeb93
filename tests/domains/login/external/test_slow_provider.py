"""A provider that does not answer: the logins with the others go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from authkit_issuer.config import ProviderConfig
from authkit_issuer.domains.login.external.service import CallbackParameters
from authkit_issuer.federation import http
from fakes.provider import CLIENT, SECRET, LoopbackProvider, Reply
from fakes.until import until

_POOL = 100
"""Connections of one HTTP client, where nothing else is set."""


@pytest.fixture
async def other(clock):
    provider = LoopbackProvider(clock)
    await provider.start()
    yield provider
    await provider.stop()


async def test_a_slow_provider_keeps_no_login_with_another_waiting(
    make_service, idp, other, monkeypatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 300.0)  # so that none of those that wait gives up

    def configured(provider: LoopbackProvider) -> ProviderConfig:
        return ProviderConfig(
            client_id=CLIENT, client_secret=SECRET, issuer=provider.issuer, allow_http_loopback=True
        )

    providers = {"slow": configured(idp), "quick": configured(other)}
    service = await make_service(providers=providers, base_url="https://id.example.test")

    async def login(name: str, provider: LoopbackProvider) -> Any:
        begun = await service.oidc_login.begin(name)
        cookies = ((begun.cookie.name, begun.cookie.value),)
        back = CallbackParameters(cookies=cookies, **provider.approve(begun.auth_url))
        return await service.oidc_login.finish(name, back)

    def waiting() -> int:
        return sum(path == "/token" for _, path in idp.requests)

    await login("slow", idp)
    idp.requests.clear()
    idp.replies["/token"] = Reply(delay=True)
    held = [asyncio.create_task(login("slow", idp)) for _ in range(_POOL + 1)]
    await until(lambda: waiting() >= http.AT_ONCE)
    landing = await asyncio.wait_for(login("quick", other), timeout=30)
    assert landing.refusal is None
    assert waiting() == http.AT_ONCE, "more calls at a time than one provider gets"
    idp.go.set()
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
