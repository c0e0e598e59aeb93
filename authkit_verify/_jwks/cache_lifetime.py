"""The time a fetched key set is fresh, and the time it is used in an outage (RFC 9111, RFC 5861)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

MIN_FRESH = 60.0
"""Seconds; headers do not shorten freshness below this, since some issuers send ``max-age=15``."""


class CacheLifetime(msgspec.Struct, frozen=True):
    """Seconds a set is fresh, and seconds after that in which it is used while the issuer is unreachable."""

    fresh: float
    stale: float


def cache_lifetime(headers: Mapping[str, str], *, cache_ttl: float, max_stale: float) -> CacheLifetime:
    """Return the lifetime of an answer; headers shorten the configured one and never lengthen it.

    ``headers`` has lower-case names. Without cache headers the configured lifetime applies.
    """
    directives = _directives(headers.get("cache-control", ""))
    fresh, stale = cache_ttl, max_stale
    allowed = _allowed(directives, headers)
    if allowed is not None:
        fresh = min(cache_ttl, max(MIN_FRESH, allowed))
    outage = _seconds(directives.get("stale-if-error"))
    if outage is not None:
        stale = min(max_stale, outage)
    return CacheLifetime(fresh, stale)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds after which the issuer wants the next request (RFC 9110, 10.2.3), or None."""
    text = headers.get("retry-after")
    seconds, moment, sent = _seconds(text), _moment(text), _moment(headers.get("date"))
    if seconds is None and moment is not None and sent is not None:
        seconds = max(0.0, (moment - sent).total_seconds())
    return seconds


def _allowed(directives: Mapping[str, str], headers: Mapping[str, str]) -> float | None:
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    max_age = _seconds(directives.get("max-age"))
    if max_age is not None:
        return max_age - (_seconds(headers.get("age")) or 0.0)
    expires, date = _moment(headers.get("expires")), _moment(headers.get("date"))
    if "expires" in headers and date is not None:
        # RFC 9111, 5.3: an unreadable Expires, "0" above all, means already expired.
        return 0.0 if expires is None else (expires - date).total_seconds()
    return None


def _directives(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in value.split(","):
        name, _, argument = part.strip().partition("=")
        found.setdefault(name.strip().lower(), argument.strip().strip('"'))
    return found


def _seconds(text: str | None) -> float | None:
    if text is None or not text.isascii() or not text.isdigit():
        return None
    return float(text[:10])


def _moment(text: str | None) -> datetime | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - half of the import of this package's own code

    try:
        moment = parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
