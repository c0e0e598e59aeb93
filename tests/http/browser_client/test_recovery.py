"""Recovery in Chromium: a user who lost every second factor, and an owner who cancels by a notice."""

from __future__ import annotations

import pytest

from fakes.recovery import DELAY, wait_out
from fakes.users import finish_background

ADA, PASSWORD, PHONE = "ada@example.test", "correct horse battery", "+15550100200"


@pytest.fixture
async def stage(make_stage):
    made = await make_stage(recovery_delay=DELAY)
    service = made.service
    user = await service.users.add(email=ADA, username="ada_l", verified=True)
    await service.passwords.store_hash(user.id, await service.passwords.hash(PASSWORD))
    await service.two_factor.send_phone_setup_code(user.id, PHONE)
    await service.two_factor.enable(user.id, "sms", PHONE, code=await made.code(PHONE))
    return made


async def opened(stage, path="/"):
    """Return a tab that has the module of recoveries as well."""
    page = await stage.tab(path)
    load = "async (url) => { window.recovery = (await import(url)).recoveryOf(auth); }"
    await page.evaluate(load, f"{stage.api}/auth/client/recovery.js")
    return page


async def waiting(page) -> object:
    signed = await page.evaluate("(who) => auth.signIn(who)", {"identifier": ADA, "password": PASSWORD})
    return signed["secondFactor"]


async def start(page, factor: object) -> object:
    return await page.evaluate(
        "async (factor) => { const { ready, startedAt, completesAt } = await recovery.start(factor);"
        " return { ready, wait: completesAt - startedAt }; }",
        factor,
    )


async def test_a_user_who_lost_the_phone_signs_in_after_the_wait(stage):
    page = await opened(stage)
    factor = await waiting(page)
    assert await start(page, factor) == {"ready": False, "wait": DELAY * 1000}
    complete = "(factor) => refusal(() => recovery.complete(factor))"
    assert (await page.evaluate(complete, factor))["code"] == "recovery_not_ready"
    await wait_out(stage.service)
    factor = await waiting(page)
    assert await start(page, factor) == {"ready": True, "wait": DELAY * 1000}
    done = await page.evaluate("(factor) => recovery.complete(factor)", factor)
    assert done["user"]["username"] == "ada_l"
    assert await page.evaluate("() => recovery.current()") is None


async def test_the_link_of_a_notice_cancels_after_a_click(stage):
    page = await opened(stage)
    await start(page, await waiting(page))
    await finish_background(stage.service)
    token = next(message.token for message in stage.mailbox.to(ADA) if message.token)
    notice = await opened(stage, f"/cancel-recovery#token={token}")
    assert await stage.service.recovery.get((await stage.service.users.get_by_email(ADA)).id)
    assert await notice.evaluate("() => recovery.cancelByLink()") is True
    assert await notice.evaluate("() => location.hash") == ""
    assert await notice.evaluate("() => recovery.cancelByLink()") is False
    assert await stage.service.recovery.get((await stage.service.users.get_by_email(ADA)).id) is None


async def test_a_signed_in_user_sees_and_cancels_it(stage):
    page = await opened(stage)
    factor = await waiting(page)
    await page.evaluate(
        "([f, code]) => auth.completeSecondFactor(f, code)", [factor, await stage.code(PHONE)]
    )
    other = await opened(stage, "/")
    await start(other, await waiting(other))
    shown = "async () => (await recovery.current()).expiresAt instanceof Date"
    assert await page.evaluate(shown)
    await page.evaluate("() => recovery.cancel()")
    assert await page.evaluate("() => recovery.current()") is None
