"""SMS by a program of the host: signed JSON to a URL (Standard Webhooks 1.0), for any other provider."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from authkit_issuer.errors import ConfigError
from authkit_issuer.ports import Clock, RandomBytes, RecoveryNotice, language
from authkit_issuer.security import standard_webhooks
from authkit_issuer.senders.provider_http import ProviderHttp, refused
from authkit_issuer.senders.recovery_texts import recovery_text
from authkit_issuer.senders.sms_texts import SmsKind, sms_text
from authkit_verify.config.allowed_urls import is_allowed_url

SCHEMES = {"webhook+https": "https", "webhook+http": "http"}
MIN_SECRET = 24
"""Bytes of a secret at least, as Standard Webhooks asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """The URL and the secret that signs."""

    url: str = field(repr=False)
    secret: bytes = field(repr=False)

    @classmethod
    def parse(cls, url: str, secret: str, *, http_loopback: bool) -> WebhookTarget:
        """Return the target of two settings, or raise ``ConfigError``, which omits both."""
        scheme, _, rest = url.partition("://")
        target = f"{SCHEMES.get(scheme, scheme)}://{rest}"
        if "@" in urlsplit(target).netloc or not is_allowed_url(target, http_loopback=http_loopback):
            raise ConfigError("sms_url must be webhook+https://HOST/PATH without a user or password.")
        key = standard_webhooks.read_secret(secret)
        if key is None or len(key) < MIN_SECRET:
            raise ConfigError(
                "sms_secret must be whsec_ and the base64 of 24 or more random bytes: it signs the messages."
            )
        return cls(url=target, secret=key)


class WebhookSender:
    """An ``SMSSender``: the receiver gets number, kind, code and text, and sends the SMS."""

    def __init__(
        self,
        target: WebhookTarget,
        *,
        brand: str,
        language: str = "en",
        base_url: str | None = None,
        clock: Clock = time.time,
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        """Send in the name of ``brand``; ``language`` is for clients whose own is unknown.

        ``base_url`` is the site that links lead to.
        """
        self._target = target
        self._brand = brand
        self._language = language
        self._base_url = base_url
        self._clock = clock
        self._random_bytes = random_bytes
        self._http = ProviderHttp()

    async def send_verification_code(self, phone: str, code: str) -> None:
        """See ``SMSSender``."""
        await self._send("verification_code", phone, code)

    async def send_login_code(self, phone: str, code: str) -> None:
        """See ``SMSSender``."""
        await self._send("login_code", phone, code)

    async def send_recovery_text(self, phone: str, notice: RecoveryNotice) -> None:
        """See ``SMSSenderWithRecoveryNotice``."""
        text = recovery_text(notice, brand=self._brand, base_url=self._base_url, fallback=self._language)
        await self._post({"to": phone, "kind": notice.kind, "code": "", "text": text})

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, kind: SmsKind, phone: str, code: str) -> None:
        text = sms_text(kind, code, brand=self._brand, fallback=self._language)
        await self._post({"to": phone, "kind": kind, "code": code, "text": text})

    async def _post(self, message: dict[str, str]) -> None:
        now = self._clock()
        data = message | {"language": language.get()}
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        body = msgspec.json.encode({"type": "sms", "timestamp": moment, "data": data})
        message_id = f"sms_{self._random_bytes(16).hex()}"
        signed = standard_webhooks.headers([self._target.secret], message_id, int(now), body)
        headers = {"content-type": "application/json", **signed}
        answer = await self._http.post(self._target.url, headers=headers, body=body)
        if not answer.ok:
            raise refused("the receiver of sms_url", answer)
