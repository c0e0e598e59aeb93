"""The rates of operations, their keys, and the effect of a counter that is down."""

from __future__ import annotations

import logging

import httpx
import pytest

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.config.limits import ACCOUNT_RATES, BUCKETS, account_rate, caller_rate, parse_rate
from authkit_issuer.errors import ConfigError
from authkit_issuer.http import create_app
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import Auth
from fakes.users import finish_background

LOGIN = {"identifier": "unknown@example.test", "password": "correct horse battery"}


def _config(**fields) -> Config:
    return Config(issuer="https://i.test", issued_audiences=("app",), environment="test", **fields)


def _from(service, ip: str, **options) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=create_app(service), client=(ip, 5000))
    return httpx.AsyncClient(transport=transport, base_url="http://issuer.test", **options)


def _status(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("error", "")


@pytest.fixture
async def login(make_service):
    """A service that lets three logins through in an hour, and no two for one account."""
    return await make_service(
        rate_limits={"auth_password_login": "3/1h", "auth_password_login:account": "1000/1h"}
    )


async def test_the_fourth_of_three_is_refused_with_the_time_to_come_back(login, clock):
    async with _from(login, "203.0.113.7") as http:
        for left in (2, 1, 0):
            answer = await http.post("/auth/password/login", json=LOGIN)
            assert _status(answer) == (401, "invalid_credentials")
            assert answer.headers["ratelimit-limit"] == "3"
            assert answer.headers["ratelimit-remaining"] == str(left)
        answer = await http.post("/auth/password/login", json=LOGIN)
        assert _status(answer) == (429, "rate_limited")
        assert answer.headers["retry-after"] == answer.headers["ratelimit-reset"] == "1200"
        assert answer.headers["ratelimit-policy"] == "3;w=3600"
        assert answer.headers["ratelimit-remaining"] == "0"
        assert answer.json()["metadata"] == {
            "action": "auth_password_login",
            "reason": "limit_exceeded",
            "retry_after_seconds": 1200,
            "limit": 3,
            "remaining": 0,
            "window_seconds": 3600,
        }
        clock.advance(1200)
        assert _status(await http.post("/auth/password/login", json=LOGIN)) == (401, "invalid_credentials")


async def test_the_limit_comes_before_the_body(login):
    async with _from(login, "203.0.113.7") as http:
        for _ in range(3):
            assert (await http.post("/auth/password/login", content=b"{")).status_code == 415
        assert (await http.post("/auth/password/login", content=b"{")).status_code == 429


async def test_right_passwords_of_many_people_behind_one_address_are_not_counted(
    make_service, sign_up, serve
):
    rates = {"auth_password_login": "2/1h", "auth_password_login:account": "2/1h"}
    service = await make_service(rate_limits=rates)
    async with serve(service) as api:
        await sign_up(api, "ada_l")
        await sign_up(api, "bob_b")
    async with _from(service, "203.0.113.7") as http:
        for turn in range(8):
            body = {"identifier": ("ada_l", "bob_b")[turn % 2], "password": "correct horse battery"}
            assert (await http.post("/auth/password/login", json=body)).status_code == 200
        wrong = {"identifier": "ada_l", "password": "a wrong password"}
        found = [(await http.post("/auth/password/login", json=wrong)).status_code for _ in range(3)]
    assert found == [401, 401, 429]


async def test_a_right_password_that_leads_to_the_second_factor_is_not_counted(make_service, serve, sign_up):
    rates = {"auth_password_login": "1/1h", "auth_password_login:account": "1/1h"}
    service = await make_service(rate_limits=rates)
    async with serve(service) as api:
        await sign_up(api, "ada_l")
    await service.pool.execute(
        "insert into profiles.two_factor_settings (user_id, enabled, method)"
        " select id, true, 'email' from profiles.users"
    )
    async with _from(service, "203.0.113.7") as http:
        for _ in range(3):
            body = {"identifier": "ada_l", "password": "correct horse battery"}
            answer = await http.post("/auth/password/login", json=body)
            assert _status(answer) == (401, "two_factor_required")


def test_every_operation_that_checks_a_proof_gives_right_ones_back():
    closed = [o for o in OPERATIONS if o.limit and o.limit.closed]
    public = {o.name: o.limit for o in closed if o.auth in {Auth.PUBLIC, Auth.OPTIONAL}}
    counted = {limit.bucket for limit in public.values() if not limit.gives_back}
    assert counted <= {
        "auth_2fa_challenge",
        "auth_register", "auth_register_resend_email", "auth_register_resend_phone", "auth_pwd_reset_request",
        "auth_email_verify_request", "auth_phone_verify_request", "auth_solana_challenge", "auth_oidc_result",
        "auth_passkey_begin", "auth_passwordless_start",
    }  # fmt: skip


async def test_requests_that_send_an_sms_have_a_rate_of_their_own(make_service, mailbox):
    service = await make_service(rate_limits={"auth_sms_request": "2/1h"}, passwordless="code")
    password = "correct horse battery"
    async with _from(service, "203.0.113.7") as http:

        async def ask(path: str, identifier: str) -> int:
            body = {"identifier": identifier} | ({"password": password} if path == "register" else {})
            return (await http.post(f"/auth/{path}", json=body)).status_code

        assert await ask("register", "+15550100200") == 202
        assert await ask("passwordless/start", "0015550100201") == 202
        for path in ("register", "passwordless/start"):
            refused = await http.post(
                f"/auth/{path}",
                json={"identifier": "+15550100202"} | ({"password": password} if path == "register" else {}),
            )
            assert (refused.status_code, refused.json()["metadata"]["action"]) == (429, "auth_sms_request")
            assert await ask(path, f"ada_{path[0]}@example.test") == 202


async def test_a_site_of_many_ipv6_networks_has_sixteen_times_the_rate_of_one(make_service):
    service = await make_service(rate_limits={"auth_sessions_current": "2/1h"})

    async def status(ip: str) -> int:
        async with _from(service, ip) as http:
            answer = await http.post("/auth/sessions/current", json={"refresh_token": "akr_forged"})
            return answer.status_code

    found = [await status(f"2001:db8:1:{n:x}::1") for n in range(34)]
    assert found == [401] * 32 + [429] * 2
    assert await status("2001:db8:2::1") == 401
    assert await status("198.51.100.4") == 401


async def test_right_passwords_from_a_site_of_many_networks_are_not_counted(make_service, sign_up, serve):
    service = await make_service(rate_limits={"auth_password_login": "1/1h"})
    async with serve(service) as api:
        await sign_up(api, "ada_l")
    body = {"identifier": "ada_l", "password": "correct horse battery"}
    for n in range(18):
        async with _from(service, f"2001:db8:1:{n:x}::1") as http:
            assert (await http.post("/auth/password/login", json=body)).status_code == 200


async def test_addresses_are_counted_apart_and_an_ipv6_network_is_one(login):
    for ip in ("2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"):
        async with _from(login, ip) as http:
            assert (await http.post("/auth/password/login", json=LOGIN)).status_code == 401
    async with _from(login, "2001:db8::4") as http:
        assert (await http.post("/auth/password/login", json=LOGIN)).status_code == 429
    for ip in ("2001:db8:0:1::1", "203.0.113.7", "10.0.0.1", "127.0.0.1"):
        async with _from(login, ip) as http:
            body = LOGIN | {"identifier": f"somebody-at-{ip[:4]}@example.test".replace(":", "-")}
            assert (await http.post("/auth/password/login", json=body)).status_code == 401


async def test_a_mapped_address_is_the_address_it_maps(login):
    for ip in ("203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7"):
        async with _from(login, ip) as http:
            await http.post("/auth/password/login", json=LOGIN)
    async with _from(login, "::ffff:203.0.113.7") as http:
        assert (await http.post("/auth/password/login", json=LOGIN)).status_code == 429


async def test_an_attacker_cannot_choose_the_address_that_is_counted(login):
    async with _from(login, "203.0.113.7") as http:
        for number in range(3):
            headers = {"x-forwarded-for": f"198.51.100.{number}"}
            await http.post("/auth/password/login", json=LOGIN, headers=headers)
        headers = {"x-forwarded-for": "198.51.100.99"}
        assert (await http.post("/auth/password/login", json=LOGIN, headers=headers)).status_code == 429


async def test_behind_a_trusted_proxy_its_callers_are_counted(make_service):
    service = await make_service(
        rate_limits={"auth_password_login": "1/1h", "auth_password_login:account": "1000/1h"},
        trusted_proxies=("10.0.0.0/8",),
    )
    async with _from(service, "10.0.0.1") as http:
        for caller, status in (("198.51.100.1", 401), ("198.51.100.2", 401), ("198.51.100.1", 429)):
            headers = {"x-forwarded-for": f"8.8.8.8, {caller}"}
            answer = await http.post("/auth/password/login", json=LOGIN, headers=headers)
            assert answer.status_code == status


async def test_an_account_is_counted_over_all_clients_and_whether_or_not_there_is_one(
    make_service, sign_up, serve
):
    service = await make_service(
        rate_limits={"auth_password_login": "1000/1h", "auth_password_login:account": "2/1h"}
    )
    async with serve(service) as api:
        await sign_up(api, "ada_l")
    for identifier in ("ada_l@example.test", "unknown@example.test"):
        found = []
        for number in range(3):
            async with _from(service, f"203.0.113.{number}") as http:
                spelled = (f" {identifier}", identifier.upper(), f"<mailto:{identifier}>")[number]
                body = {"identifier": spelled, "password": "a wrong password"}
                found.append(_status(await http.post("/auth/password/login", json=body)))
        assert found == [(401, "invalid_credentials")] * 2 + [(429, "rate_limited")]


async def test_the_store_learns_no_address_that_somebody_named(login):
    async with _from(login, "203.0.113.7") as http:
        await http.post("/auth/password/login", json=LOGIN)
    keys = list(login.rt.ephemeral._rates)
    assert any(":account:" in key for key in keys)
    assert not any("unknown" in key or "example" in key for key in keys)


async def test_what_belongs_to_a_user_is_counted_by_user(make_service, sign_up, serve):
    service = await make_service(rate_limits={"auth_user_events": "1/1m"})
    async with serve(service) as api:
        ada, bob = [(await sign_up(api, name))["access_token"] for name in ("ada_l", "bob_b")]
        answers = [
            await api.get("/auth/user/events", headers={"authorization": f"Bearer {token}"})
            for token in (ada, bob, ada)
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-remaining"] == "0"


async def test_two_processes_count_together(make_service, redis_url):
    rates = {"auth_password_login": "3/1h", "auth_password_login:account": "1000/1h"}
    services = [await make_service(redis_url=redis_url, rate_limits=rates) for _ in range(2)]
    statuses = []
    for turn in range(5):
        async with _from(services[turn % 2], "203.0.113.7") as http:
            statuses.append((await http.post("/auth/password/login", json=LOGIN)).status_code)
    assert statuses == [401, 401, 401, 429, 429]


# --- while counting is down --------------------------------------------------------------------------------


class _Uncounting:
    """A store whose limits are down, and only these."""

    def __init__(self, store):
        self._store = store
        self.asked = 0

    async def admit(self, key, calls, window):
        self.asked += 1
        raise errors.EphemeralStoreUnavailable

    def __getattr__(self, name):
        return getattr(self._store, name)


@pytest.fixture
async def uncounted(make_service, clock):
    from authkit_issuer.ephemeral.memory import MemoryStore

    return await make_service(ephemeral_store=_Uncounting(MemoryStore(clock)))


async def test_credential_checks_are_refused_while_counting_is_impossible(uncounted):
    async with _from(uncounted, "203.0.113.7") as http:
        answer = await http.post("/auth/password/login", json=LOGIN)
        assert _status(answer) == (503, "ephemeral_store_unavailable")
        assert "retry-after" in answer.headers


async def test_everything_else_goes_on_with_one_line_in_the_log(uncounted, caplog, clock):
    with caplog.at_level(logging.WARNING, "authkit.limits"):
        async with _from(uncounted, "203.0.113.7") as http:
            for _ in range(5):
                answer = await http.post(
                    "/auth/token", json={"grant_type": "refresh_token", "refresh_token": "akr_x"}
                )
                assert _status(answer) == (400, "invalid_grant")
                assert "ratelimit-limit" not in answer.headers
    assert [record.name for record in caplog.records].count("authkit.limits") == 1
    assert uncounted.rt.ephemeral.asked == 1  # a store that is down is not asked by every request
    clock.advance(1.1)
    async with _from(uncounted, "203.0.113.7") as http:
        await http.post("/auth/token", json={"grant_type": "refresh_token", "refresh_token": "akr_x"})
    assert uncounted.rt.ephemeral.asked == 2


def test_what_checks_or_makes_a_credential_fails_closed():
    closed = {f"{o.method} {o.path}" for o in OPERATIONS if o.limit is not None and o.limit.closed}
    assert closed >= {
        "POST /auth/password/login",
        "POST /auth/register",
        "POST /auth/email/verify/confirm",
        "POST /auth/user/password",
        "POST /auth/step-up/password",
    }
    assert not closed & {"POST /auth/token", "GET /auth/user/me", "DELETE /auth/logout"}


# --- the setting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "calls", "window"),
    [("20/1h", 20, 3600), ("3/10m", 3, 600), ("120/min", 120, 60), ("1/s", 1, 1), ("5 / 2 d", 5, 172_800)],
)
def test_a_rate_is_calls_and_a_window(text, calls, window):
    rate = parse_rate(text)
    assert (rate.calls, rate.window) == (calls, window)


@pytest.mark.parametrize(
    "text", ["", "20", "20/1y", "0/1h", "-1/1h", "1/0s", "1/9d", "99999999999/1h", "1.5/1h"]
)
def test_an_unreadable_rate_is_refused(text):
    with pytest.raises(ConfigError, match="rate_limits"):
        _config(rate_limits={"auth_token": text})


def test_an_unknown_bucket_is_refused():
    with pytest.raises(ConfigError, match="no bucket 'auth_tokens'"):
        _config(rate_limits={"auth_tokens": "1/1h"})


def test_the_environment_sets_rates_as_json():
    env = {"AUTHKIT_RATE_LIMITS": '{"auth_token": "7/1m"}'}
    config = Config.from_env(env, issuer="https://i.test", issued_audiences=("app",))
    assert caller_rate(config, "auth_token").calls == 7
    assert caller_rate(config, "auth_password_login").calls == 60


def test_development_loosens_what_addresses_may_do_and_nothing_that_accounts_may_suffer():
    dev, other = _config(dev=True), _config()
    assert (
        caller_rate(dev, "auth_password_login").calls == 100 * caller_rate(other, "auth_password_login").calls
    )
    assert account_rate(dev, "auth_password_login") == account_rate(other, "auth_password_login")
    assert account_rate(other, "auth_password_login").calls == 60


def test_every_usual_rate_can_be_read_and_every_bucket_in_use_is_known():
    assert all(parse_rate(rate).calls > 0 for rate in BUCKETS.values())
    limits = [operation.limit for operation in OPERATIONS if operation.limit is not None]
    assert {limit.bucket for limit in limits} | {limit.texts for limit in limits} - {""} <= set(BUCKETS)
    assert set(ACCOUNT_RATES) <= {limit.bucket for limit in limits if limit.account is not None}


async def test_other_clients_cannot_keep_the_owner_of_an_address_from_registering(make_service, mailbox):
    service, email = await make_service(rate_limits={}), "ada@example.test"
    body = {"identifier": email, "password": "correct horse battery"}
    for network in range(3):
        async with _from(service, f"198.51.100.{network}") as attacker:
            for _ in range(12):
                await attacker.post("/auth/register", json=body)
    async with _from(service, "203.0.113.7") as owner:
        started = await owner.post("/auth/register", json=body)
        assert started.status_code == 202
        await finish_background(service)
        proof = {"email": email, "code": mailbox.last(email).code}
        proof["registration_id"] = started.json()["registration_id"]
        assert (await owner.post("/auth/email/verify/confirm", json=proof)).status_code == 200


async def test_the_probes_of_many_processes_by_one_balancer_are_all_answered(make_service, clock):
    service = await make_service(rate_limits={})  # as production counts
    async with _from(service, "10.0.0.9") as balancer:
        for _ in range(150):
            assert (await balancer.get("/readyz")).status_code == 200
            clock.advance(1 / 40)  # twenty processes, each looked at twice a second
