"""A provider on loopback, and a browser that keeps the cookies of its logins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from authkit_issuer.config import ProviderConfig
from authkit_issuer.domains.login.external.service import (
    AuthorizationRequest,
    CallbackParameters,
    CallbackResult,
    LoginResult,
)
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.provider import CLIENT, SECRET, LoopbackProvider

BASE = "https://id.example.test"


@dataclass
class Browser:
    """One browser: its cookies, and the steps of a login in it."""

    service: Service
    idp: LoopbackProvider
    cookies: dict[str, str] = field(default_factory=dict)

    async def begin(self, **wish: Any) -> AuthorizationRequest:
        begun = await self.service.oidc_login.begin(wish.pop("provider", "loop"), **wish)
        self.cookies[begun.cookie.name] = begun.cookie.value
        return begun

    async def back(
        self,
        begun: AuthorizationRequest,
        *,
        directly: bool = False,
        client: Client | None = None,
        **changes: Any,
    ) -> CallbackResult:
        """Agree at the provider and come back; ``changes`` are to what it sends along."""
        given: dict[str, Any] = self.idp.approve(begun.auth_url) | changes
        returned = CallbackParameters(**{"cookies": tuple(self.cookies.items()), **given})
        return await self.service.oidc_login.finish("loop", returned, directly=directly, client=client)

    async def land(self, **wish: Any) -> CallbackResult:
        return await self.back(await self.begin(**wish))

    async def trade(self, landing: CallbackResult) -> LoginResult:
        assert landing.refusal is None, landing.refusal
        return await self.service.oidc_login.trade(landing.code, tuple(self.cookies.items()))

    async def login(self, **wish: Any) -> LoginResult:
        return await self.trade(await self.land(**wish))


@pytest.fixture
async def idp(clock) -> AsyncIterator[LoopbackProvider]:
    provider = LoopbackProvider(clock)
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
def providers(idp: LoopbackProvider) -> dict[str, ProviderConfig]:
    return {
        "loop": ProviderConfig(
            client_id=CLIENT,
            client_secret=SECRET,
            issuer=idp.issuer,
            allow_http_loopback=True,
            trusts_email=True,
        )
    }


@pytest.fixture
async def service(make_service, providers) -> Service:
    return await make_service(providers=providers, base_url=BASE)


@pytest.fixture
def browser(service: Service, idp: LoopbackProvider) -> Browser:
    return Browser(service, idp)
