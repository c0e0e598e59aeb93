"""Tabs of one browser share a session: one refreshes for all, and all see who is signed in."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer.event_types import SessionEventType

pytestmark = pytest.mark.timeout(1800)

WHO = {"identifier": "ada@example.test", "password": "correct horse battery"}
NO_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined });"
SHARED = [
    SessionEventType.SESSION_REFRESH_SHARED, SessionEventType.REFRESH_TOKEN_FORGED,
]  # fmt: skip


async def change_of(page, signed_in: bool):  # noqa: FBT001 - what the page hears
    """Wait until a tab hears of a change, and return it."""
    found = "(signedIn) => changes.findLast((change) => change.signedIn === signedIn)"
    return await (await page.wait_for_function(found, arg=signed_in)).json_value()


@pytest.mark.parametrize("storage", ["cookie", "indexeddb"])
@pytest.mark.parametrize("locks", ["web locks", "lease"])
async def test_tabs_that_refresh_at_once_never_present_a_token_twice(make_stage, rounds, storage, locks):
    stage = await make_stage(storage, init=NO_LOCKS if locks == "lease" else "")
    tabs = [await stage.tab() for _ in range(2)]
    user = await stage.join(tabs[0])
    stage.issuer.presented.clear()
    count = rounds(500) if locks == "web locks" else rounds(100)
    for number in range(1, count + 1):
        # The token both have ended an hour ago by their clocks.
        due = f"async () => {{ skipped = {number} * 3600e3; return auth.accessToken(); }}"
        got = await asyncio.gather(*(tab.evaluate(due) for tab in tabs))
        for token in got:
            assert (await stage.service.tokens.verify(token)).user_id == user["id"]
    presented = stage.issuer.presented
    assert count <= len(presented) <= 2 * count + 1
    assert len(set(presented)) == len(presented)
    assert len(await stage.service.sessions.list_for_user(user["id"])) == 1
    events = await stage.service.events.list_session_events(user["id"], limit=100)
    assert not [event for event in events if event.event in SHARED]
    assert [
        change for tab in tabs for change in await tab.evaluate("changes") if not change["signedIn"]
    ] == []
    assert stage.complaints == []


@pytest.mark.parametrize("storage", ["cookie", "indexeddb"])
async def test_a_sign_in_and_a_sign_out_are_seen_in_the_other_tab(make_stage, storage):
    stage = await make_stage(storage)
    here, there = await stage.tab(), await stage.tab()
    assert await there.evaluate("auth.currentUser()") is None
    await stage.join(here)
    assert await change_of(there, signed_in=True) == {"signedIn": True, "reason": None, "elsewhere": True}
    assert (await there.evaluate("auth.currentUser()"))["username"] == "ada_l"
    await there.evaluate("auth.signOut()")
    assert await change_of(here, signed_in=False) == {
        "signedIn": False, "reason": "signed_out", "elsewhere": True,
    }  # fmt: skip
    assert await here.evaluate("auth.accessToken()") is None
    assert stage.complaints == []


async def test_tabs_with_tokens_in_memory_have_sessions_of_their_own(make_stage):
    stage = await make_stage("memory")
    here, there = await stage.tab(), await stage.tab()
    await stage.join(here)
    assert await there.evaluate("auth.currentUser()") is None
    assert (await there.evaluate("(who) => auth.signIn(who)", WHO))["user"]["username"] == "ada_l"
    await here.evaluate("auth.signOut()")
    assert (await there.evaluate("auth.currentUser()"))["username"] == "ada_l"


async def test_a_sign_out_wins_over_a_refresh_that_runs_in_another_tab(make_stage, rounds):
    stage = await make_stage()
    here, there = await stage.tab(), await stage.tab()
    await stage.join(here)
    for number in range(1, rounds(100) + 1):
        await there.evaluate(f"skipped = {number} * 3600e3")
        await asyncio.gather(
            here.evaluate(f"async () => {{ skipped = {number} * 3600e3; await auth.signOut(); }}"),
            there.evaluate("auth.accessToken()"),
        )
        assert await here.evaluate("auth.accessToken()") is None
        await there.wait_for_function("async () => (await auth.accessToken()) === null")
        assert (await here.evaluate("(who) => auth.signIn(who)", WHO))["user"]
        await change_of(there, signed_in=True)


async def test_another_users_sign_in_is_what_every_tab_goes_on_with(make_stage):
    stage = await make_stage()
    here, there = await stage.tab(), await stage.tab()
    await stage.join(here, "ada")
    await there.evaluate("auth.currentUser()")
    await stage.join(there, "bob")
    await change_of(here, signed_in=True)
    await here.wait_for_function("async () => (await auth.currentUser()).username === 'bob_l'")
    await here.evaluate("skipped = 3600e3")
    assert (await here.evaluate("auth.currentUser()"))["username"] == "bob_l"


async def test_a_tab_that_is_closed_while_it_refreshes_delays_no_other(make_stage):
    stage = await make_stage()
    here, there = await stage.tab(), await stage.tab()
    await stage.join(here)
    held = asyncio.Event()
    await here.route("**/auth/token", lambda route: held.set())  # no answer at all
    renewing = "() => { skipped = 3600e3; auth.accessToken().catch(() => {}); }"
    await here.evaluate(renewing)
    await held.wait()
    await here.close()
    assert await there.evaluate("async () => { skipped = 3600e3; return auth.accessToken(); }")


async def test_a_tab_that_waited_goes_on_with_the_token_of_the_other_one(make_stage):
    stage = await make_stage()
    here, there = await stage.tab(), await stage.tab()
    await stage.join(here)
    await there.evaluate("auth.currentUser()")
    stage.issuer.presented.clear()
    name = f"authkit {stage.api}"
    holding = """(name) => new Promise((held) => navigator.locks.request(
        name, () => new Promise((go) => { window.go = go; held(); })))"""
    await here.evaluate(holding, name)
    await there.evaluate("() => { skipped = 3600e3; window.waiting = auth.accessToken(); }")
    # A channel that is opened later hears each message later, too.
    await there.evaluate(
        "(name) => { new BroadcastChannel(name).onmessage = () => { window.heard = 1; }; }", name
    )
    token = {"access": "the other's", "since": 0, "renew": 9e15, "ends": 9e15}
    news = {"token": token, "reason": None, "opened": False, "at": 8e15}
    await here.evaluate("([name, news]) => new BroadcastChannel(name).postMessage(news)", [name, news])
    await there.wait_for_function("window.heard")
    await here.evaluate("go()")
    assert await there.evaluate("waiting") == "the other's"
    assert stage.issuer.presented == []


async def test_a_page_from_the_cache_of_the_browser_asks_again(make_stage):
    stage = await make_stage()
    here, there = await stage.tab(), await stage.tab()
    await stage.join(here)
    await there.evaluate("auth.currentUser()")
    # What a frozen page misses: its channel is silent.
    await there.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    await there.evaluate("auth.signOut()")
    await here.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    assert await here.evaluate("auth.accessToken()") is None
    assert (await change_of(here, signed_in=False))["elsewhere"] is False
