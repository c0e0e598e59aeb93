"""SMS by Twilio: its Messages resource, or its Verify service with codes of this service.

``twilio://KEY:SECRET@ACCOUNT?from=+15550100200`` sends from a number, ``?messaging_service=MG...`` by a
Messaging Service, ``?verify=VA...`` by Verify, whose service must take custom codes. ``KEY`` is an API key,
or the account itself with its auth token. ``region=ie1&edge=dublin`` keeps the data in a region.
Twilio reports what became of a message to ``/auth/sms/status``, or to ``status_callback=https://...``;
``status_of`` reads it.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from authkit_issuer.errors import ConfigError
from authkit_issuer.ports import MessageStatus, RecoveryNotice, SendFailure, language
from authkit_issuer.senders.provider_http import Answer, ProviderHttp, refused
from authkit_issuer.senders.recovery_texts import recovery_text
from authkit_issuer.senders.sms_texts import SmsKind, sms_text
from authkit_verify.config.allowed_urls import is_allowed_url

_SIDS = {"account": "AC", "messaging_service": "MG", "verify": "VA"}
_SID = re.compile(r"[A-Za-z]{2}[0-9a-fA-F]{32}")
_WORD = re.compile(r"[a-z0-9-]{1,32}")
_NO_URL = "sms_url must be twilio://KEY:SECRET@ACCOUNT?from=+NUMBER; escape special characters of the secret."
MAX_VERIFY_CODE = 10
"""Characters of a code that Verify takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioAccount:
    """The account, and what it sends with."""

    account: str
    key: str
    secret: str = field(repr=False)
    sender: str = ""
    """A number or an alphanumeric sender."""
    messaging_service: str = ""
    verify: str = ""
    status_callback: str = ""
    """An https URL of the host that Twilio calls with the status of each message."""
    auth_token: str = field(default="", repr=False)
    """What Twilio signs its reports with; ``""`` if only an API key is known."""
    api_url: str = "https://api.twilio.com"
    verify_url: str = "https://verify.twilio.com"

    @classmethod
    def parse(cls, url: str, auth_token: str = "") -> TwilioAccount:
        """Return the account of a URL, or raise ``ConfigError``, which omits the URL and its secret.

        ``auth_token`` signs reports; the secret of the URL does if its key is the account itself.
        """
        parts = urlsplit(url)
        credentials, at, account = parts.netloc.rpartition("@")
        key, colon, secret = credentials.partition(":")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        # An unescaped plus sign in a query is a blank; here it begins a number.
        options = {
            name: f"+{value[1:]}" if value.startswith(" ") else value for name, value in options.items()
        }
        unknown = set(options) - {"from", "messaging_service", "verify", "status_callback", "region", "edge"}
        if not (at and colon and key and secret and account) or unknown or parts.path.strip("/"):
            raise ConfigError(_NO_URL)
        region, edge = options.get("region", ""), options.get("edge", "")
        where = f".{edge}.{region}" if region else ""
        made = cls(
            account=account,
            key=unquote(key),
            secret=unquote(secret),
            sender=options.get("from", ""),
            messaging_service=options.get("messaging_service", ""),
            verify=options.get("verify", ""),
            status_callback=options.get("status_callback", ""),
            auth_token=auth_token or (unquote(secret) if key == account else ""),
            api_url=f"https://api{where}.twilio.com",
            verify_url=f"https://verify{where}.twilio.com",
        )
        made.check(region, edge)
        return made

    def check(self, region: str, edge: str) -> None:
        """Raise ``ConfigError`` for what Twilio could not take."""
        for name, prefix in _SIDS.items():
            value = getattr(self, name)
            if value and not (_SID.fullmatch(value) and value.startswith(prefix)):
                raise ConfigError(f"sms_url: {name} is {value!r}: set the id that begins with {prefix}.")
        if not (self.sender or self.messaging_service or self.verify):
            raise ConfigError("sms_url names no sender: add from=, messaging_service= or verify=.")
        if self.status_callback and not is_allowed_url(self.status_callback, http_loopback=False):
            raise ConfigError("sms_url: status_callback must be an https URL, percent-encoded.")
        if bool(region) != bool(edge) or not all(_WORD.fullmatch(word) for word in (region, edge) if word):
            raise ConfigError("sms_url: region and edge belong together, such as region=ie1&edge=dublin.")


def status_of(form: Mapping[str, str], *, url: str, signature: str, auth_token: str) -> MessageStatus | None:
    """Read a status call-back of Twilio.

    Args:
        form: Every parameter of the request, empty ones too.
        url: The URL that Twilio called: ``status_callback``, byte for byte.
        signature: The header ``X-Twilio-Signature``.
        auth_token: The auth token of the account, which signs.

    Returns:
        The status, or None if the request is not signed by Twilio.
    """
    signed = "".join(f"{name}{form[name]}" for name in sorted(form))
    fits = False
    for called in _spellings(url):
        made = hmac.digest(auth_token.encode(), f"{called}{signed}".encode(), hashlib.sha1)
        fits |= hmac.compare_digest(base64.b64encode(made), signature.encode())
    if not fits:
        return None
    return MessageStatus(
        sid=form.get("MessageSid", ""), status=form.get("MessageStatus", ""), error=form.get("ErrorCode", "")
    )


def _spellings(url: str) -> list[str]:
    """Return the URL as it is, with its port and without: Twilio signs one or another of them."""
    parts = urlsplit(url)
    host = parts.netloc.removesuffix(f":{parts.port}")
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return [url, *(parts._replace(netloc=netloc).geturl() for netloc in (host, f"{host}:{port}"))]


class TwilioSender:
    """An ``SMSSender`` that reports which codes were used, as Verify asks for, and reads Twilio's reports."""

    def __init__(
        self,
        account: TwilioAccount,
        *,
        brand: str,
        language: str = "en",
    ) -> None:
        """Send in the name of ``brand``; ``language`` is for clients whose own is unknown."""
        self._account = account
        self._brand = brand
        self._language = language
        self.report_url = ""
        self._http = ProviderHttp()

    async def send_verification_code(self, phone: str, code: str) -> None:
        """See ``SMSSender``."""
        await self._send("verification_code", phone, code)

    async def send_login_code(self, phone: str, code: str) -> None:
        """See ``SMSSender``."""
        await self._send("login_code", phone, code)

    async def report_code_used(self, phone: str) -> None:
        """See ``SMSSenderWithUseReport``."""
        if self._account.verify:
            form = {"Status": "approved"}
            await self._post(f"{self._verifications}/{quote(phone, safe='')}", form)

    @property
    def takes_reports(self) -> bool:
        """See ``SMSSenderWithStatusReports``; Verify reports nothing, and the host may have its own URL."""
        account = self._account
        sends = account.sender or account.messaging_service
        return bool(account.auth_token and sends and not account.status_callback)

    def reporting_to(self, url: str) -> TwilioSender:
        """See ``SMSSenderWithStatusReports``; the connections are shared."""
        reporting = copy.copy(self)
        reporting.report_url = url
        return reporting

    def read_report(self, form: Mapping[str, str], *, url: str, signature: str) -> MessageStatus | None:
        """See ``SMSSenderWithStatusReports``."""
        return status_of(form, url=url, signature=signature, auth_token=self._account.auth_token)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def _verifications(self) -> str:
        return f"{self._account.verify_url}/v2/Services/{self._account.verify}/Verifications"

    async def _send(self, kind: SmsKind, phone: str, code: str) -> None:
        account = self._account
        if account.verify and len(code) <= MAX_VERIFY_CODE:
            form = {"To": phone, "Channel": "sms", "CustomCode": code}
            tag = language.get().partition("-")[0].lower()
            await self._post(self._verifications, form | ({"Locale": tag} if tag in {"de", "en"} else {}))
            return
        if not (account.sender or account.messaging_service):
            raise SendFailure("twilio: Verify takes no long code: add from= or messaging_service= to sms_url")
        await self._text(phone, sms_text(kind, code, brand=self._brand, fallback=self._language))

    async def _text(self, phone: str, text: str) -> None:
        account = self._account
        origin = (
            {"MessagingServiceSid": account.messaging_service}
            if account.messaging_service
            else {"From": account.sender}
        )
        reports = account.status_callback or self.report_url
        if reports:
            origin["StatusCallback"] = reports
        url = f"{account.api_url}/2010-04-01/Accounts/{account.account}/Messages.json"
        await self._post(url, {"To": phone, "Body": text, **origin})

    async def _post(self, url: str, form: dict[str, str]) -> None:
        basic = base64.b64encode(f"{self._account.key}:{self._account.secret}".encode()).decode()
        headers = {
            "authorization": f"Basic {basic}",
            "content-type": "application/x-www-form-urlencoded",
        }
        answer = await self._http.post(url, headers=headers, body=urlencode(form).encode())
        if not answer.ok:
            raise refused("twilio", answer, _reason(answer))


class TwilioTextSender(TwilioSender):
    """A ``TwilioSender`` of an account that sends texts of this service: Verify alone sends only codes."""

    def __init__(
        self, account: TwilioAccount, *, brand: str, language: str = "en", base_url: str | None = None
    ) -> None:
        """As a ``TwilioSender``; ``base_url`` is the site that links lead to."""
        super().__init__(account, brand=brand, language=language)
        self._base_url = base_url

    async def send_recovery_text(self, phone: str, notice: RecoveryNotice) -> None:
        """See ``SMSSenderWithRecoveryNotice``."""
        await self._text(
            phone,
            recovery_text(notice, brand=self._brand, base_url=self._base_url, fallback=self._language),
        )


def _reason(answer: Answer) -> str:
    """Return the number of Twilio's error; its message may quote the phone number."""
    try:
        code = json.loads(answer.body).get("code")
    except (ValueError, AttributeError):
        return ""
    return f", error {code}" if isinstance(code, int) else ""
