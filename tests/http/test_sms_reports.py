"""Twilio's reports of what became of SMS: signed, counted once, and logged without a number."""

from __future__ import annotations

import dataclasses
import logging
from contextlib import aclosing

import pytest

from authkit_issuer.http import create_app
from authkit_issuer.senders.twilio import TwilioAccount, TwilioSender
from authkit_issuer.telemetry.tally import Tally
from fakes.calls import refusal
from fakes.sms_provider import TwilioReport, sms_provider

AC = "AC" + "0" * 32
TOKEN, ISSUER = "t0ken", "https://id.authkit-demo.com"
URL = f"{ISSUER}/auth/sms/status"
PATH = "/auth/sms/status"


def sender(options: str = "from=+15550100200", *, key: str = AC) -> TwilioSender:
    return TwilioSender(TwilioAccount.parse(f"twilio://{key}:{TOKEN}@{AC}?{options}"), brand="Example")


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
async def reports(make_service, serve, tally):
    service = await make_service(sms_sender=sender(), base_url=ISSUER, telemetry=tally)
    async with serve(service) as api:
        yield api


def reported(tally: Tally) -> dict[tuple[str, ...], float]:
    return {key[1:]: value[0] for key, value in tally.numbers.items() if key[0] == "authkit_sms_reported"}


def report(**fields: str) -> TwilioReport:
    return TwilioReport(**{"url": URL, "auth_token": TOKEN} | fields)


async def test_the_end_of_a_message_is_counted_once_however_often_it_is_reported(reports, tally):
    for status in ("queued", "sent", "delivered", "sent", "delivered"):
        answer = await reports.post(PATH, **report(status=status).request)
        assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert reported(tally) == {("delivered", ""): 1}


async def test_a_message_that_did_not_arrive_is_logged_with_the_error_and_without_the_number(
    reports, tally, caplog
):
    sid = "SM" + "1" * 32
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await reports.post(PATH, **report(sid=sid, status="undelivered", error="30003").request)
    lines = [record.message for record in caplog.records if record.name == "authkit.sms"]
    assert lines == [f"SMS {sid} did not arrive: undelivered, error 30003"]
    assert "5550100299" not in caplog.text
    assert reported(tally) == {("undelivered", "30003"): 1}


WRONG = {
    "another token": report(auth_token="other").request,
    "another URL": report(url="http://127.0.0.1:8000" + PATH).request,
    "no signature": {"data": report().form},
    "a changed status": report().request | {"data": report(status="failed").form},
    "one parameter more": report().request | {"data": report().form | {"Extra": ""}},
    "one parameter less": report().request | {"data": {"MessageSid": report().sid}},
    "nothing at all": {},
}


@pytest.mark.parametrize("request_", WRONG.values(), ids=WRONG)
async def test_what_twilio_did_not_sign_is_refused(reports, tally, request_):
    assert refusal(await reports.post(PATH, **request_)) == (403, "forbidden")
    assert reported(tally) == {}


async def test_the_host_of_the_request_means_nothing(reports, tally):
    forged = report(url="https://evil.example" + PATH).request
    forged["headers"] |= {"host": "evil.example", "x-forwarded-host": "evil.example"}
    assert refusal(await reports.post(PATH, **forged)) == (403, "forbidden")
    right = report().request
    right["headers"] |= {"host": "internal:8080", "x-forwarded-proto": "http"}
    assert (await reports.post(PATH, **right)).status_code == 200
    assert sum(reported(tally).values()) == 1


@pytest.mark.parametrize("spelled", ["https://id.authkit-demo.com:443" + PATH, URL])
async def test_twilio_may_sign_the_url_with_its_port(reports, spelled):
    assert (await reports.post(PATH, **report(url=spelled).request)).status_code == 200


async def test_a_report_with_strange_words_breaks_neither_the_log_nor_the_numbers(reports, tally, caplog):
    for number, words in enumerate([{"status": "x\nfake"}, {"sid": "a\nb"}, {"sid": ""}]):
        answer = await reports.post(PATH, **report(**words).request)
        assert answer.status_code == 200, number
    odd = report(status="failed", error="1\n2").request
    assert (await reports.post(PATH, **odd)).status_code == 200
    assert reported(tally) == {("failed", ""): 1}
    assert "fake" not in caplog.text


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"a=" + b"x" * 65_536, FORM, 413), (b"a=1&a=2", FORM, 400), (b"a=%ff", FORM, 400),
        (b"a=%00", FORM, 400), (b"&".join(b"a%d=1" % number for number in range(200)), FORM, 400),
        (b"a=1", FORM | {"content-encoding": "gzip"}, 415),
        (b'{"a": 1}', {"content-type": "application/json"}, 400),
    ],
)  # fmt: skip
async def test_a_body_is_bounded_and_has_one_meaning(reports, body, headers, status):
    assert (await reports.post(PATH, content=body, headers=headers)).status_code == status


async def test_a_store_that_is_away_counts_nothing_and_says_so(make_service, serve, tally, down_store):
    settings = {"ephemeral_store": down_store, "base_url": ISSUER, "telemetry": tally}
    async with serve(await make_service(sms_sender=sender(), **settings)) as api:
        answer = await api.post(PATH, **report().request)
    assert refusal(answer) == (503, "ephemeral_store_unavailable")
    assert reported(tally) == {}


@pytest.mark.parametrize(
    "given",
    [
        sender(key="SK1"),
        sender("verify=VA" + "0" * 32),
        sender("from=+1555&status_callback=https%3A%2F%2Fapp.example.com%2Fsms"),
    ],
    ids=["an API key alone", "Verify", "a URL of the host"],
)
async def test_the_route_is_there_only_where_reports_come_and_can_be_checked(make_service, serve, given):
    async with serve(await make_service(sms_sender=given, base_url=ISSUER)) as api:
        assert refusal(await api.post(PATH, **report().request)) == (404, "not_found")


def test_an_api_key_needs_the_auth_token_beside_it():
    url = f"twilio://SK1:s@{AC}?from=+1555"
    assert not TwilioSender(TwilioAccount.parse(url), brand="x").takes_reports
    assert TwilioSender(TwilioAccount.parse(url, TOKEN), brand="x").takes_reports
    assert TOKEN not in repr(TwilioAccount.parse(url, TOKEN))


@pytest.mark.parametrize(
    ("settings", "prefix", "told"),
    [
        ({"base_url": ISSUER}, None, URL),
        ({"base_url": f"{ISSUER}/id"}, None, f"{ISSUER}/id/auth/sms/status"),
        ({"base_url": f"{ISSUER}/auth"}, "", URL),
        ({"base_url": "http://id.authkit-demo.com"}, None, None),
        ({"base_url": "https://id.internal"}, None, None),
        ({"base_url": "https://10.0.0.1"}, None, None),
    ],
)
async def test_twilio_hears_where_to_report_if_it_can_get_there(make_service, serve, settings, prefix, told):
    account = TwilioAccount.parse(f"twilio://{AC}:{TOKEN}@{AC}?from=+15550100200")
    async with sms_provider() as provider:
        local = TwilioSender(dataclasses.replace(account, api_url=provider.url), brand="Example")
        service = await make_service(sms_sender=local, **settings)
        async with aclosing(local), serve(service, create_app(service, prefix)) as api:
            path = "/register" if prefix == "" else "/auth/register"
            body = {"identifier": "+4915112345678", "username": "ada_l", "password": "correct horse battery"}
            assert (await api.post(path, json=body)).status_code == 202
            await api.delivered()
            assert provider.requests[0].form.get("StatusCallback") == told
            if told:
                there = path.replace("register", "sms/status")
                assert (await api.post(there, **report(url=told).request)).status_code == 200
