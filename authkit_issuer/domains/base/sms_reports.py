"""Reports of the provider of SMS: which messages arrived, counted and logged once, without a number."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from authkit_issuer.config import Config
from authkit_issuer.config.checks import is_public
from authkit_issuer.errors import Denied, EphemeralStoreUnavailable, NotConfigured
from authkit_issuer.errors.declared import raises
from authkit_issuer.runtime import Runtime
from authkit_issuer.telemetry.measurements import SMS_REPORTED

PATH = "/sms/status"
FINAL = frozenset({"delivered", "undelivered", "failed", "canceled"})
"""The last status of a message; reports of the others change nothing."""
REMEMBERED = 2 * 86_400
"""Seconds for which a repeated report is known; no provider tries to deliver an SMS for longer."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ERROR = re.compile(r"[0-9]{1,6}")

logger = logging.getLogger("authkit.sms")


def own_url(config: Config) -> str:
    """Return the URL of this service that takes the reports, and that the provider signs."""
    base = (config.base_url or config.issuer).rstrip("/")
    return f"{base}{config.route_prefix}{PATH}"


def reachable_url(config: Config) -> str:
    """Return that URL if it is https on the public Internet, so that a provider can call it; else ``""``."""
    url = own_url(config)
    return url if url.startswith("https://") and is_public(url) else ""


@dataclass(frozen=True, slots=True)
class SmsReports:
    """Takes the reports of the provider of SMS."""

    rt: Runtime

    @property
    def available(self) -> bool:
        """True if the provider can report to this service, and its signature can be checked."""
        return self.rt.senders.sms_status is not None

    @raises(Denied, NotConfigured, EphemeralStoreUnavailable)
    async def take(self, form: Mapping[str, str], *, signature: str) -> None:
        """Count the end of a message, once, however often it is reported; log one that did not arrive.

        Args:
            form: Every parameter of the request, empty ones too.
            signature: What the provider signed the request with.

        Raises:
            Denied: The provider did not sign this.
            NotConfigured: The provider of SMS reports nothing.
            EphemeralStoreUnavailable: Whether the report is a repeated one cannot be known.
        """
        sender = self.rt.senders.sms_status
        if sender is None:
            raise NotConfigured
        report = sender.read_report(form, url=own_url(self.rt.config), signature=signature)
        if report is None:
            raise Denied("The report is not signed by the provider of SMS.")
        if report.status not in FINAL or not _ID.fullmatch(report.sid):
            return
        key = f"sms_report:{report.sid}"
        if not await self.rt.ephemeral.set(key, b"1", REMEMBERED, only_if_absent=True):
            return
        error = report.error if _ERROR.fullmatch(report.error) else ""
        if self.rt.telemetry is not None:
            self.rt.telemetry.count(SMS_REPORTED.name, status=report.status, error=error)
        if report.status != "delivered":
            logger.warning("SMS %s did not arrive: %s, error %s", report.sid, report.status, error or "none")
