"""Swagger UI calls a protected route from FastAPI's ``/docs``, in Chromium: with a pasted token or a sign-in.

FastAPI's page is as it comes; the npm package answers in place of the CDN that it names.
"""

# No "from __future__ import annotations": FastAPI resolves them in the globals, and these routes are local.

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Security
from fastapi.openapi.models import OAuth2, OAuthFlowAuthorizationCode, OAuthFlows, OpenIdConnect

from authkit_verify import AuthMiddleware, IssuerAccept, Principal, Verifier
from authkit_verify.fastapi import Bearer
from authkit_verify.testing import FakeIssuer
from fakes import browser, node
from fakes.ports import free_port

API = "https://api.example.test/ES256"
SIGN_IN = {
    "clientId": "docs",
    "usePkceWithAuthorizationCodeGrant": True,
    "additionalQueryStringParams": {"resource": API},
}

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Any]:
    node.need("swagger-ui-dist")
    async with browser.chromium() as opened:
        yield opened


def build(bearer: Bearer, **terms: Any) -> FastAPI:
    app = FastAPI(**terms)

    @app.get("/orders")
    async def orders(caller: Annotated[Principal, Security(bearer, scopes=["orders:read"])]) -> str:
        return f"the orders of {caller.identity}"

    return app


async def serve_locally(route: Any) -> None:
    """Answer a request of the browser from this machine; what is neither here nor in the package fails."""
    url = urlsplit(route.request.url)
    asset = re.search(r"/swagger-ui-dist@5/([\w.-]+)$", url.path)
    if url.hostname == "127.0.0.1":
        await route.continue_()
    elif asset:
        await route.fulfill(path=node.FOLDER / "node_modules" / "swagger-ui-dist" / asset[1])
    else:
        await route.abort()


@asynccontextmanager
async def docs(chromium: Any, app: Any, port: int) -> AsyncIterator[Any]:
    """Open the page of the application."""
    async with browser.listening(app, port):
        context = await chromium.new_context()
        await context.route("**/*", serve_locally)
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{port}/docs")
        yield page
        await context.close()


async def execute(page: Any) -> tuple[str, str]:
    """Call the one route of the page; return the status and the body that it shows."""
    if await page.locator(".btn-clear").count():
        await page.click(".btn-clear")
    else:
        await page.click(".opblock-summary-control")
        await page.click(".try-out__btn")
    await page.click(".execute")
    answer = page.locator(".live-responses-table .response")
    status = await answer.locator(".response-col_status").inner_text()
    return status.split()[0], await answer.locator(".response-col_description").inner_text()


@pytest.mark.parametrize("behind", [False, True], ids=["alone", "behind the middleware"])
async def test_a_pasted_token_is_sent(chromium: Any, issuer: FakeIssuer, *, behind: bool) -> None:
    verifier = issuer.verifier()
    app: Any = build(Bearer(verifier))
    if behind:
        app = AuthMiddleware(app, verifier, exclude=["/docs", "/docs/*", "/openapi.json"])
    async with docs(chromium, app, free_port()) as page:
        assert (await execute(page))[0] == "401"
        await page.click(".scheme-container .authorize")
        await page.fill(".dialog-ux input", issuer.mint("ann", scope="orders:read"))
        await page.click(".dialog-ux .authorize")
        await page.click(".dialog-ux .btn-done")
        status, body = await execute(page)
        assert status == "200", body
        assert "the orders of ann" in body


def signing_in(provider: str, verifier: Verifier, kind: str) -> FastAPI:
    """Return the application as the README builds it, or with the metadata in place of the two addresses."""
    if kind == "metadata":
        model: Any = OpenIdConnect(openIdConnectUrl=f"{provider}/.well-known/openid-configuration")
    else:
        code = OAuthFlowAuthorizationCode(
            authorizationUrl=f"{provider}/auth",
            tokenUrl=f"{provider}/token",
            scopes={"orders:read": "See your orders"},
        )
        model = OAuth2(flows=OAuthFlows(authorizationCode=code))
    return build(Bearer(verifier, model=model), swagger_ui_init_oauth=SIGN_IN)


async def shown(element: Any) -> bool:
    """True if the element appears within a second."""
    for _ in range(10):
        if await element.is_visible():
            return True
        await asyncio.sleep(0.1)
    return False


async def sign_in(page: Any) -> None:
    """Authorize the page: ann signs in at the provider, in the window that opens, and agrees."""
    dialog = page.locator(".auth-container", has_text=re.compile("authorization_?code", re.IGNORECASE))
    scope = dialog.locator("label", has_text="orders:read").first
    await page.click(".scheme-container .authorize")
    # A dialog that opens before the page has read the issuer's metadata stays empty: open another.
    while not await shown(scope):
        await page.click(".dialog-ux .close-modal")
        await page.click(".scheme-container .authorize")
    await scope.click()
    async with page.expect_popup() as opened:
        await dialog.locator("button.authorize").click()
    window = await opened.value
    await window.fill("input[name=login]", "ann")
    await window.fill("input[name=password]", "any")
    await window.click("button[type=submit]")
    await window.click("button[type=submit]")
    await page.locator("button", has_text="Logout").first.wait_for()
    await page.click(".dialog-ux .btn-done")


@pytest.mark.parametrize("kind", ["addresses", "metadata"])
async def test_a_user_signs_in_with_pkce(chromium: Any, provider: str, docs_port: int, kind: str) -> None:
    accept = IssuerAccept(issuer=provider, audiences=[API], allow_http_loopback=True)
    async with (
        Verifier(accept) as verifier,
        docs(chromium, signing_in(provider, verifier, kind), docs_port) as page,
    ):
        await sign_in(page)
        status, body = await execute(page)
        assert status == "200", body
        assert "the orders of ann" in body
