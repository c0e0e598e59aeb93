"""The pages of ``examples/spa`` and ``examples/react`` in Chromium, over a server in development."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fakes import browser, react
from fakes.browser import listening
from fakes.commands import Server, serving
from fakes.patience import PATIENCE
from fakes.ports import free_port
from fakes.readme import blocks
from fakes.repository import ROOT
from fakes.virtual_authenticator import Virtual

pytestmark = pytest.mark.timeout(240)

ISSUER = "http://127.0.0.1:8000"
ADA = {"identifier": "ada@example.test", "password": "correct horse battery"}
MARKUP = "<img src=x onerror=\"document.title = 'taken'\"><script>document.title = 'taken'</script>"


@pytest.fixture
def server(tmp_path: Path, database_url: str) -> Iterator[Server]:
    settings = {
        "AUTHKIT_DATABASE_URL": database_url, "AUTHKIT_REFRESH_COOKIE": "true", "AUTHKIT_ARGON2_TIME": "1",
        "AUTHKIT_ARGON2_MEMORY_KIB": "64", "AUTHKIT_CODE_COOLDOWN": "0",
        "AUTHKIT_WEBAUTHN_RP_ID": "localhost",
    }  # fmt: skip
    with serving("--dev", "--port", "0", "--data-dir", str(tmp_path / "data"), **settings) as running:
        yield running


@dataclass
class Person:
    """A user at a page, with the development inbox beside it."""

    page: Any
    http: httpx.AsyncClient
    used: set[str] = field(default_factory=set)

    async def fill(self, form: str, fields: Mapping[str, str]) -> None:
        for name, value in fields.items():
            await self.page.fill(f"#{form} [name={name}]", value)
        await self.page.click(f"#{form} button")

    async def enter_code(self) -> None:
        """Wait for the message, and enter its code."""
        await self.page.wait_for_selector("#code [name=code]")
        await self.fill("code", {"code": await self.new_code()})

    async def new_code(self) -> str:
        """Return a code once there is one that was not returned before."""
        async with asyncio.timeout(PATIENCE):
            while True:
                inbox = await self.http.get("/dev/inbox", params={"to": ADA["identifier"]})
                codes = [entry["code"] for entry in inbox.json()["messages"] if entry.get("code")]
                if codes and codes[0] not in self.used:
                    self.used.add(codes[0])
                    return str(codes[0])
                await asyncio.sleep(0.05)

    async def shown(self, name: str) -> str:
        await self.page.wait_for_selector(f"#{name}", state="attached")
        return str(await self.page.inner_text(f"#{name}"))

    async def prepare_account(self) -> None:
        """Switch the second factor on and write a biography, by another client."""
        login = (await self.http.post("/auth/password/login", json=ADA)).json()
        self.http.headers["authorization"] = f"Bearer {login['access_token']}"
        await self.http.post("/auth/user/2fa/start-email")
        enable = {"method": "email", "code": await self.new_code()}
        assert (await self.http.post("/auth/user/2fa/enable", json=enable)).status_code == 200
        answer = await self.http.patch("/auth/user/biography", json={"biography": MARKUP})
        assert answer.status_code == 200, answer.text
        del self.http.headers["authorization"]


@asynccontextmanager
async def visiting(
    server: Server, answers: Mapping[str, str], host: str = "127.0.0.1"
) -> AsyncIterator[Person]:
    """Open the page of an app in Chromium."""

    async def answer(request: Request) -> Response:
        text = answers[request.url.path]
        kind = "text/javascript" if request.url.path.endswith(".js") else "text/html"
        return HTMLResponse(text, media_type=kind)

    port = free_port()
    async with (
        listening(Starlette(routes=[Route("/{path:path}", answer)]), port),
        httpx.AsyncClient(base_url=server.url) as http,
        browser.chromium() as opened,
    ):
        page = await opened.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"http://{host}:{port}/")
        yield Person(page, http)
        assert complaints == []


async def lives(person: Person) -> None:
    """Sign up, sign out, and sign in again with a second factor."""
    page = person.page
    await person.fill("sign-up", ADA)
    await person.enter_code()
    await page.wait_for_selector("#account, #sign-out")
    assert await person.shown("email") == ADA["identifier"]
    await page.reload()
    await page.wait_for_selector("#sign-out")
    await page.click("#sign-out")
    await person.fill("sign-in", ADA | {"password": "not the password"})
    await page.wait_for_function("document.body.innerText.includes('The credentials are wrong.')")
    await person.prepare_account()
    await person.fill("sign-in", ADA)
    await person.enter_code()
    await page.wait_for_selector("#sign-out")
    assert await person.shown("biography") == MARKUP  # as it was written, and nothing of it ran
    assert await page.title() != "taken"
    await page.click("#sign-out-everywhere")
    await page.wait_for_selector("#sign-in [name=identifier]")


async def test_a_user_lives_in_the_page_without_a_framework(server: Server) -> None:
    text = (ROOT / "examples/spa/index.html").read_text().replace(ISSUER, server.url)
    async with visiting(server, {"/": text}) as person:
        await lives(person)


async def test_a_user_lives_in_the_react_application(server: Server, tmp_path: Path) -> None:
    answers = react.compiled(ROOT / "examples/react", tmp_path / "app", server.url)
    async with visiting(server, answers) as person:
        await lives(person)


async def test_a_user_signs_in_with_a_passkey_alone_and_beside_a_password(server: Server) -> None:
    api = server.url.replace("127.0.0.1", "localhost")
    text = (ROOT / "examples/passkeys/index.html").read_text().replace("http://localhost:8000", api)
    async with visiting(server, {"/": text}, "localhost") as person:
        page = person.page
        await Virtual.of(page)
        for name, value in ADA.items():
            await page.fill(f"[name={name}]", value)
        await page.click("#sign-up")
        await page.wait_for_selector("[name=code]")
        assert await page.is_hidden("#use-passkey")
        await page.fill("[name=code]", await person.new_code())
        await page.press("[name=code]", "Enter")
        await page.click("#add")
        await page.wait_for_selector("#passkeys li")
        await page.click("#sign-out")
        await page.click("#passkey")
        await page.wait_for_selector("#passkeys li")
        assert await person.shown("email") == ADA["identifier"]
        await page.click("#sign-out")
        await person.prepare_account()
        for name, value in ADA.items():
            await page.fill(f"[name={name}]", value)
        await page.click("#sign-in")
        await page.click("#use-passkey")
        await page.wait_for_selector("#passkeys li")
        assert await person.shown("problem") == ""


async def test_the_first_page_of_the_documentation_signs_a_user_up(server: Server) -> None:
    (text,) = blocks("html", "docs/start/single_page_app.md")
    async with visiting(server, {"/": text.replace(ISSUER, server.url)}) as person:
        answers = [ADA["identifier"], ADA["password"]]

        async def answer(dialog: Any) -> None:
            await dialog.accept(answers.pop(0) if answers else await person.new_code())

        person.page.on("dialog", answer)
        await person.page.click("#sign-up")
        await person.page.wait_for_function("document.body.innerText.includes('ada@example.test')")
        await person.page.click("#sign-out")
        await person.page.wait_for_function("!document.body.innerText.includes('ada@example.test')")
