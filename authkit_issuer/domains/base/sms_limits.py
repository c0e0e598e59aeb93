"""Limits on SMS, against pumping: bots that request codes for numbers whose holders earn by every message.

The numbers of one fraud are neighbours and change all the time, and their codes are hardly ever used. So SMS
are limited by number, by the first seven digits and in all, and a share of used codes that falls under
``sms_min_used_share`` leaves an event.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from authkit_issuer.domains.base import stored_values
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.errors import EphemeralStoreUnavailable
from authkit_issuer.ports import SendFailure
from authkit_issuer.runtime import Runtime

PREFIX_DIGITS = 7
MIN_SENT = 50
"""SMS within one or two hours below which their share says nothing."""
_HOUR = 3600
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}$")


@dataclass(frozen=True, slots=True)
class SmsLimits:
    """Counts SMS that are sent, and their codes that are used."""

    rt: Runtime

    async def admit(self, phone: str) -> None:
        """Count one SMS; raises ``SendFailure`` with the name of the limit that is reached."""
        config, digest = self.rt.config, identifier_digest(self.rt, "sms", phone)
        prefix = identifier_digest(self.rt, "sms_prefix", phone.removeprefix("+")[:PREFIX_DIGITS])
        limits = (
            (f"sms_number:{digest}", config.sms_max_per_number_hour, "sms_max_per_number_hour"),
            (f"sms_prefix:{prefix}", config.sms_max_per_prefix_hour, "sms_max_per_prefix_hour"),
            ("sms_all", config.sms_max_per_hour, "sms_max_per_hour"),
        )
        for key, most, name in limits:
            admitted, _ = await self.rt.ephemeral.admit(key, most, _HOUR)
            if not admitted:
                raise SendFailure(f"the limit {name} ({most}) is reached")
        await self._look()

    async def used(self, target: str) -> None:
        """Count the right code of an SMS, if ``target`` ends with a phone number."""
        found = _NUMBER.search(target)
        if found is None:
            return
        # A right code works also while nothing can be counted.
        with suppress(EphemeralStoreUnavailable):
            await self.rt.ephemeral.incr(self._key("used", self._hour()), 3 * _HOUR)
        reports = self.rt.senders.sms_use_report
        if reports is not None:
            number = found[0]
            await self.rt.start_after_commit(lambda: reports.report_code_used(number), name="use of a code")

    async def _look(self) -> None:
        """Count an SMS, and record once an hour that few of their codes are used."""
        hour = self._hour()
        await self.rt.ephemeral.incr(self._key("sent", hour), 3 * _HOUR)
        # A code may be used after the hour of its SMS.
        keys = [self._key(name, number) for name in ("sent", "used") for number in (hour - 1, hour)]
        counts = [stored_values.count(stored) for stored in await self.rt.ephemeral.get_many(keys)]
        sent, used = sum(counts[:2]), sum(counts[2:])
        report = self.rt.report_unused_sms
        if report is None or sent < MIN_SENT or used >= self.rt.config.sms_min_used_share * sent:
            return
        if await self.rt.ephemeral.set(self._key("reported", hour), b"1", _HOUR, only_if_absent=True):
            await report(data={"sent": sent, "used": used})

    def _key(self, name: str, hour: int) -> str:
        return f"sms_{name}:{hour}"

    def _hour(self) -> int:
        return int(self.rt.clock() // _HOUR)
