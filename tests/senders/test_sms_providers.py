"""SMS by Twilio and by signed webhooks: what is sent, what is refused, and what stays out of the log."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from authkit_issuer.config import Config
from authkit_issuer.config.checks import warnings
from authkit_issuer.errors import ConfigError
from authkit_issuer.ports import Senders, SendFailure, TemporarySendFailure, language, web_host
from authkit_issuer.senders import provider_http
from authkit_issuer.senders.twilio import MessageStatus, TwilioAccount, TwilioSender, status_of
from authkit_issuer.senders.webhook import WebhookSender, WebhookTarget
from fakes.ports import free_port
from fakes.sms_provider import SmsProvider, sms_provider
from fakes.users import register

PHONE, CODE, LONG = "+4915112345678", "482915", "ABCD-EFGH-JKLMN"
AC, MG, VA = (prefix + "0" * 32 for prefix in ("AC", "MG", "VA"))
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOW = 1_800_000_000.0


@pytest.fixture
async def provider() -> AsyncIterator[SmsProvider]:
    async with sms_provider() as running:
        yield running


def twilio(provider: SmsProvider, options: str) -> TwilioSender:
    account = TwilioAccount.parse(f"twilio://SK1:s%40cret@{AC}?{options}")
    local = dataclasses.replace(account, api_url=provider.url, verify_url=provider.url)
    return TwilioSender(local, brand="Example")


def webhook(url: str) -> WebhookSender:
    target = WebhookTarget.parse(f"webhook+{url}/sms", SECRET, http_loopback=True)
    return WebhookSender(target, brand="Example", clock=lambda: NOW)


async def test_twilio_gets_the_documented_form(provider: SmsProvider) -> None:
    async with aclosing(twilio(provider, "from=+15550100200")) as sender:
        await sender.send_login_code(PHONE, CODE)
        await sender.send_verification_code(PHONE, LONG)
    first, second = provider.requests
    assert first.path == f"/2010-04-01/Accounts/{AC}/Messages.json"
    assert first.login == "SK1:s@cret"
    assert first.headers["content-type"] == "application/x-www-form-urlencoded"
    assert first.form == {
        "To": PHONE, "From": "+15550100200", "Body": f"Example: your sign-in code is {CODE}.",
    }  # fmt: skip
    assert second.form["Body"] == f"Example: your verification code is {LONG}."
    assert provider.connections == 1


async def test_twilio_sends_by_a_messaging_service(provider: SmsProvider) -> None:
    async with aclosing(twilio(provider, f"messaging_service={MG}&from=My%20Shop")) as sender:
        await sender.send_login_code(PHONE, CODE)
    (request,) = provider.requests
    assert request.form["MessagingServiceSid"] == MG
    assert "From" not in request.form


async def test_twilio_hears_where_to_report_the_status(provider: SmsProvider) -> None:
    options = "from=+15550100200&status_callback=https%3A%2F%2Fapp.example.com%2Fsms%3Fa%3D1%2B1"
    async with aclosing(twilio(provider, options)) as sender:
        await sender.send_login_code(PHONE, CODE)
    assert provider.requests[0].form["StatusCallback"] == "https://app.example.com/sms?a=1+1"


# The example of Twilio's own libraries.
SIGNED = {
    "CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "From": "+14158675309",
    "To": "+18005551212",
}  # fmt: skip
CALLED, TOKEN, SIGNATURE = (
    "https://mycompany.com/myapp.php?foo=1&bar=2",
    "12345",
    "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
)


def test_a_status_counts_only_with_the_signature_of_twilio() -> None:
    assert status_of(SIGNED, url=CALLED, signature=SIGNATURE, auth_token=TOKEN) is not None
    changes = [
        {"form": SIGNED | {"Digits": "1235"}}, {"form": SIGNED | {"MessageStatus": "delivered"}},
        {"form": {}}, {"url": "https://mycompany.com/myapp.php"}, {"signature": ""}, {"signature": "é"},
        {"auth_token": "1234"},
    ]  # fmt: skip
    for change in changes:
        given = {"form": SIGNED, "url": CALLED, "signature": SIGNATURE, "auth_token": TOKEN} | change
        assert status_of(given.pop("form"), **given) is None


def test_a_status_says_what_became_of_the_message() -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30003", "Body": ""}
    signed = (CALLED + "".join(name + form[name] for name in sorted(form))).encode()
    signature = base64.b64encode(hmac.digest(TOKEN.encode(), signed, hashlib.sha1)).decode()
    found = status_of(form, url=CALLED, signature=signature, auth_token=TOKEN)
    assert found == MessageStatus(sid="SM1", status="undelivered", error="30003")


async def test_verify_gets_the_code_and_the_news_that_it_was_used(provider: SmsProvider) -> None:
    async with aclosing(twilio(provider, f"verify={VA}")) as sender:
        await sender.send_login_code(PHONE, CODE)
        await sender.report_code_used(PHONE)
        with pytest.raises(SendFailure, match="takes no long code"):
            await sender.send_login_code(PHONE, LONG)
    sent, used = provider.requests
    assert sent.path == f"/v2/Services/{VA}/Verifications"
    assert sent.form == {"To": PHONE, "Channel": "sms", "CustomCode": CODE}
    assert used.path == f"/v2/Services/{VA}/Verifications/%2B4915112345678"
    assert used.form == {"Status": "approved"}
    provider.requests.clear()
    async with aclosing(twilio(provider, f"verify={VA}&from=+15550100200")) as sender:
        await sender.send_login_code(PHONE, LONG)
    assert LONG in provider.requests[0].form["Body"]


async def test_a_webhook_is_signed_as_standard_webhooks_say(provider: SmsProvider) -> None:
    async with aclosing(webhook(provider.url)) as sender:
        spoken = language.set("de-AT")
        await sender.send_login_code(PHONE, CODE)
        language.reset(spoken)
        await sender.send_login_code(PHONE, CODE)
    request, other = provider.requests
    message_id, moment = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    expected = hmac.digest(b"k" * 32, f"{message_id}.{moment}.".encode() + request.body, hashlib.sha256)
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert (request.path, moment) == ("/sms", str(int(NOW)))
    assert other.headers["webhook-id"] != message_id
    text = f"Example: Ihr Anmeldecode lautet {CODE}."
    assert request.body.decode() == (
        '{"type":"sms","timestamp":"2027-01-15T08:00:00+00:00","data":{"to":"+4915112345678",'
        f'"kind":"login_code","code":"482915","text":"{text}","language":"de-AT"}}}}'
    )


async def test_a_page_gets_a_code_that_the_browser_fills_in(provider: SmsProvider) -> None:
    asked = web_host.set("app.example.com")
    try:
        async with aclosing(twilio(provider, "from=+15550100200")) as sender:
            await sender.send_login_code(PHONE, CODE)
    finally:
        web_host.reset(asked)
    lines = provider.requests[0].form["Body"].splitlines()
    assert lines == [f"Example: your sign-in code is {CODE}.", "", f"@app.example.com #{CODE}"]


ANSWERS = [
    (
        (400, {"code": 21211, "message": f"{PHONE} is no number"}),
        "twilio: HTTP 400, error 21211",
        SendFailure,
    ),
    ((401, {"code": 20003}), "twilio: HTTP 401, error 20003", SendFailure),
    ((429, {"code": 20429}), "twilio: HTTP 429, error 20429", TemporarySendFailure),
    ((503, "away"), "twilio: HTTP 503", TemporarySendFailure),
    ((302, {}), "twilio: HTTP 302", SendFailure),
    ("close", "127.0.0.1: RemoteProtocolError", TemporarySendFailure),
]


@pytest.mark.parametrize(("answer", "said", "kind"), ANSWERS, ids=lambda value: str(value)[:20])
async def test_a_refusal_says_its_number_and_is_not_repeated(
    provider: SmsProvider, answer, said, kind
) -> None:
    provider.answers = [answer]
    async with aclosing(twilio(provider, "from=+15550100200")) as sender:
        with pytest.raises(SendFailure) as failed:
            await sender.send_login_code(PHONE, CODE)
    assert (type(failed.value), str(failed.value)) == (kind, said)
    assert len(provider.requests) == 1


async def test_a_provider_that_hangs_costs_the_deadline(
    provider: SmsProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aclosing(webhook(provider.url)) as sender:
        await sender.send_login_code(PHONE, CODE)  # loads the certificates, which takes its time
        monkeypatch.setattr(provider_http, "TIMEOUT", 0.3)
        provider.answers = ["hang"]
        with pytest.raises(SendFailure, match="Time") as failed:
            await sender.send_login_code(PHONE, CODE)
    # It may have been sent: not again in the background.
    assert type(failed.value) is SendFailure
    assert len(provider.requests) == 2


async def test_without_a_connection_there_is_one_more_try(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []
    post = provider_http.ProviderHttp._post

    async def counted(self, url, headers, body):
        tries.append(url)
        return await post(self, url, headers, body)

    monkeypatch.setattr(provider_http.ProviderHttp, "_post", counted)
    async with aclosing(webhook(f"http://127.0.0.1:{free_port()}")) as sender:
        with pytest.raises(TemporarySendFailure, match=r"^127\.0\.0\.1: ConnectError$"):
            await sender.send_login_code(PHONE, CODE)
    assert len(tries) == 2


async def test_no_log_holds_a_number_a_code_or_a_secret(
    provider: SmsProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with aclosing(twilio(provider, f"verify={VA}")) as sender:
            await sender.send_login_code(PHONE, CODE)
            await sender.report_code_used(PHONE)
        async with aclosing(webhook(provider.url)) as sender:
            await sender.send_login_code(PHONE, CODE)
    assert len(provider.requests) == 3
    for secret in ("15112345678", CODE, "s@cret", "s%40cret", "/sms"):
        assert secret not in caplog.text
    assert "s@cret" not in repr(TwilioAccount.parse(f"twilio://SK1:s%40cret@{AC}?from=+1555"))


async def test_a_service_sends_by_the_provider_of_its_settings(make_service, provider: SmsProvider) -> None:
    service = await make_service(
        sms_sender=None, sms_url=f"webhook+{provider.url}/sms", sms_secret=SECRET, brand_name="Example"
    )
    await register(service, PHONE)
    assert b"Example: your verification code is " in provider.requests[0].body
    assert SECRET not in repr(service.config)
    with pytest.raises(ConfigError, match="sms_url must begin with"):
        await make_service(sms_sender=None, sms_url="https://app.example.com")


@pytest.mark.parametrize(
    ("more", "warned"), [("verify={VA}", 1), ("verify={VA}&from=+1555", 0), ("from=+1555", 0)]
)
def test_a_sender_that_takes_no_long_code_is_a_warning(more: str, warned: int) -> None:
    config = Config(
        issuer="https://id.example.test",
        issued_audiences=("api",),
        environment="production",
        sms_url=f"twilio://SK1:s@{AC}?{more.format(VA=VA)}",
        sms_countries=("49",),
    )
    assert sum("by Verify alone" in text for text in warnings(config, sends_mail=True)) == warned


def test_only_twilio_hears_of_used_codes() -> None:
    account = TwilioAccount.parse(f"twilio://SK1:s@{AC}?verify={VA}")
    assert Senders.of(None, TwilioSender(account, brand="x")).sms_use_report is not None
    assert Senders.of(None, webhook("http://127.0.0.1")).sms_use_report is None


@pytest.mark.parametrize(
    "url",
    [
        "twilio://", f"twilio://{AC}?from=+1", f"twilio://SK1@{AC}?from=+1", "twilio://SK1:hidden@?from=+1",
        "twilio://SK1:hidden@AC12?from=+1", f"twilio://SK1:hidden@{MG}?from=+1", f"twilio://SK1:hidden@{AC}",
        f"twilio://SK1:hidden@{AC}?form=+1", f"twilio://SK1:hidden@{AC}?verify={MG}",
        f"twilio://SK1:hidden@{AC}?from=+1&status_callback=http://x.example",
        f"twilio://SK1:hidden@{AC}?from=+1&region=ie1", f"twilio://SK1:hidden@{AC}?from=+1&region=a.b/&edge=x",
    ],
)  # fmt: skip
def test_an_unusable_twilio_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ConfigError, match="sms_url") as refused:
        TwilioAccount.parse(url)
    assert "hidden" not in str(refused.value)


def test_a_region_is_reached_by_its_own_hosts() -> None:
    account = TwilioAccount.parse(f"twilio://SK1:s@{AC}?verify={VA}&region=ie1&edge=dublin")
    assert account.api_url == "https://api.dublin.ie1.twilio.com"
    assert account.verify_url == "https://verify.dublin.ie1.twilio.com"


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("webhook+http://app.example.com/sms", SECRET, "sms_url"),
        ("webhook+https://user:hidden@app.example.com/sms", SECRET, "sms_url"),
        ("webhook+https:///sms", SECRET, "sms_url"),
        ("webhook+https://app.example.com/sms", "", "sms_secret"),
        ("webhook+https://app.example.com/sms", "whsec_c2hvcnQ=", "sms_secret"),
        ("webhook+https://app.example.com/sms", "hidden", "sms_secret"),
    ],
)
def test_an_unusable_webhook_is_refused_without_its_secret(url: str, secret: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        WebhookTarget.parse(url, secret, http_loopback=False)
    assert "hidden" not in str(refused.value)
