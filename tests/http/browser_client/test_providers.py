"""Logins at a provider through the client: in a popup, and by redirect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from authkit_issuer.config import ProviderConfig
from fakes import browser
from fakes.patience import PATIENCE
from fakes.provider import CLIENT, HTML, SECRET, LoopbackProvider, Reply

pytestmark = pytest.mark.timeout(180)

# A click, so that the browser lets a window open.
BUTTON = """() => {
  document.body.innerHTML = '<button id="go">sign in</button>';
  document.getElementById("go").onclick = () => {
    window.done = auth.signInWithPopup("loop").catch(({ code, metadata }) => ({ code, metadata }));
  };
}"""


@pytest.fixture
async def idp(clock):
    provider = LoopbackProvider(clock)
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
async def stage(make_stage, idp):
    loop = ProviderConfig(
        client_id=CLIENT,
        client_secret=SECRET,
        issuer=idp.issuer,
        allow_http_loopback=True,
        trusts_email=True,
    )
    return await make_stage(providers={"loop": loop})


async def click(page: Any) -> Any:
    """Begin a login in a popup and return the window."""
    await page.evaluate(BUTTON)
    async with page.expect_popup() as opened:
        await page.click("#go")
    return await opened.value


async def test_a_popup_signs_in_and_closes(stage):
    page = await stage.tab()
    popup = await click(page)
    done = await page.evaluate("done")
    assert (done["user"]["email"], done["created"]) == ("ada@example.test", True)
    if not popup.is_closed():
        await popup.wait_for_event("close")
    await page.reload()
    await page.wait_for_function("!!window.auth")
    assert (await page.evaluate("auth.currentUser()"))["email"] == "ada@example.test"
    assert stage.complaints == []


async def test_a_second_factor_follows_a_popup(stage):
    page = await stage.tab()
    await click(page)
    await page.evaluate("done")
    await page.evaluate("auth.request('POST', '/auth/user/2fa/start-email')")
    enable = "(code) => auth.request('POST', '/auth/user/2fa/enable', { method: 'email', code })"
    await page.evaluate(enable, await stage.code())
    await page.evaluate("auth.signOut()")
    await click(page)
    waiting = (await page.evaluate("done"))["secondFactor"]
    answer = "([waiting, code]) => auth.completeSecondFactor(waiting, code)"
    done = await page.evaluate(answer, [waiting, await stage.code()])
    assert done["user"]["email"] == "ada@example.test"


async def test_a_window_that_the_user_closes_is_an_error_of_its_own(stage, idp):
    page = await stage.tab()
    idp.metadata["authorization_endpoint"] = f"{stage.app}/waiting"
    popup = await click(page)
    await popup.close()
    assert (await page.evaluate("done"))["code"] == "popup_closed"
    assert await page.evaluate("auth.currentUser()") is None


async def test_a_provider_that_cuts_the_popup_off_leads_to_the_callback_page(stage, idp):
    idp.metadata["authorization_endpoint"] = f"{idp.issuer}/apart"
    idp.replies["/apart"] = Reply(
        body=b"<script>location.replace('/authorize' + location.search)</script>",
        headers=HTML | {"cross-origin-opener-policy": "same-origin"},
    )
    page = await stage.tab()
    popup = await click(page)
    assert (await page.evaluate("done"))["code"] == "popup_closed"
    await popup.wait_for_url("**/login/callback#**")
    await popup.wait_for_function("!!window.auth")
    assert (await popup.evaluate("auth.completeRedirect()"))["user"]["email"] == "ada@example.test"
    await page.wait_for_function("changes.some((change) => change.signedIn && change.elsewhere)")
    assert (await page.evaluate("auth.currentUser()"))["email"] == "ada@example.test"


async def test_a_popup_for_a_page_of_another_origin_ends_as_closed(stage):
    stage.app = stage.app.replace("127.0.0.1", "localhost")  # not the link_base_url
    page = await stage.context.new_page()
    await page.goto(stage.app)
    await page.evaluate(
        "async (api) => { const { createClient } = await import(api + '/auth/client/authkit.js');"
        " window.auth = createClient({ issuer: api, storage: 'memory' }); }",
        stage.api,
    )
    await click(page)
    assert (await page.evaluate("done"))["code"] == "popup_closed"


async def test_what_another_page_or_another_login_says_is_not_heard(stage, idp):
    page = await stage.tab()
    idp.metadata["authorization_endpoint"] = f"{stage.app}/waiting"
    popup = await click(page)
    await popup.wait_for_function("!!window.auth")
    forged = "(nonce) => opener.postMessage({ nonce, provider: 'loop', error: 'forged' }, '*')"
    nonce = await popup.evaluate("window.name")
    await popup.evaluate(forged, nonce)  # the right nonce, from an origin that is not the issuer's
    await page.wait_for_timeout(100)
    await popup.close()
    assert (await page.evaluate("done"))["code"] == "popup_closed"


async def test_a_refusal_of_the_provider_comes_with_its_code(stage, idp):
    page = await stage.tab()
    idp.claims["nonce"] = "another one"
    await click(page)
    done = await page.evaluate("done")
    assert done["code"] == "oidc_exchange_failed"
    assert done["metadata"]["check"] == "nonce"


async def test_a_login_by_redirect_comes_back_to_where_it_began(stage):
    page = await stage.tab("/orders")
    await page.evaluate("auth.signInWithRedirect('loop', { returnTo: '/orders?open=1' })")
    await page.wait_for_url("**/login/callback#**")
    await page.wait_for_function("!!window.auth")
    done = await page.evaluate("auth.completeRedirect()")
    assert (done["user"]["email"], done["returnTo"]) == ("ada@example.test", "/orders?open=1")
    assert page.url == f"{stage.app}/login/callback"  # the code is gone from the history
    assert await page.evaluate("auth.completeRedirect()") is None


@pytest.mark.parametrize(
    "path",
    ["javascript:alert(1)", "https://evil.test/", "//evil.test", "/\\evil.test", "/\t/evil.test", "evil"],
)
async def test_a_forged_link_sends_the_page_nowhere_else(stage, path):
    told = {"provider": "loop", "error": "two_factor_required", "challenge": "c", "return_to": path}
    page = await stage.tab(f"/login/callback#{urlencode(told)}")
    done = await page.evaluate("auth.completeRedirect()")
    assert done["secondFactor"]["challenge"] == "c"
    assert done.get("returnTo") is None


async def test_a_popup_that_the_browser_blocks_is_an_error_of_its_own(stage):
    async with browser.chromium(blocks_popups=True) as careful:
        context = await careful.new_context()
        # By the page itself: what a test evaluates counts as the act of a user.
        await context.add_init_script(
            "addEventListener('load', () => refusal(() => auth.signInWithPopup('loop')).then(({ code }) => {"
            " document.title = code; }));"
        )
        page = await context.new_page()
        await page.goto(stage.app)
        await until(page.title, "popup_blocked")
        await context.close()


async def until(ask: Callable[[], Awaitable[str]], wanted: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while await ask() != wanted:
            await asyncio.sleep(0.05)
