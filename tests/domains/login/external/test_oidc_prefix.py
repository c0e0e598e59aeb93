"""External logins below another prefix: the provider sends the browser back to a route that exists."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx

from authkit_issuer.http import create_app

BASE = "https://id.example.test"


async def test_the_callback_of_a_login_is_below_the_prefix(make_service, providers, idp) -> None:
    service = await make_service(providers=providers, base_url=BASE, link_base_url="https://app.example.test")
    transport = httpx.ASGITransport(app=create_app(service, prefix="/id"), client=("127.0.0.1", 4711))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as api:
        began = await api.get("/id/oidc/loop/login")
        sent = parse_qs(urlsplit(began.headers["location"]).query)
        assert sent["redirect_uri"] == [f"{BASE}/id/oidc/loop/callback"]
        back = await api.get("/id/oidc/loop/callback", params=idp.approve(began.headers["location"]))
        assert back.status_code == 302
        assert "error" not in back.headers["location"]
    assert len(await service.users.newest()) == 1
