"""Development opens the routes to the pages of this machine; the log names the origins that are refused."""

from __future__ import annotations

import logging

import pytest

VITE = "http://localhost:5173"
EVIL = "https://evil.example"
PREFLIGHT = {"access-control-request-method": "POST"}
LOGIN = "/auth/password/login"
FOREIGN = [
    EVIL, "null", "http://localhost.evil.example", "http://127.0.0.1.nip.io", "http://localhost:5173.evil.example",
    "http://192.168.0.7:5173",
]  # fmt: skip


@pytest.fixture
async def dev(make_service, serve):
    service = await make_service(dev=True, refresh_cookie=True, email_sender=None, sms_sender=None)
    async with serve(service) as api:
        yield api


@pytest.mark.parametrize("origin", [VITE, "http://127.0.0.1:3000", "http://[::1]:8080", "https://localhost"])
async def test_a_page_of_this_machine_may_call_a_server_in_development(dev, origin):
    first = await dev.options(LOGIN, headers=PREFLIGHT | {"origin": origin})
    assert first.headers["access-control-allow-origin"] == origin
    assert first.headers["access-control-allow-methods"] == "POST"
    answer = await dev.post(LOGIN, json={}, headers={"origin": origin})
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", FOREIGN)
async def test_no_other_page_may(dev, origin):
    for answer in (
        await dev.options(LOGIN, headers=PREFLIGHT | {"origin": origin}),
        await dev.post(LOGIN, json={}, headers={"origin": origin}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_page_of_this_machine_may_use_the_refresh_cookie_in_development_alone(
    dev, make_service, serve
):
    form = {"grant_type": "refresh_token"}
    answer = await dev.post("/auth/token", json=form, headers={"origin": VITE})
    assert answer.json()["param"] == "refresh_token"  # past the check of the page, where no cookie is found
    production = await make_service(refresh_cookie=True, base_url="https://id.example")
    async with serve(production, base_url="https://id.example") as api:
        refused = await api.post("/auth/token", json=form, headers={"origin": VITE})
    for foreign in (refused, await dev.post("/auth/token", json=form, headers={"origin": EVIL})):
        assert foreign.status_code == 400
        assert "cors_origins" in foreign.json()["error_description"]
        assert "param" not in foreign.json()


async def test_outside_of_development_the_pages_of_this_machine_are_foreign(api):
    first = await api.options(LOGIN, headers=PREFLIGHT | {"origin": VITE})
    assert not [name for name in first.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("named", [(), ("https://app.example",)])
async def test_the_log_names_a_refused_origin_once(make_service, serve, caplog, named):
    async with serve(await make_service(cors_origins=named)) as api:
        with caplog.at_level(logging.WARNING, "authkit.http"):
            for _ in range(3):
                await api.options(LOGIN, headers=PREFLIGHT | {"origin": VITE})
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"a page of {VITE} may not call: add its origin to cors_origins if it is yours"


async def test_the_log_does_not_grow_with_invented_origins_and_holds_no_other_text(api, caplog):
    with caplog.at_level(logging.WARNING, "authkit.http"):
        for origin in ("null", "https://a b", "https://a\tb", "x" * 999, "file://"):
            await api.options(LOGIN, headers=PREFLIGHT | {"origin": origin})
        assert not caplog.records
        for number in range(50):
            await api.options(LOGIN, headers=PREFLIGHT | {"origin": f"https://a{number}.example"})
    assert len(caplog.records) == 20


async def test_what_every_page_may_read_and_what_is_no_preflight_is_not_logged(api, caplog):
    with caplog.at_level(logging.WARNING, "authkit.http"):
        await api.options("/auth/capabilities", headers=PREFLIGHT | {"origin": EVIL})
        await api.options(LOGIN, headers={"origin": EVIL})
        await api.post(LOGIN, json={}, headers={"origin": EVIL})
    assert not caplog.records
