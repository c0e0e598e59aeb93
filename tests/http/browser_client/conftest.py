"""Chromium with tabs that have the client: the page is of one origin, the issuer of another."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from authkit_issuer.http import create_app
from authkit_issuer.service import Service
from fakes import browser
from fakes.browser import listening
from fakes.mail import Mailbox
from fakes.ports import free_port
from fakes.users import finish_background

PASSWORD = "correct horse battery"
ADA = "ada@example.test"
PAGE = """<!doctype html><title>app</title><link rel="icon" href="data:,"><script type="module">
import { AuthkitError, createClient } from "API/auth/client/authkit.js";
window.skipped = 0;
const now = Date.now;
Date.now = () => now() + window.skipped;
window.AuthkitError = AuthkitError;
window.connect = (options) => createClient({ issuer: "API", ...options });
window.auth = window.connect(OPTIONS);
window.changes = [];
window.auth.onChange((change) => window.changes.push(change));
window.refusal = async (work) => {
  try { await work(); } catch (error) {
    const { code, status, retryAfter, param, metadata, message } = error;
    return { code, status, retryAfter, param, metadata, message, typed: error instanceof AuthkitError };
  }
};
</script>"""


class Recorder:
    """The issuer, and the refresh tokens that arrive at it."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.presented: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") != "/auth/token" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return

        async def noted() -> Any:
            message = await receive()
            cookies = [value.decode() for name, value in scope["headers"] if name == b"cookie"]
            text = message.get("body", b"") or b"{}"
            sent = json.loads(text).get("refresh_token") if message["type"] == "http.request" else None
            self.presented += re.findall(r"authkit_refresh=([^;]+)", ";".join(cookies)) or [sent]
            return message

        await self.app(scope, noted, send)


@dataclass
class Stage:
    """A browser before a page and an issuer."""

    service: Service
    issuer: Recorder
    context: Any
    app: str
    api: str
    mailbox: Mailbox
    pages: dict[str, Response]
    """Answers of the app by path, in place of the page with the client."""
    complaints: list[str] = field(default_factory=list)

    async def tab(self, path: str = "/", context: Any = None) -> Any:
        """Open a tab of the app with a client."""
        page = await (context or self.context).new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(self.app + path)
        await page.wait_for_function("window.auth")
        return page

    async def code(self, address: str = ADA) -> str:
        """Return the code of the last message to an address."""
        await finish_background(self.service)
        return self.mailbox.last(address).code

    async def join(self, page: Any, name: str = "ada") -> dict[str, Any]:
        """Sign up in a tab, confirm, and return the user."""
        who = {"identifier": f"{name}@example.test", "username": f"{name}_l", "password": PASSWORD}
        await page.evaluate("async (who) => { window.registration = await auth.signUp(who); }", who)
        code = await self.code(who["identifier"])
        return (await page.evaluate("(code) => auth.confirm(registration, code)", code))["user"]


MakeStage = Callable[..., Awaitable[Stage]]


@pytest.fixture(scope="package")
async def chromium() -> AsyncIterator[Any]:
    """One browser for the package; each test has a context of its own in it, with no cookies."""
    async with browser.chromium() as opened:
        yield opened


@pytest.fixture
async def make_stage(chromium: Any, make_service: Any, mailbox: Mailbox) -> AsyncIterator[MakeStage]:
    """Serve an issuer and an app; ``storage`` is the client's, other keywords are of the service."""
    async with AsyncExitStack() as stack:

        async def make(
            storage: str = "cookie", *, init: str = "", host: str = "127.0.0.1", **settings: Any
        ) -> Stage:
            api, app = (f"http://{host}:{free_port()}" for _ in range(2))
            service = await make_service(
                **{"dev": True, "refresh_cookie": storage == "cookie", "code_cooldown": 0.0, "base_url": api,
                   "access_token_jitter": 0.0}
                | {"link_base_url": app, "max_codes_per_hour": 1000} | settings
            )  # fmt: skip
            prefix = settings.get("route_prefix", "/auth")
            options = json.dumps({"storage": storage, "routePrefix": prefix})
            text = PAGE.replace("API/auth", api + prefix).replace("API", api).replace("OPTIONS", options)
            pages: dict[str, Response] = {}

            def answer(request: Request) -> Response:
                return pages.get(request.url.path) or HTMLResponse(text)

            issuer = Recorder(create_app(service))
            await stack.enter_async_context(listening(issuer, int(api.rpartition(":")[2])))
            await stack.enter_async_context(
                listening(Starlette(routes=[Route("/{path:path}", answer)]), int(app.rpartition(":")[2]))
            )
            context = await chromium.new_context()
            stack.push_async_callback(context.close)
            if init:
                await context.add_init_script(init)
            return Stage(service, issuer, context, app, api, mailbox, pages)

        yield make
