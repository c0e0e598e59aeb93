"""Check an issuer's name, its metadata, its clock, and how its key set is served."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from authkit_verify._jwks.cache_lifetime import MIN_FRESH, cache_lifetime
from authkit_verify._jwks.discovery import origin, url_in
from authkit_verify._jwks.fetch import Answer
from authkit_verify._jwks.fetch_error import FetchError
from authkit_verify._jwks.refresher import MAX_WAIT
from authkit_verify._verify.explain.explanation import shortened
from authkit_verify.config import IssuerAccept
from authkit_verify.config.allowed_urls import is_loopback
from authkit_verify.doctor.probing import Probe
from authkit_verify.doctor.report import Finding, Level

SLOW = 1.0
"""Seconds; a slower key set noticeably delays the first requests."""
OFFSET = 30.0
"""Seconds; a clock that differs by more is a warning."""


def check_form(accept: IssuerAccept) -> Finding:
    """Check the form of the issuer's name, a URL (RFC 8414, 2)."""
    parts = urlsplit(accept.issuer)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return Finding(
            "warning", "issuer_not_a_url", "The issuer is not a URL.", "RFC 8414 asks for an https URL."
        )
    if parts.query or parts.fragment:
        return Finding(
            "warning", "issuer_has_query", "The issuer has a query or a fragment.", "RFC 8414 forbids both."
        )
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return Finding(
            "warning",
            "http_loopback",
            "The issuer is fetched over plain http.",
            "Use it only for development on this machine.",
        )
    if parts.scheme == "http":
        return Finding(
            "warning", "http_issuer", "The issuer is an http URL.", "RFC 8414 asks for an https URL."
        )
    slash = (
        " It ends with a slash, and the iss of its tokens must too." if accept.issuer.endswith("/") else ""
    )
    return Finding("ok", "issuer_form", f"The issuer is an https URL.{slash}")


def check_transport(url: str) -> Iterator[Finding]:
    """Yield the finding about keys that are fetched over plain http from another host."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield Finding(
            "warning",
            "http_keys",
            f"The keys are fetched over plain http from {shown(parts.netloc)}.",
            "An attacker on that network can replace them: allow it only where the network is encrypted.",
        )


def check_metadata(found: Probe, accept: IssuerAccept) -> tuple[Finding, str | None]:
    """Return the finding about one metadata document, and the URL of the keys that it names."""
    if found.answer is None:
        fault = found.fault
        if fault is None or fault.status == 404:
            return Finding("ok", "no_metadata", f"There is no metadata at {shown(found.url)}."), None
        sentence = f"The metadata at {shown(found.url)} cannot be fetched: {fault.reason}."
        return Finding("warning", fault.code, sentence, fault.advice), None
    try:
        url = url_in(found.answer, accept.issuer, "jwks_uri")
    except FetchError as error:
        return _unfit(found, found.answer, accept, error), None
    if not accept.allows_url(url):
        level: Level = "error" if accept.keys_url is None else "warning"
        sentence = f"The metadata names its keys at {shown(url)}, which is not an https URL."
        return Finding(
            level, "jwks_uri_refused", sentence, "The verifier fetches keys over https only."
        ), None
    if origin(url) != origin(found.url):
        sentence = f"The metadata names keys on another origin: {shown(url)}."
        advice = "Check that this host belongs to the issuer; same_origin=True refuses it."
        return Finding("warning", "jwks_uri_other_origin", sentence, advice), url
    return Finding("ok", "metadata", f"The metadata at {shown(found.url)} is this issuer's."), url


def _unfit(found: Probe, answer: Answer, accept: IssuerAccept, error: FetchError) -> Finding:
    """Return the finding about a document that the verifier would not use."""
    where = f"The metadata at {shown(found.url)}"
    try:
        document: Any = json.loads((answer.body or b"").decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Finding("warning", "metadata_not_json", f"{where} is not JSON.")
    theirs = document.get("issuer") if isinstance(document, dict) else None
    if theirs == accept.issuer or not isinstance(theirs, str):
        return Finding("warning", "metadata_unfit", f"{where} is unusable: {error}.")
    if "{" in theirs:
        sentence = f"{where} is for many tenants: {shown(theirs)}."
        advice = (
            "Accept its tenants with tenants and {tenant} in the issuer, or configure the issuer of one "
            "tenant as its tokens spell it, with jwks_url."
        )
        return Finding("error", "multi_tenant_metadata", sentence, advice)
    advice = f"Tokens carry the issuer's own spelling: configure issuer={shown(theirs)} if you trust it."
    if theirs.rstrip("/") == accept.issuer.rstrip("/"):
        sentence = f"{where} names {shown(theirs)}, which differs by a trailing slash."
        return Finding("error", "issuer_trailing_slash", sentence, advice)
    return Finding("error", "issuer_mismatch", f"{where} names another issuer: {shown(theirs)}.", advice)


def check_service(found: Probe, accept: IssuerAccept) -> Iterator[Finding]:
    """Yield the findings about the time, the caching and the validator of the key set's response."""
    if found.took > SLOW:
        wait = f" Requests wait at most {MAX_WAIT:g} s and then receive 503." if found.took > MAX_WAIT else ""
        yield Finding("warning", "slow", f"The key set took {found.took:.1f} s.{wait}")
    else:
        yield Finding("ok", "response_time", f"The key set took {found.took:.2f} s.")
    if "etag" in found.headers:
        yield Finding("ok", "etag", "The key set has an ETag, so that an unchanged set is not sent again.")
    else:
        yield Finding("warning", "no_etag", "The key set has no ETag; every refresh sends the whole set.")
    lives = cache_lifetime(found.headers, cache_ttl=accept.cache_ttl, max_stale=accept.max_stale)
    header = found.headers.get("cache-control", found.headers.get("expires"))
    said = "Without cache headers" if header is None else f"Under {shown(header)}"
    kept = f"{said} the set is fresh for {lives.fresh:g} s and used for {lives.stale:g} s more in an outage."
    if lives.fresh < accept.cache_ttl and lives.fresh <= MIN_FRESH:
        advice = f"The shortest time is {MIN_FRESH:g} s; ask the issuer for a longer max-age."
        yield Finding("warning", "cache_short", kept, advice)
    elif lives.stale < accept.max_stale:
        yield Finding("warning", "stale_short", kept, "The issuer's stale-if-error shortens max_stale.")
    else:
        yield Finding("ok", "cache", kept)


def check_clock(probes: Sequence[Probe], skew: float) -> Iterator[Finding]:
    """Yield the finding about the issuer's clock, by the last response with a Date header."""
    offset = next((one for one in map(_offset, reversed(probes)) if one is not None), None)
    if offset is None:
        yield Finding(
            "warning", "no_date", "No response has a Date header, so the issuer's clock is unknown."
        )
        return
    sentence = (
        f"The issuer's clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the clock here."
    )
    if abs(offset) > skew:
        yield Finding(
            "error", "clock_offset", sentence, f"That is more than the skew of {skew:g} s; set the clocks."
        )
    elif abs(offset) > OFFSET:
        yield Finding(
            "warning", "clock_offset", sentence, "Set the clocks before the difference exceeds the skew."
        )
    else:
        yield Finding("ok", "clock", sentence)


def _offset(found: Probe) -> float | None:
    """Return the seconds the issuer is ahead; 0 within the precision of Date and of the network."""
    try:
        date = parsedate_to_datetime(found.headers.get("date", ""))
        # A cached response keeps its Date and has its Age (RFC 9111, 5.1).
        age = int(found.headers.get("age", "0")[:10])
        theirs = date.replace(tzinfo=date.tzinfo or UTC).timestamp() + age
    except (ValueError, TypeError, OverflowError):
        return None
    offset = theirs - found.middle
    return offset if abs(offset) > 1.0 + found.took / 2 else 0.0


def shown(text: str) -> str:
    """Return text of the issuer, quoted, escaped and cut short."""
    return shortened(ascii(text))
