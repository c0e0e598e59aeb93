"""The access token: renewed in time, by one request for all, and kept through outages."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(180)

RENEWED = "async () => { skipped += 3600e3; return auth.accessToken(); }"
WHO = "{ identifier: 'ada@example.test', password: 'correct horse battery' }"


@pytest.fixture
async def stage(request, make_stage):
    return await make_stage(getattr(request, "param", "cookie"))


every_storage = pytest.mark.parametrize("stage", ["cookie", "indexeddb", "memory"], indirect=True)


@every_storage
async def test_a_token_is_renewed_before_it_ends_and_not_earlier(stage):
    page = await stage.tab()
    await stage.join(page)
    first = await page.evaluate("auth.accessToken()")
    earlier = "async (seconds) => { skipped = seconds * 1000; return auth.accessToken(); }"
    assert await page.evaluate(earlier, 700) == first
    second = await page.evaluate(earlier, 880)
    assert second != first
    assert len(set(stage.issuer.presented)) == len(stage.issuer.presented) == 1


@every_storage
async def test_many_calls_at_once_renew_it_once_and_get_one_token(stage):
    page = await stage.tab()
    await stage.join(page)
    stage.issuer.presented.clear()
    many = "async () => { skipped = 3600e3; return Promise.all(Array.from({length: 50}, auth.accessToken)); }"
    assert len(set(await page.evaluate(many))) == 1
    assert len(stage.issuer.presented) == 1


async def test_a_token_that_the_server_calls_ended_is_renewed_and_the_request_repeated(stage, clock):
    page = await stage.tab()
    await stage.join(page)
    clock.advance(1000)
    await page.evaluate("skipped = 10e3")  # the clock of this device is behind
    fetched = "auth.fetch('API/auth/user/me').then((answer) => answer.json())".replace("API", stage.api)
    assert (await page.evaluate(fetched))["email"] == "ada@example.test"
    clock.advance(1000)
    await page.evaluate("skipped = 20e3")
    assert (await page.evaluate("auth.currentUser()"))["email"] == "ada@example.test"
    json = "headers: { 'content-type': 'application/json' }"
    body = f"{{ method: 'PATCH', body: JSON.stringify({{ biography: 'x' }}), {json} }}"
    clock.advance(1000)
    await page.evaluate("skipped = 30e3")
    changed = await page.evaluate(
        f"auth.fetch('{stage.api}/auth/user/biography', {body}).then((a) => a.status)"
    )
    assert changed == 200


async def test_a_refusal_that_no_new_token_cures_is_not_repeated_without_end(stage):
    page = await stage.tab()
    await stage.join(page)
    asked = []
    await page.route("**/orders", lambda route: (asked.append(1), route.fulfill(status=401))[1])
    stage.issuer.presented.clear()
    for _ in range(5):
        assert await page.evaluate("auth.fetch('/orders').then((answer) => answer.status)") == 401
    assert (len(asked), len(stage.issuer.presented)) == (5, 0)  # the token is seconds old
    await page.evaluate("skipped = 60e3")
    for _ in range(5):
        assert await page.evaluate("auth.fetch('/orders').then((answer) => answer.status)") == 401
    assert (len(asked), len(stage.issuer.presented)) == (11, 1)


async def test_only_named_origins_get_the_token(stage):
    page = await stage.tab()
    await stage.join(page)
    seen = []
    await page.route(
        "**/orders", lambda route: (seen.append(route.request.headers), route.fulfill(body="1"))[1]
    )
    other = "http://127.0.0.1:9/orders"
    refused = await page.evaluate("(url) => refusal(() => auth.fetch(url))", other)
    assert (refused["code"], seen) == ("foreign_origin", [])
    assert "http://127.0.0.1:9 " in refused["message"]
    await page.evaluate("auth.fetch('/orders', { headers: { 'x-own': '1' } })")
    assert seen[0]["authorization"].startswith("Bearer ey")
    assert seen[0]["x-own"] == "1"
    asked = []
    await page.route(
        lambda url: "elsewhere" in url, lambda route: (asked.append(route.request.url), route.abort())[1]
    )
    await page.evaluate("refusal(() => auth.request('GET', '.elsewhere.test/orders'))")
    assert asked == [f"{stage.api}/.elsewhere.test/orders"]
    await page.evaluate("auth.signOut()")
    await page.evaluate("auth.fetch('/orders')")
    assert "authorization" not in seen[1]


async def test_an_api_of_another_origin_gets_the_token_once_it_is_named(stage):
    page = await stage.tab()
    await stage.join(page)
    seen = []
    await page.route(
        "**/orders", lambda route: (seen.append(route.request.headers), route.fulfill(body="1"))[1]
    )
    await page.evaluate("window.wide = connect({ apis: ['http://127.0.0.1:9/v1/'] })")
    await page.evaluate("refusal(() => wide.fetch('http://127.0.0.1:9/orders'))")
    assert [headers["authorization"][:9] for headers in seen if "authorization" in headers] == ["Bearer ey"]


@every_storage
async def test_offline_the_session_stays_and_a_token_serves_until_its_end(stage):
    page = await stage.tab()
    await stage.join(page)
    first = await page.evaluate("auth.accessToken()")
    await stage.context.set_offline(True)
    within = "async () => { skipped = 880e3; return auth.accessToken(); }"
    assert await page.evaluate(within) == first
    refused = await page.evaluate("refusal(() => { skipped = 3600e3; return auth.accessToken(); })")
    assert (refused["code"], refused["status"], refused["typed"]) == ("network", 0, True)
    assert (await page.evaluate("refusal(auth.currentUser)"))["code"] == "network"
    assert (await page.evaluate("refusal(auth.signOut)"))["code"] == "network"
    await stage.context.set_offline(False)
    assert (await page.evaluate("auth.currentUser()"))["email"] == "ada@example.test"
    assert [change["signedIn"] for change in await page.evaluate("changes")] == [True]


async def test_a_busy_issuer_is_not_asked_again_before_the_time_it_named(stage):
    page = await stage.tab()
    await stage.join(page)
    asked = []
    busy = {"status": 429, "headers": {"retry-after": "7", "access-control-allow-origin": stage.app}}
    busy["headers"] |= {
        "access-control-allow-credentials": "true", "access-control-expose-headers": "retry-after",
    }  # fmt: skip
    body = '{"error": "rate_limited", "error_description": "later", "request_id": "r"}'
    await page.route("**/auth/token", lambda route: (asked.append(1), route.fulfill(body=body, **busy))[1])
    for _ in range(5):
        refused = await page.evaluate("refusal(() => { skipped = 3600e3; return auth.accessToken(); })")
        assert (refused["code"], refused["status"], refused["retryAfter"]) == ("rate_limited", 429, 7)
    assert len(asked) == 1
    await page.unroute("**/auth/token")
    assert await page.evaluate("async () => { skipped += 8000; return auth.accessToken(); }")
    assert [change["signedIn"] for change in await page.evaluate("changes")] == [True]


async def test_a_session_that_ended_says_why(make_stage):
    stage = await make_stage(session_max_per_user=1)
    page = await stage.tab()
    user = await stage.join(page)
    await stage.service.sessions.issue(user["id"])
    assert await page.evaluate(RENEWED) is None
    assert (await page.evaluate("changes"))[-1] == {
        "signedIn": False,
        "reason": "evicted",
        "elsewhere": False,
    }
    assert await page.evaluate("auth.currentUser()") is None


@every_storage
async def test_who_is_not_signed_in_costs_one_request(stage):
    page = await stage.tab()
    stage.issuer.presented.clear()
    assert await page.evaluate("Promise.all([auth.accessToken(), auth.currentUser()])") == [None, None]
    assert await page.evaluate("auth.accessToken()") is None
    assert len(stage.issuer.presented) <= 1
    assert (await page.evaluate("refusal(() => auth.request('GET', '/auth/user/me'))"))[
        "code"
    ] == "signed_out"
    assert await page.evaluate("changes") == []


async def test_the_answer_of_a_proxy_is_a_typed_error(stage):
    page = await stage.tab()
    open_to_all = {"access-control-allow-origin": stage.app, "access-control-allow-credentials": "true"}
    page_of_proxy = {"status": 502, "headers": open_to_all, "body": "<h1>Bad gateway</h1>"}
    await page.route("**/auth/password/login", lambda route: route.fulfill(**page_of_proxy))
    refused = await page.evaluate(f"refusal(() => auth.signIn({WHO}))")
    assert (refused["code"], refused["status"], refused["message"]) == ("unexpected_answer", 502, "HTTP 502")
