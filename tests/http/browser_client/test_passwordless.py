"""Sign-in by a message in Chromium: the code, the link in another tab, and another browser."""

from __future__ import annotations

import pytest

from fakes.users import finish_background

ADA = "ada@example.test"
START = "(who) => window.messages.start(who)"
CONFIRM = "(code) => window.messages.confirm(code)"
LINK = "() => window.messages.completeLink()"


@pytest.fixture
async def stage(make_stage):
    made = await make_stage(passwordless="both")
    await made.service.users.add(email=ADA, username="ada_l", verified=True)
    return made


async def opened(stage, path="/", context=None):
    """Return a tab that has the module of sign-ins by a message as well."""
    page = await stage.tab(path, context)
    module = f"{stage.api}/auth/client/passwordless.js"
    load = "async (url) => { window.messages = (await import(url)).passwordlessOf(auth); }"
    await page.evaluate(load, module)
    return page


async def refusal(page, work: str) -> str:
    return (await page.evaluate(f"() => refusal(() => {work})"))["code"]


async def test_a_code_signs_in_where_it_was_asked_for(stage):
    page = await opened(stage)
    assert await page.evaluate(START, {"identifier": ADA}) == {"expiresIn": 600}
    assert await refusal(page, 'messages.confirm("000000x")') == "invalid_or_expired_code"
    result = await page.evaluate(CONFIRM, await stage.code())
    assert (result["user"]["username"], result["created"]) == ("ada_l", False)
    assert await page.evaluate("() => localStorage.length") == 0
    assert stage.complaints == []


@pytest.mark.parametrize("kept_by", ["cookie", "page"])
async def test_the_link_of_the_mail_signs_in_another_tab_of_the_browser(stage, kept_by):
    page = await opened(stage)
    await page.evaluate(START, {"identifier": ADA, "returnTo": "/orders?page=2"})
    await stage.code()
    token = stage.mailbox.last(ADA).token
    if kept_by == "cookie":
        await page.evaluate("() => localStorage.clear()")
    else:
        await stage.context.clear_cookies()
    tab = await opened(stage, f"/sign-in#token={token}")
    result = await tab.evaluate(LINK)
    assert (result["user"]["username"], result["returnTo"]) == ("ada_l", "/orders?page=2")
    assert await tab.evaluate("() => location.hash") == ""
    assert await tab.evaluate(LINK) is None
    names = [cookie["name"] for cookie in await stage.context.cookies()]
    assert "authkit_passwordless" not in names
    await page.wait_for_function("() => changes.length === 1")
    assert (await page.evaluate("() => auth.currentUser()"))["username"] == "ada_l"


async def test_the_link_signs_no_other_browser_in_and_the_code_still_works(stage):
    page = await opened(stage)
    await page.evaluate(START, {"identifier": ADA})
    code, token = await stage.code(), stage.mailbox.last(ADA).token
    elsewhere = await stage.context.browser.new_context()
    tab = await opened(stage, f"/sign-in#token={token}", elsewhere)
    assert await refusal(tab, "messages.completeLink()") == "sign_in_began_elsewhere"
    assert await tab.evaluate("() => auth.currentUser()") is None
    await elsewhere.close()
    assert (await page.evaluate(CONFIRM, code))["user"]["username"] == "ada_l"


async def test_an_attackers_link_signs_the_victim_in_to_no_account(stage):
    attacker = await opened(stage, context=await stage.context.browser.new_context())
    await attacker.evaluate(START, {"identifier": ADA})
    await stage.code()
    token = stage.mailbox.last(ADA).token
    victim = await opened(stage)
    await victim.evaluate(START, {"identifier": "victim@example.test"})
    tab = await opened(stage, f"/sign-in#token={token}&flow_id=x")
    assert await refusal(tab, "messages.completeLink()") == "sign_in_began_elsewhere"
    assert await tab.evaluate("() => auth.currentUser()") is None
    await attacker.context.close()


async def test_a_second_factor_comes_after_the_message(stage):
    user = await stage.service.users.get_by_email(ADA)
    await stage.service.two_factor.send_phone_setup_code(user.id, "+15550100200")
    code = await stage.code("+15550100200")
    await stage.service.two_factor.enable(user.id, "sms", "+15550100200", code=code)
    page = await opened(stage)
    await page.evaluate(START, {"identifier": ADA})
    await finish_background(stage.service)
    mail = next(message for message in stage.mailbox.to(ADA) if message.kind == "sign_in_link")
    result = await page.evaluate(CONFIRM, mail.code)
    assert result["secondFactor"]["method"] == "sms"
    finish = "([factor, code]) => auth.completeSecondFactor(factor, code)"
    done = await page.evaluate(finish, [result["secondFactor"], await stage.code("+15550100200")])
    assert done["user"]["username"] == "ada_l"
