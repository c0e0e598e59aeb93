"""Chromium goes through logins: redirects, popups, cookies and the policy of our page are its own affair.

The app, the issuer and the provider are three origins; the provider is another site where it matters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from authkit_issuer.http import create_app
from authkit_issuer.service import Service
from fakes import browser
from fakes.browser import listening
from fakes.ports import free_port
from fakes.provider import LoopbackProvider

pytestmark = pytest.mark.timeout(180)

# What an app does: it sends the browser, hears of the result, and trades it.
PAGE = """
<!doctype html><title>app</title><link rel="icon" href="data:,">
<a id="go" href="API/auth/oidc/loop/login?return_to=/orders">sign in</a>
<button id="popup">sign in</button><pre id="out"></pre>
<script>
const show = (value) => { document.getElementById('out').textContent = JSON.stringify(value); };
async function trade(told) {
  if (!told.result_code) { show(told); return; }
  const answer = await fetch('API/auth/oidc/result', {
    method: 'POST', credentials: 'include', headers: {'content-type': 'application/json'},
    body: JSON.stringify({code: told.result_code}),
  });
  show(await answer.json());
}
if (location.hash) trade(Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
document.getElementById('popup').onclick = () => {
  window.open('API/auth/oidc/loop/login?ui=popup&popup_nonce=n-1', 'p', 'width=300,height=300');
};
window.heard = [];
window.onmessage = (event) => { window.heard.push([event.origin, event.data.type, event.data.nonce]);
  trade(event.data); };
</script>
"""


@dataclass
class Stage:
    """A browser before an app, an issuer and a provider."""

    service: Service
    idp: LoopbackProvider
    context: Any
    app: str
    api: str
    foreign: str
    """The same page under an origin that is not the app's."""
    complaints: list[str]

    async def page(self, address: str) -> Any:
        page = await self.context.new_page()
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        await page.goto(address)
        return page

    async def shown(self, page: Any) -> dict[str, Any]:
        await page.wait_for_function("document.getElementById('out')?.textContent")
        return await page.evaluate("JSON.parse(document.getElementById('out').textContent)")


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Any]:
    """One browser for the module; each test has a context of its own in it, with no cookies."""
    async with browser.chromium() as opened:
        yield opened


@pytest.fixture(params=["other names", "development"])
async def stage(request, chromium, make_service, idp, providers) -> AsyncIterator[Stage]:
    dev = request.param == "development"
    api, app = free_port(), free_port()
    names = {"app": f"http://127.0.0.1:{app}", "api": f"http://127.0.0.1:{api}"}
    async with AsyncExitStack() as stack:
        service = await make_service(
            providers=providers, base_url=names["api"], link_base_url=names["app"],
            cors_origins=(names["app"],), dev=dev,
        )  # fmt: skip
        page = PAGE.replace("API", names["api"])
        routes = [Route("/{path:path}", lambda request: HTMLResponse(page))]
        await stack.enter_async_context(listening(create_app(service), api))
        await stack.enter_async_context(listening(Starlette(routes=routes), app))
        context = await chromium.new_context()
        foreign = f"http://localhost:{app}"
        yield Stage(service, idp, context, foreign=foreign, complaints=[], **names)
        await context.close()


async def test_a_person_is_redirected_out_and_back_and_signed_in(stage: Stage) -> None:
    page = await stage.page(stage.app)
    await page.click("#go")
    shown = await stage.shown(page)
    assert shown["return_to"] == "/orders"
    claims = await stage.service.tokens.verify(shown["access_token"])
    assert (await stage.service.users.get(claims.user_id)).email == "ada@example.test"
    assert page.url.startswith(f"{stage.app}/login/callback#")
    # Nothing of the login is left in the browser but what it is known by.
    (left,) = await stage.context.cookies()
    assert left["name"].endswith("authkit_device")
    assert stage.complaints == []


async def test_a_popup_tells_the_app_and_closes(stage: Stage) -> None:
    page = await stage.page(stage.app)
    async with page.expect_popup() as opened:
        await page.click("#popup")
    shown = await stage.shown(page)
    assert shown["access_token"]
    assert await page.evaluate("heard") == [[stage.api, "AUTHKIT_OIDC_RESULT", "n-1"]]
    popup = await opened.value
    if not popup.is_closed():
        await popup.wait_for_event("close")
    assert stage.complaints == []


async def test_a_popup_of_a_page_that_is_not_the_app_tells_it_nothing(stage: Stage) -> None:
    page = await stage.page(stage.foreign)
    async with page.expect_popup() as opened:
        await page.click("#popup")
    popup = await opened.value
    if not popup.is_closed():
        await popup.wait_for_event("close")
    assert await page.evaluate("heard") == []
    assert await stage.service.sessions.list_for_user((await stage.service.users.newest())[0].id) == []


async def test_a_popups_page_without_an_opener_goes_on_to_the_app(stage: Stage) -> None:
    page = await stage.page(f"{stage.api}/auth/oidc/loop/login?ui=popup&popup_nonce=n")
    assert (await stage.shown(page))["access_token"]
    assert page.url.startswith(f"{stage.app}/login/callback#")
    assert stage.complaints == []


async def test_a_victim_who_follows_an_attackers_callback_is_not_signed_in(stage: Stage) -> None:
    begun = await stage.service.oidc_login.begin("loop")
    back = stage.idp.approve(begun.auth_url)
    address = f"{stage.api}/auth/oidc/loop/callback?code={back['code']}&state={back['state']}"
    page = await stage.page(address)
    assert (await stage.shown(page))["error"] == "invalid_state"
    assert await stage.service.users.newest() == []


@pytest.mark.parametrize("cross_site", [True, False], ids=["none", "lax"])
async def test_a_form_from_another_site_brings_only_a_cookie_that_may_cross_sites(
    stage: Stage,
    cross_site: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    stage.idp.form_post = True
    stage.idp.metadata["authorization_endpoint"] = f"http://localhost:{stage.idp.port}/authorize"
    stage.service.rt.identity["loop"].form_post = cross_site
    page = await stage.page(stage.app)
    await page.click("#go")
    shown = await stage.shown(page)
    if cross_site:
        assert shown["access_token"]
    else:
        assert shown["error"] == "invalid_state"


async def test_the_app_says_so_when_the_user_denied_the_login(stage: Stage) -> None:
    begun = await stage.context.request.get(f"{stage.api}/auth/oidc/loop/login", max_redirects=0)
    state = stage.idp.approve(begun.headers["location"])["state"]
    page = await stage.page(f"{stage.api}/auth/oidc/loop/callback?state={state}&error=access_denied")
    assert await stage.shown(page) == {"flow": "login", "provider": "loop", "error": "access_denied"}
