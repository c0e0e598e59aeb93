"""The device cookie: given with every sign-in, brought with every request, worth nothing by itself."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import pytest

from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.ports import Client

PASSWORD = "correct horse battery"
EMAIL = "ada_l@example.test"
NAME = "__Host-authkit_device"


def device_of(answer: Any) -> Any:
    """Return the morsel of the cookie that an answer gives, None without one."""
    jars = [SimpleCookie(line) for line in answer.headers.get_list("set-cookie")]
    found = [jar[name] for jar in jars for name in jar if name.endswith("authkit_device")]
    assert len(found) <= 1
    return found[0] if found else None


async def log_in(api: Any, cookie: str = "", password: str = PASSWORD) -> Any:
    api.cookies.clear()
    headers = {"cookie": f"theme=dark; {NAME}={cookie}"} if cookie else {}
    return await api.post(
        "/auth/password/login", json={"email": EMAIL, "password": password}, headers=headers
    )


async def test_it_is_out_of_reach_of_scripts_and_other_paths(make_service, serve, sign_up) -> None:
    service = await make_service(base_url="https://id.example/api", refresh_cookie_same_site="strict")
    async with serve(service) as api:
        await sign_up(api)
        morsel = device_of(await log_in(api))
        assert morsel.key == "__Secure-authkit_device"
        assert morsel.value.startswith("akd_")
        assert (morsel["httponly"], morsel["secure"], morsel["samesite"]) == (True, True, "Strict")
        assert (morsel["path"], morsel["domain"]) == ("/api/auth", "")
        assert morsel["max-age"] == str(180 * 86_400)


async def test_in_development_it_travels_without_tls(make_service, serve) -> None:
    service = await make_service(dev=True, email_sender=None, sms_sender=None)
    await service.users.add(email=EMAIL, username="ada_l", verified=True)
    user = await service.users.get_by_email(EMAIL)
    await service.passwords.store_hash(user.id, await service.rt.hasher.hash(PASSWORD))
    async with serve(service) as api:
        morsel = device_of(await log_in(api))
    assert (morsel.key, morsel["secure"], morsel["httponly"]) == ("authkit_device", "", True)


async def test_every_sign_in_gives_one_and_nothing_else_does(api, service, sign_up, mailbox) -> None:
    tokens = await sign_up(api)
    assert api.cookies.get(NAME)
    answer = await api.post(
        "/auth/token", json={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    )
    assert device_of(answer) is None
    assert device_of(await log_in(api, password="wrong horse battery")) is None
    account = await service.users.get_by_email(EMAIL)
    await service.two_factor.send_email_setup_code(account.id)
    await service.two_factor.enable(account.id, "email", code=mailbox.last(EMAIL).code)
    halfway = await log_in(api)
    assert halfway.status_code == 401
    assert device_of(halfway) is None
    await api.delivered()
    facts = halfway.json()["metadata"]
    body = {"user_id": facts["user_id"], "challenge": facts["challenge"], "code": mailbox.last(EMAIL).code}
    finished = await api.post("/auth/2fa/verify", json=body)
    assert device_of(finished).value.startswith("akd_")
    assert "akd_" not in finished.text


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.gives_refresh_token], ids=lambda o: o.path)
def test_no_body_holds_it(operation) -> None:
    assert "device" not in operation.returns.__dataclass_fields__


async def test_a_known_browser_signs_in_while_attackers_guess(make_service, serve, sign_up) -> None:
    rates = {"auth_password_login": "1000/1h", "auth_password_login:account": "12/1h"}
    service = await make_service(rate_limits=rates)
    async with serve(service) as api:
        await sign_up(api)
        cookie = device_of(await log_in(api)).value
        answers = [await log_in(api, password="wrong horse battery") for _ in range(15)]
        assert {answer.status_code for answer in answers} == {401, 429}
        assert (await log_in(api)).status_code == 429
        known = await log_in(api, cookie)
        assert known.status_code == 200
        # Neither a planted second one nor rubbish is taken, and neither is an error.
        for other in (f"{cookie}; {NAME}={cookie}", "rubbish", '"', "akd_" + "A" * 110, cookie.lower()):
            assert (await log_in(api, other)).status_code == 429


async def test_no_name_that_others_type_uses_up_the_tries_of_known_devices(
    make_service, serve, sign_up
) -> None:
    """The id of a user is not secret, and epochs are small numbers: their bucket must not be one of names."""
    rates = {"auth_password_login": "1000/1h", "auth_password_login:account": "12/1h"}
    service = await make_service(rate_limits=rates)
    async with serve(service) as api:
        await sign_up(api)
        cookie = device_of(await log_in(api)).value
        device = Devices(service.rt).of(Client(device=cookie))
        whose = f"{device.user_id}|{device.auth_epoch}"
        api.cookies.clear()
        for name in (f"{EMAIL}|{whose}", f"{whose}|{EMAIL}"):
            guess = {"email": name, "password": "wrong horse battery"}
            answers = [await api.post("/auth/password/login", json=guess) for _ in range(15)]
            assert answers[-1].json()["error"] == "rate_limited"
        assert (await log_in(api, cookie)).status_code == 200


async def test_a_wait_shows_its_length_and_nothing_else(make_service, serve, sign_up) -> None:
    async with serve(await make_service()) as api:
        await sign_up(api)
        for _ in range(6):
            answer = await log_in(api, password="wrong horse battery")
        assert (answer.status_code, answer.json()["error"]) == (429, "too_many_requests")
        assert answer.json()["metadata"] == {"retry_after_seconds": int(answer.headers["retry-after"])}
        assert not [name for name in answer.headers if name.startswith("ratelimit-")]


async def test_no_cookie_of_ones_own_gives_more_tries_at_others(make_service, serve, sign_up) -> None:
    rates = {"auth_password_login": "1000/1h", "auth_password_login:account": "4/1h"}
    service = await make_service(rate_limits=rates)
    async with serve(service) as api:
        await sign_up(api)
        await sign_up(api, "eve_x")
        eve = {"email": "eve_x@example.test", "password": PASSWORD}
        cookies = [device_of(await api.post("/auth/password/login", json=eve)).value for _ in range(4)]
        answers = [await log_in(api, cookies[n % 4], "wrong horse battery") for n in range(8)]
        assert [answer.json()["error"] for answer in answers[4:]] == ["rate_limited"] * 4


async def test_a_void_cookie_does_not_use_up_the_tries_of_the_devices_that_count(
    make_service, serve, sign_up
) -> None:
    rates = {"auth_password_login": "1000/1h", "auth_password_login:account": "5/1h"}
    service = await make_service(rate_limits=rates)
    async with serve(service) as api:
        await sign_up(api)
        void = device_of(await log_in(api)).value
        account = await service.users.get_by_email(EMAIL)
        await service.sessions.revoke_all(account.id)
        good = device_of(await log_in(api)).value
        for _ in range(8):
            refused = await log_in(api, void, "wrong horse battery")
        assert refused.json()["error"] == "rate_limited"
        assert (await log_in(api, good)).status_code == 200


async def test_it_stays_after_a_sign_out_and_opens_nothing(api, sign_up) -> None:
    await sign_up(api)
    signed_in = await log_in(api)
    cookie = device_of(signed_in).value
    bearer = {"authorization": f"Bearer {signed_in.json()['access_token']}"}
    gone = await api.delete("/auth/logout", headers=bearer)
    assert device_of(gone) is None
    alone = {"cookie": f"{NAME}={cookie}"}
    assert (await api.get("/auth/user/me", headers=alone)).status_code == 401
    assert (
        await api.post("/auth/token", json={"grant_type": "refresh_token"}, headers=alone)
    ).status_code == 400
    assert (await log_in(api, cookie, "wrong horse battery")).status_code == 401


async def test_switched_off_it_is_neither_given_nor_read(make_service, serve, sign_up, mailbox) -> None:
    with_cookie, without = await make_service(), await make_service(device_cookie=False)
    async with serve(with_cookie) as api:
        await sign_up(api)
        cookie = device_of(await log_in(api)).value
    async with serve(without) as api:
        answer = await log_in(api, cookie)
        assert answer.status_code == 200
        assert device_of(answer) is None


async def test_a_browser_may_be_asked_for_no_second_factor_but_for_a_fresh_proof_still(
    make_service, serve, sign_up, mailbox
) -> None:
    service = await make_service(two_factor_remember=3600.0, code_cooldown=0.0)
    async with serve(service) as api:
        await sign_up(api)
        account = await service.users.get_by_email(EMAIL)
        await service.two_factor.send_email_setup_code(account.id)
        await service.two_factor.enable(account.id, "email", code=mailbox.last(EMAIL).code)
        asked = (await log_in(api)).json()["metadata"]
        await api.delivered()
        body = {"user_id": asked["user_id"], "challenge": asked["challenge"], "remember_device": True}
        finished = await api.post("/auth/2fa/verify", json=body | {"code": mailbox.last(EMAIL).code})
        again = await log_in(api, device_of(finished).value)
        assert again.status_code == 200
        bearer = {"authorization": f"Bearer {again.json()['access_token']}"}
        refused = await api.post("/auth/user/2fa/disable", headers=bearer)
        assert (refused.status_code, refused.json()["error"]) == (403, "step_up_required")
