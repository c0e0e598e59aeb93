"""What a person reads in a browser on the way through an external login."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from authkit_issuer.http import create_app

BASE = "https://id.example.test"
LOGIN, CALLBACK = "/auth/oidc/loop/login", "/auth/oidc/loop/callback"


@pytest.fixture
async def make_api(make_service, providers) -> AsyncIterator[Any]:
    opened: list[httpx.AsyncClient] = []

    async def make(**changes: Any) -> httpx.AsyncClient:
        settings = {"providers": providers, "base_url": BASE, "link_base_url": "https://app.example.test"}
        transport = httpx.ASGITransport(app=create_app(await make_service(**settings | changes)))
        opened.append(httpx.AsyncClient(transport=transport, base_url=BASE))
        return opened[-1]

    yield make
    for api in opened:
        await api.aclose()


@pytest.fixture
async def api(make_api) -> httpx.AsyncClient:
    return await make_api()


@pytest.mark.parametrize(
    ("asked", "returned"),
    [
        ("/über/uns?q=größe#ß", "/%C3%BCber/uns?q=gr%C3%B6%C3%9Fe#%C3%9F"),
        ("/%C3%BCber", "/%C3%BCber"),
        ("/関于/😀", "/%E9%96%A2%E4%BA%8E/%F0%9F%98%80"),
        ("/\uff0f\uff0fevil.example", "/%EF%BC%8F%EF%BC%8Fevil.example"),
    ],
)
async def test_a_page_named_in_any_language_is_returned_to(api, idp, asked, returned):
    began = await api.get(f"{LOGIN}?{urlencode({'return_to': asked})}")
    landed = await api.get(CALLBACK, params=idp.approve(began.headers["location"]))
    told = dict(parse_qsl(urlsplit(landed.headers["location"]).fragment))
    assert told["return_to"] == returned


@pytest.mark.parametrize("asked", ["/" + "ü" * 171, "//ü", "ü", "/\u0085ü", "/ü//evil.example", "/ü\\a"])
async def test_a_page_in_any_language_leads_nowhere_else(api, asked):
    answer = await api.get(LOGIN, params={"return_to": asked})
    assert (answer.status_code, answer.json()["param"]) == (400, "return_to")


BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def test_a_browser_that_is_refused_is_shown_a_page(api):
    for path, status, said in (
        (f"{LOGIN}?return_to=//evil.example", 400, "return_to must be a path"),
        (f"{LOGIN}?ui=window", 400, "Input should be"),
        ("/auth/oidc/unknown/login", 404, "provider"),
        ("/auth/oidc/unknown/callback", 404, "provider"),
    ):
        page = await api.get(path, headers=BROWSER)
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert said in page.text
        assert page.headers["x-request-id"] in page.text
        assert "script-src" not in page.headers["content-security-policy"]
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert page.headers["cache-control"] == "no-store"
        program = await api.get(path)
        assert (program.status_code, program.headers["content-type"]) == (status, "application/json")
    json_asked = await api.get("/auth/oidc/unknown/callback?format=json", headers=BROWSER)
    assert json_asked.headers["content-type"] == "application/json"


async def test_a_browser_that_comes_too_often_is_shown_when_to_come_back(make_api):
    api = await make_api(rate_limits={"auth_oidc_start": "1/1m"})
    assert (await api.get(LOGIN, headers=BROWSER)).status_code == 302
    page = await api.get(LOGIN, headers=BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (429, "text/html; charset=utf-8")
    assert 0 < int(page.headers["retry-after"]) <= 60
    assert "try again" in page.text.lower()


async def test_a_page_of_a_refusal_holds_no_markup_of_the_request(api):
    page = await api.get(f"{LOGIN}?<b>=1&ui=<script>alert(1)</script>", headers=BROWSER)
    assert page.status_code == 400
    assert "<script" not in page.text
    assert "<b>" not in page.text
