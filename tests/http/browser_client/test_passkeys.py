"""Passkeys in Chromium, with the authenticator that its developer tools provide."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import node
from fakes.factors import add_app, events
from fakes.virtual_authenticator import Virtual

SETTINGS = {"host": "localhost", "webauthn_rp_id": "localhost"}
ADA, PASSWORD = "ada@example.test", "correct horse battery"
ADD = "async (options) => keys.add(options)"
SIGN_IN = "async () => (await keys.signIn()).user?.username"


async def opened(stage: Any) -> Any:
    """Return a tab that has the module of passkeys as well."""
    return await with_keys(stage, await stage.tab())


async def with_keys(stage: Any, page: Any) -> Any:
    module = f"{stage.api}/auth/client/passkeys.js"
    await page.evaluate("async (url) => { window.keys = (await import(url)).passkeysOf(auth); }", module)
    return page


async def refusal(page: Any, work: str) -> str:
    return (await page.evaluate(f"() => refusal(() => {work})"))["code"]


@pytest.fixture
async def stage(make_stage):
    return await make_stage(**SETTINGS)


async def test_a_passkey_is_added_and_signs_in_by_a_button(stage):
    page = await opened(stage)
    virtual = await Virtual.of(page)
    user = await stage.join(page)
    added = await page.evaluate(ADD, {"name": "Laptop"})
    assert (added["name"], added["transports"], added["suspended"]) == ("Laptop", ["internal"], False)
    (kept,) = await virtual.credentials()
    assert (kept["rpId"], kept["isResidentCredential"]) == ("localhost", True)
    await page.evaluate("() => auth.signOut()")
    assert await page.evaluate(SIGN_IN) == "ada_l"
    found = await page.evaluate("() => auth.currentUser()")
    assert (found["id"], found["amr"]) == (user["id"], ["hwk", "user", "mfa"])
    assert [entry["id"] for entry in await page.evaluate("() => keys.list()")] == [added["id"]]
    # The options exclude what the authenticator has already.
    assert await refusal(page, "keys.add()") == "passkey_not_used"


async def test_a_passkey_signs_in_by_the_autofill_of_a_form(stage):
    page = await opened(stage)
    await Virtual.of(page)
    await stage.join(page)
    await page.evaluate(ADD, {})
    await page.evaluate("() => auth.signOut()")
    await page.evaluate(
        """() => {
          document.body.innerHTML = '<input autocomplete="username webauthn">';
          document.querySelector("input").focus();
        }"""
    )
    assert await page.evaluate("async () => (await keys.signIn({ autofill: true })).user.username") == "ada_l"


async def test_a_waiting_form_is_ended_by_its_signal(stage):
    page = await opened(stage)
    virtual = await Virtual.of(page)
    await virtual.call("setAutomaticPresenceSimulation", enabled=False)
    work = "keys.signIn({ autofill: true, signal: AbortSignal.timeout(200) })"
    assert await refusal(page, work) == "passkey_not_used"


async def test_a_passkey_proves_its_user_again(stage, age):
    page = await opened(stage)
    await Virtual.of(page)
    await stage.join(page)
    await page.evaluate(ADD, {})
    session = (await page.evaluate("() => auth.currentUser()"))["session_id"]
    await age("refresh_sessions", session, auth_time=7200)
    (entry,) = await page.evaluate("() => keys.list()")
    remove = f"auth.request('DELETE', '/auth/passkeys/{entry['id']}')"
    assert await refusal(page, remove) == "step_up_required"
    await page.evaluate("() => keys.stepUp()")
    assert await page.evaluate(f"() => {remove}") == {"ok": True}


async def test_a_passkey_is_the_second_factor_of_a_sign_in_by_password(make_stage):
    stage = await make_stage(**SETTINGS, two_factor_remember=3600)
    page = await opened(stage)
    virtual = await Virtual.of(page)
    user = await stage.join(page)
    await page.evaluate(ADD, {})
    await add_app(stage.service, user["id"])
    sign_in = (
        "async (who) => { window.waiting = (await auth.signIn(who)).secondFactor; return waiting.methods; }"
    )
    who = {"identifier": ADA, "password": PASSWORD}
    await page.evaluate("() => auth.signOut()")
    methods = await page.evaluate(sign_in, who)
    assert sorted(method["kind"] for method in methods) == ["passkey", "totp"]
    await virtual.call("setUserVerified", isUserVerified=False)
    assert await refusal(page, "keys.completeSecondFactor(waiting)") == "passkey_not_used"
    await virtual.call("setUserVerified", isUserVerified=True)
    finish = "async (more) => (await keys.completeSecondFactor(waiting, more)).user"
    found = await page.evaluate(finish, {"rememberDevice": True})
    assert (found["id"], found["amr"]) == (user["id"], ["pwd", "hwk", "user", "mfa"])
    # The challenge is used, and the device asks for no second factor any more.
    assert await refusal(page, "keys.completeSecondFactor(waiting)") == "invalid_challenge"
    await page.evaluate("() => auth.signOut()")
    assert await page.evaluate("async (who) => (await auth.signIn(who)).user.id", who) == user["id"]


async def test_a_passkey_of_another_user_is_no_second_factor(make_stage):
    stage = await make_stage("memory", **SETTINGS)
    page = await opened(stage)
    await Virtual.of(page)
    await stage.join(page, "eve")
    await page.evaluate(ADD, {})
    other = await with_keys(stage, await stage.tab())
    await Virtual.of(other)
    user = await stage.join(other)
    await other.evaluate(ADD, {})
    await add_app(stage.service, user["id"])
    # Eve knows the password of Ada, and has a passkey of her own.
    who = {"identifier": ADA, "password": PASSWORD}
    await page.evaluate("async (who) => { window.waiting = (await auth.signIn(who)).secondFactor; }", who)
    assert await refusal(page, "keys.completeSecondFactor(waiting)") == "passkey_not_used"


async def test_a_removed_passkey_signs_in_no_more(stage):
    page = await opened(stage)
    await Virtual.of(page)
    await stage.join(page)
    added = await page.evaluate(ADD, {})
    await page.evaluate(f"() => auth.request('DELETE', '/auth/passkeys/{added['id']}')")
    await page.evaluate("() => auth.signOut()")
    assert await refusal(page, "keys.signIn()") == "passkey_unknown"


async def test_a_cloned_authenticator_suspends_the_passkey(stage):
    page = await opened(stage)
    virtual = await Virtual.of(page, transport="usb")
    await stage.join(page)
    await page.evaluate(ADD, {})
    (kept,) = await virtual.credentials()
    for _ in range(2):
        await page.evaluate("() => auth.signOut()")
        assert await page.evaluate(SIGN_IN) == "ada_l"
    await page.evaluate("() => auth.signOut()")
    await virtual.call("removeVirtualAuthenticator")
    clone = await Virtual.of(page, transport="usb")
    await clone.call("addCredential", credential={**kept, "signCount": 1})
    assert await refusal(page, "keys.signIn()") == "passkey_suspended"
    assert len(await events(stage.service, "passkey_counter_regressed")) == 1
    assert await refusal(page, "keys.signIn()") == "passkey_suspended"


async def test_an_authenticator_that_does_not_verify_its_user_opens_no_session(stage):
    page = await opened(stage)
    virtual = await Virtual.of(page)
    await stage.join(page)
    await page.evaluate(ADD, {})
    await page.evaluate("() => auth.signOut()")
    await virtual.call("setUserVerified", isUserVerified=False)
    assert await refusal(page, "keys.signIn()") == "passkey_not_used"


async def test_a_page_of_another_domain_cannot_use_the_passkeys(make_stage):
    stage = await make_stage("memory", **SETTINGS)
    page = await opened(stage)
    await Virtual.of(page)
    await stage.join(page)
    await page.evaluate(ADD, {})
    await page.goto(stage.app.replace("localhost", "127.0.0.1"))
    await page.wait_for_function("!!window.auth")
    await with_keys(stage, page)
    assert await refusal(page, "keys.signIn()") == "passkey_not_used"


async def test_another_library_reads_the_options_and_its_answers_are_accepted(stage):
    node.need("@simplewebauthn/browser")
    page = await opened(stage)
    await Virtual.of(page)
    await stage.join(page)
    bundle = node.FOLDER / "node_modules/@simplewebauthn/browser/dist/bundle/index.umd.min.js"
    await page.add_script_tag(content=bundle.read_text())
    added = await page.evaluate(
        """async () => {
          const { options } = await auth.request("POST", "/auth/passkeys/register/begin");
          const credential = await SimpleWebAuthnBrowser.startRegistration({ optionsJSON: options });
          return auth.request("POST", "/auth/passkeys/register/finish", { credential });
        }"""
    )
    assert added["transports"] == ["internal"]
    await page.evaluate("() => auth.signOut()")
    name = await page.evaluate(
        """async () => {
          const { options } = await auth.post("/auth/passkeys/login/begin");
          const credential = await SimpleWebAuthnBrowser.startAuthentication({ optionsJSON: options });
          return (await auth.openSession("/auth/passkeys/login/finish", { credential })).user.username;
        }"""
    )
    assert name == "ada_l"
