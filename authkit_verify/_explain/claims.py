"""The second half of an explanation: what the token says about itself, each claim judged on its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from authkit_verify._explain.explanation import (
    CheckResult,
    Notes,
    Outcome,
    Words,
    issuer_setting,
    kind,
    moment,
)
from authkit_verify._jose.compact import Header
from authkit_verify._policy import checks, claims
from authkit_verify._policy.issuer_policy import Rule
from authkit_verify._policy.report_only import ReportOnlyPolicy

_SOURCES = {
    "expiry": "RFC 7519 4.1.4",
    "not_before": "RFC 7519 4.1.5",
    "issued_at": "RFC 7519 4.1.6",
    "lifetime": "RFC 8725 3.10",
    "subject": "RFC 7519 4.1.2",
    "audience": "RFC 7519 4.1.3",
    "scope": "RFC 6750 3.1",
}
_TRIED = {
    "algorithms": "RFC 8725 3.1",
    "token_types": "RFC 8725 3.11",
    "max_lifetime": _SOURCES["lifetime"],
    "audiences": _SOURCES["audience"],
    "required_scopes": _SOURCES["scope"],
}
_NO_RULE = "the issuer decides, and it is not known"


def explain_claims(
    notes: Notes,
    words: Words,
    *,
    header: Header | None,
    payload: dict[str, Any] | None,
    rule: Rule | None,
    now: float,
    skew: float,
) -> None:
    """Note type, times, subject, audience, claims and scope; a header or payload of None was unreadable."""
    _type(notes, words, header, rule)
    if payload is None:
        for name, source in _SOURCES.items():
            notes.unknown(name, "the payload cannot be read", source)
        return
    _times(notes, words, payload, now, skew)
    _lifetime(notes, words, payload, rule, now)
    subject = f"sub is {kind(payload.get('sub'))}, and is not shown"
    notes.judge("subject", subject, None, _SOURCES["subject"], lambda: checks.check_subject(payload))
    _audience(notes, words, payload.get("aud"), rule)
    # The claims judged above may be unfit for the record; stand-ins leave the scopes to be read.
    record = claims.build(payload | {"iss": "", "sub": "", "exp": 0, "iat": None}, ())
    _scope(notes, words, record.scopes, rule)
    if header is not None and rule is not None and rule.shadow is not None:
        _report_only(notes, header, payload, rule, rule.shadow)


def _type(notes: Notes, words: Words, header: Header | None, rule: Rule | None) -> None:
    source = "RFC 8725 3.11, RFC 9068 4"
    if header is None or rule is None:
        notes.unknown("type", "the header cannot be read" if header is None else _NO_RULE, source)
        return
    setting = issuer_setting(rule.accept, "token_types", rule.accept.token_types)
    notes.judge(
        "type", f"typ {words.value(header.typ)}", setting, source,
        lambda: checks.check_type(header.typ, rule.types),
    )  # fmt: skip


def _times(notes: Notes, words: Words, payload: Mapping[str, Any], now: float, skew: float) -> None:
    for name, claim in (("expiry", "exp"), ("not_before", "nbf"), ("issued_at", "iat")):
        setting = f"AcceptConfig.skew = {skew!r}"
        if claim not in payload and claim != "exp":
            notes.add(name, "skipped", f"there is no {claim}", setting, _SOURCES[name])
            continue
        # An expiry that is surely to come leaves only the other claim to be judged.
        judged = {"exp": now + 1.0} if claim != "exp" else {}
        if claim in payload:
            judged[claim] = payload[claim]
        seen = f"{claim} {words.time(payload.get(claim))}, now {moment(now)}"
        notes.judge(name, seen, setting, _SOURCES[name], lambda: checks.check_times(judged, now, skew, None))  # noqa: B023 - called at once


def _lifetime(notes: Notes, words: Words, payload: Mapping[str, Any], rule: Rule | None, now: float) -> None:
    source = _SOURCES["lifetime"]
    if rule is None:
        notes.unknown("lifetime", _NO_RULE, source)
        return
    longest = rule.accept.max_lifetime
    setting = issuer_setting(rule.accept, "max_lifetime", longest)
    if longest is None:
        notes.add("lifetime", "skipped", "no limit is set", setting, source)
        return
    span = {name: payload[name] for name in ("exp", "iat") if name in payload}
    seen = f"from iat {words.time(span.get('iat'))} to exp {words.time(span.get('exp'))}"
    # Under an endless skew no time is wrong for being early or late.
    notes.judge("lifetime", seen, setting, source, lambda: checks.check_times(span, now, math.inf, longest))


def _audience(notes: Notes, words: Words, aud: Any, rule: Rule | None) -> None:
    if rule is None:
        notes.unknown("audience", _NO_RULE, _SOURCES["audience"])
        return
    field = "any_audience" if rule.audiences is None else "audiences"
    setting = issuer_setting(rule.accept, field, getattr(rule.accept, field))
    notes.judge(
        "audience", f"aud {words.value(aud)}", setting, _SOURCES["audience"],
        lambda: checks.check_audience(aud, rule.audiences),
    )  # fmt: skip


def _scope(notes: Notes, words: Words, scopes: tuple[str, ...], rule: Rule | None) -> None:
    source = _SOURCES["scope"]
    if rule is None:
        notes.unknown("scope", _NO_RULE, source)
        return
    setting = issuer_setting(rule.accept, "required_scopes", rule.scopes)
    seen = f"scope {words.value(list(scopes))}"
    if rule.scopes:
        notes.judge("scope", seen, setting, source, lambda: checks.check_scopes(scopes, rule.scopes))
    else:
        notes.add("scope", "skipped", f"none is required; {seen}", setting, source)


def _report_only(
    notes: Notes, header: Header, payload: dict[str, Any], rule: Rule, shadow: ReportOnlyPolicy
) -> None:
    """Note the rules on trial; like the verifier, try them on accepted tokens only."""
    accepted = None
    if not notes.refused:
        audience = checks.check_audience(payload.get("aud"), rule.audiences)
        accepted = claims.build(dict(payload), audience)
    failed = dict(shadow.failures(header, accepted)) if accepted is not None else {}
    for name in shadow.trials:
        refusal = failed.get(name)
        outcome: Outcome = "unknown" if accepted is None else "passed" if refusal is None else "failed"
        seen = "tried on accepted tokens only" if accepted is None else "nothing against the token"
        setting = issuer_setting(rule.accept, f"report_only.{name}", getattr(rule.accept.report_only, name))
        notes.checks.append(
            CheckResult(
                name=f"report_only.{name}",
                outcome=outcome,
                seen=seen if refusal is None else refusal.description,
                setting=setting,
                source=_TRIED[name],
                code=None if refusal is None else refusal.code,
                report_only=True,
            )
        )
