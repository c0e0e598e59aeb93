"""The whole way of a user through the client: sign-up, sign-in with a second factor, changes, sign-out."""

from __future__ import annotations

import pytest

from fakes.factors import app_code
from fakes.until import until
from fakes.users import finish_background

pytestmark = pytest.mark.timeout(180)

ADA, PASSWORD = "ada@example.test", "correct horse battery"
WHO = {"identifier": ADA, "password": PASSWORD}


@pytest.mark.parametrize("storage", ["cookie", "indexeddb", "memory"])
async def test_a_user_signs_up_stays_signed_in_and_signs_out(make_stage, storage):
    stage = await make_stage(storage)
    page = await stage.tab()
    assert await page.evaluate("auth.currentUser()") is None
    assert (await stage.join(page))["email"] == ADA
    await page.reload()
    await page.wait_for_function("window.auth")
    kept = await page.evaluate("auth.currentUser()")
    if storage == "memory":
        assert kept is None
        signed_in = await page.evaluate("(who) => auth.signIn(who)", WHO)
        assert signed_in["user"]["username"] == "ada_l"
    else:
        assert kept["email"] == ADA
    token = await page.evaluate("auth.accessToken()")
    assert (await stage.service.tokens.verify(token)).username == "ada_l"
    await page.evaluate("auth.signOut()")
    assert await page.evaluate("auth.accessToken()") is None
    await page.reload()
    await page.wait_for_function("window.auth")
    assert await page.evaluate("auth.currentUser()") is None
    (user,) = await stage.service.users.newest()
    ended = await stage.service.sessions.list_for_user(user.id)
    assert len(ended) == (1 if storage == "memory" else 0)  # of the page before its reload
    assert stage.complaints == []


@pytest.mark.parametrize("prefix", ["", "/accounts"])
async def test_the_routes_may_have_another_prefix(make_stage, prefix):
    stage = await make_stage(route_prefix=prefix)
    page = await stage.tab()
    await stage.join(page)
    sessions = await page.evaluate("auth.request('GET', '/auth/user/sessions')")
    assert [session["current"] for session in sessions["data"]] == [True]


async def test_no_script_can_read_the_refresh_token_of_the_cookie(make_stage):
    stage = await make_stage("cookie")
    page = await stage.tab()
    bodies = []

    async def note(answer):
        if "/auth/token" in answer.url or "/confirm" in answer.url:
            bodies.append(await answer.text())

    page.on("response", note)
    await stage.join(page)
    await page.evaluate("async () => { skipped = 3600e3; await auth.accessToken(); }")
    (cookie,) = [one for one in await stage.context.cookies() if one["name"] == "authkit_refresh"]
    assert cookie["httpOnly"]
    assert cookie["value"].startswith("akr_")
    assert await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
    assert await page.evaluate("indexedDB.databases()") == []
    assert len(bodies) == 2
    assert "akr_" not in "".join(bodies)


async def test_a_second_factor_is_a_result_and_not_an_error(make_stage):
    stage = await make_stage()
    page = await stage.tab()
    await stage.join(page)
    await page.evaluate("auth.request('POST', '/auth/user/2fa/start-email')")
    enable = "(code) => auth.request('POST', '/auth/user/2fa/enable', { method: 'email', code })"
    enabled = await page.evaluate(enable, await stage.code())
    await page.evaluate("auth.signOut()")
    waiting = await page.evaluate("(who) => auth.signIn(who)", WHO)
    assert waiting["secondFactor"]["destination"] == "a***@e***.test"
    assert waiting["secondFactor"]["codeSent"] is True
    assert await page.evaluate("auth.currentUser()") is None
    wrong = "(waiting) => refusal(() => auth.completeSecondFactor(waiting, '000000x'))"
    assert (await page.evaluate(wrong, waiting["secondFactor"]))["code"] == "invalid_or_expired_code"
    answer = "([waiting, code]) => auth.completeSecondFactor(waiting, code)"
    done = await page.evaluate(answer, [waiting["secondFactor"], await stage.code()])
    assert done["user"]["email"] == ADA
    await page.evaluate("auth.signOut()")
    again = (await page.evaluate("(who) => auth.signIn(who)", WHO))["secondFactor"]
    backup = "([waiting, code]) => auth.completeSecondFactor(waiting, code, { backupCode: true })"
    assert (await page.evaluate(backup, [again, enabled["backup_codes"][0]]))["user"]["email"] == ADA


async def test_a_user_chooses_among_second_factors(make_stage):
    stage = await make_stage()
    page = await stage.tab()
    user = await stage.join(page)
    begun = await page.evaluate("auth.request('POST', '/auth/user/2fa/totp/begin')")
    draw = "(svg) => { document.body.innerHTML = svg; return !!document.querySelector('svg path'); }"
    assert await page.evaluate(draw, begun["qr_svg"])
    confirm = "(code) => auth.request('POST', '/auth/user/2fa/totp/confirm', { code, name: 'Phone' })"
    added = await page.evaluate(confirm, app_code(begun["secret"], 0))
    await stage.service.two_factor.send_email_setup_code(user["id"])
    await stage.service.second_factors.add(user["id"], "email", code=await stage.code())
    assert (await page.evaluate("auth.sendStepUpCode()"))["method"] == "totp"
    await page.evaluate("(code) => auth.stepUp({ code })", app_code(begun["secret"]))
    await page.evaluate("auth.signOut()")
    waiting = (await page.evaluate("(who) => auth.signIn(who)", WHO))["secondFactor"]
    assert (waiting["method"], waiting["codeSent"], waiting["factorId"]) == ("totp", False, added["id"])
    assert [method["kind"] for method in waiting["methods"]] == ["totp", "email"]
    choose = "([waiting, id]) => auth.chooseSecondFactor(waiting, id)"
    chosen = await page.evaluate(choose, [waiting, waiting["methods"][1]["id"]])
    assert (chosen["destination"], chosen["codeSent"]) == ("a***@e***.test", True)
    answer = "([waiting, code]) => auth.completeSecondFactor(waiting, code)"
    done = await page.evaluate(answer, [chosen, await stage.code()])
    assert done["user"]["email"] == ADA


@pytest.mark.parametrize("sends", ["code", "link"])
async def test_a_forgotten_password_is_replaced_by_the_code_or_the_token_of_the_link(
    make_stage, mailbox, sends
):
    class Codes:
        """A sender that sends no links."""

        send_password_reset_code = mailbox.send_password_reset_code
        send_email_verification_code = mailbox.send_email_verification_code
        send_login_code = mailbox.send_login_code
        send_welcome = mailbox.send_welcome

    stage = await make_stage(email_sender=Codes() if sends == "code" else mailbox)
    page = await stage.tab()
    await stage.join(page)
    await page.evaluate("auth.signOut()")
    await page.evaluate("async (who) => { window.reset = await auth.requestPasswordReset(who); }", ADA)
    code = await stage.code()
    proof = "{ ...reset, code }" if sends == "code" else "{ token: code }"
    sent = code if sends == "code" else mailbox.last(ADA).token
    await page.evaluate(f"(code) => auth.resetPassword({proof}, 'another horse battery')", sent)
    refused = await page.evaluate("(who) => refusal(() => auth.signIn(who))", WHO)
    assert (refused["code"], refused["status"], refused["typed"]) == ("invalid_credentials", 401, True)
    again = WHO | {"password": "another horse battery"}
    assert (await page.evaluate("(who) => auth.signIn(who)", again))["user"]["email"] == ADA


async def test_another_address_number_and_password_are_put_in_force(make_stage):
    stage = await make_stage()
    page = await stage.tab()
    await stage.join(page)
    change = "(password) => auth.changeEmail({ newEmail: 'new@example.test', password })"
    assert (await page.evaluate(f"refusal(() => ({change})('wrong one'))"))["code"] == "invalid_password"
    await page.evaluate(change, PASSWORD)
    await page.evaluate("(code) => auth.confirmEmail(code)", await stage.code("new@example.test"))
    phone = {"phoneNumber": "+4915112345678"}
    await page.evaluate("(phone) => auth.changePhone(phone)", phone)
    proof = phone | {"code": await stage.code("+4915112345678")}
    await page.evaluate("(proof) => auth.confirmPhone(proof)", proof)
    passwords = {"currentPassword": PASSWORD, "newPassword": "another horse battery"}
    await page.evaluate("(passwords) => auth.changePassword(passwords)", passwords)
    user = await page.evaluate("auth.currentUser()")
    assert (user["email"], user["phone_number"]) == ("new@example.test", "+4915112345678")
    again = {"identifier": "+4915112345678", "password": "another horse battery"}
    assert (await page.evaluate("(who) => auth.signIn(who)", again))["user"]["id"] == user["id"]


async def test_what_needs_a_recent_proof_works_after_the_step_up(make_stage, age):
    stage = await make_stage()
    page = await stage.tab()
    user = await stage.join(page)
    (session,) = await stage.service.sessions.list_for_user(user["id"])
    await age("refresh_sessions", session.id, auth_time=3600)
    change = "auth.changeEmail({ newEmail: 'new@example.test' })"
    refused = await page.evaluate(f"refusal(() => {change})")
    assert (refused["code"], refused["metadata"]["methods"]) == ("step_up_required", ["password"])
    await page.evaluate("(password) => auth.stepUp({ password })", PASSWORD)
    await page.evaluate(change)


async def test_the_code_of_a_registration_is_sent_again(make_stage):
    stage = await make_stage()
    page = await stage.tab()
    who = WHO | {"username": "ada_l"}
    await page.evaluate("async (who) => { window.registration = await auth.signUp(who); }", who)
    await finish_background(stage.service)
    await page.evaluate("auth.resendCode(registration)")
    code = await stage.code()
    assert len(stage.mailbox.to(ADA)) == 2
    assert (await page.evaluate("(code) => auth.confirm(registration, code)", code))["user"]["email"] == ADA


async def test_a_limit_says_when_to_come_back(make_stage):
    stage = await make_stage(rate_limits={"auth_pwd_reset_request": "1/1h"})
    page = await stage.tab()
    many = """async () => {
        for (let asked = 0; asked < 100; asked++) await auth.requestPasswordReset("eve@example.test");
    }"""
    await page.evaluate(many)  # development allows a hundred times the rate
    refused = await page.evaluate("refusal(() => auth.requestPasswordReset('eve@example.test'))")
    assert (refused["code"], refused["status"], refused["typed"]) == ("rate_limited", 429, True)
    assert refused["retryAfter"] == refused["metadata"]["retry_after_seconds"] == 36


@pytest.mark.parametrize(
    ("cookie", "storage", "code"),
    [
        (False, "cookie", "refresh_cookie_off"),
        (True, "memory", "refresh_cookie_on"),
        (True, "indexeddb", "refresh_cookie_on"),
    ],
)
async def test_a_client_that_does_not_fit_its_issuer_names_the_setting(make_stage, cookie, storage, code):
    stage = await make_stage(storage, refresh_cookie=cookie)
    page = await stage.tab()
    await page.evaluate("async (who) => { window.registration = await auth.signUp(who); }", WHO)
    refused = await page.evaluate(
        "(code) => refusal(() => auth.confirm(registration, code))", await stage.code()
    )
    assert refused["code"] == code
    assert "refresh_cookie" in refused["message"] or "storage" in refused["message"]


async def test_a_page_whose_host_gets_no_cookie_is_refused_at_once(make_stage):
    stage = await make_stage()
    stage.app = stage.app.replace("127.0.0.1", "localhost")
    page = await stage.context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(stage.app)
    await page.wait_for_function("!!window.AuthkitError")
    await until(lambda: bool(errors))
    assert "127.0.0.1 and localhost" in errors[0]


async def test_signing_out_everywhere_ends_the_sessions_of_other_browsers(make_stage, chromium):
    stage = await make_stage()
    page = await stage.tab()
    await stage.join(page)
    elsewhere = await chromium.new_context()
    other = await stage.tab(context=elsewhere)
    assert (await other.evaluate("(who) => auth.signIn(who)", WHO))["user"]["email"] == ADA
    await page.evaluate("auth.signOut({ everywhere: true })")
    await other.evaluate("skipped = 3600e3")
    assert await other.evaluate("auth.currentUser()") is None
    assert [change["signedIn"] for change in await other.evaluate("changes")] == [True, False]
    await elsewhere.close()
