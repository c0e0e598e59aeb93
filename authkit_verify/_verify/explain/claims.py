"""The second half of an explanation: the type and the claims, each checked on its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from authkit_verify._jose.compact import Header
from authkit_verify._policy import token_checks, verified_claims
from authkit_verify._policy.claim_paths import USUAL, Paths, Payload, first_value
from authkit_verify._policy.issuer_policy import IssuerPolicy
from authkit_verify._policy.proof.binding import Binding
from authkit_verify._policy.report_only import ReportOnlyPolicy
from authkit_verify._policy.required_claims import check_required
from authkit_verify._policy.verified_claims import Claims
from authkit_verify._verify.explain.explanation import (
    CheckLog,
    CheckResult,
    Outcome,
    Redactor,
    issuer_setting,
    json_type,
    moment,
)
from authkit_verify.config import IssuerAccept
from authkit_verify.config.claims_mapping import ClaimsMapping
from authkit_verify.errors import TokenError

_SOURCES = {
    "expiry": "RFC 7519 4.1.4",
    "not_before": "RFC 7519 4.1.5",
    "issued_at": "RFC 7519 4.1.6",
    "lifetime": "RFC 8725 3.10",
    "subject": "RFC 7519 4.1.2",
    "audience": "RFC 7519 4.1.3",
    "required_claims": "RFC 7519 4",
    "scope": "RFC 6750 3.1",
    "proof": "RFC 9449 7, RFC 8705 3",
}
_TRIED = {
    "algorithms": "RFC 8725 3.1",
    "token_types": "RFC 8725 3.11",
    "max_lifetime": _SOURCES["lifetime"],
    "audiences": _SOURCES["audience"],
    "required_scopes": _SOURCES["scope"],
    "required_claims": _SOURCES["required_claims"],
}
_CHECKED_ELSEWHERE = frozenset({"subject", "audience"})
_NO_RULE = "the issuer decides, and it is unknown"


async def explain_claims(
    log: CheckLog,
    redactor: Redactor,
    *,
    payload: dict[str, Any] | None,
    policy: IssuerPolicy | None,
    now: float,
    skew: float,
) -> None:
    """Record times, subject, audience, scope and tenant; a payload of None was unreadable."""
    if payload is None:
        for name, source in _SOURCES.items():
            log.unknown(name, "the payload is unreadable", source)
        return
    _times(log, redactor, payload, now, skew)
    _lifetime(log, redactor, payload, policy, now)
    paths = USUAL if policy is None else policy.paths
    subject = first_value(paths.subject, payload)
    log.run(
        "subject", f"{_names(paths.subject)} is {json_type(subject)}, and is not shown", None,
        _SOURCES["subject"], lambda: token_checks.check_subject(subject),
    )  # fmt: skip
    _audience(log, redactor, payload, policy)
    _required_claims(log, redactor, payload, policy)
    _scope(log, redactor, _record(payload, policy).scopes, policy)
    await _tenant(log, redactor, payload, policy)


def explain_rest(
    log: CheckLog,
    redactor: Redactor,
    *,
    header: Header | None,
    payload: Payload,
    policy: IssuerPolicy | None,
    check_proof: Callable[[Binding | None], object],
) -> None:
    """Record the proof, and what decides nothing: mapped claims and report-only rules."""
    _proof(log, redactor, payload, policy, check_proof)
    if policy is not None and policy.accept.claims is not None:
        _mapping(log, redactor, _record(payload, policy), policy.accept)
    if policy is not None and policy.report_only is not None:
        _report_only(log, header, payload, policy, policy.report_only)


async def _tenant(log: CheckLog, redactor: Redactor, payload: Payload, policy: IssuerPolicy | None) -> None:
    """Record which tenant the token is of, for an issuer with several, and if it is accepted."""
    if policy is None or policy.tenancy is None:
        return
    accept, iss = policy.accept, payload.get("iss")
    shown = "a function" if callable(accept.tenants) else accept.tenants
    setting = f"{issuer_setting(accept, 'tenants', shown)}, tenant_claim = {accept.tenant_claim!r}"
    source = "RFC 7519 4.1.1"
    if type(iss) is not str or (log.refused and policy.tenancy.asks_host):
        log.unknown("tenant", "not decided, because an earlier check refuses the token", source, setting)
        return
    seen = f"tenant {redactor.value(policy.tenancy.tenant_of(iss))}"
    try:
        await policy.tenancy.admit(payload)
    except TokenError as error:
        outcome: Outcome = "unknown" if error.code == "issuer_check_unavailable" else "failed"
        log.add("tenant", outcome, f"{error.reason}; {seen}", setting, source, code=error.code)
    else:
        log.add("tenant", "passed", seen, setting, source)


def _record(payload: Payload, policy: IssuerPolicy | None) -> Claims:
    # The claims that are checked may be unfit for ``Claims``; placeholders let the others be read.
    paths = USUAL if policy is None else policy.paths
    return verified_claims.build(payload | {"iss": "", "exp": 0}, (), subject="", paths=paths)


def _proof(
    log: CheckLog,
    redactor: Redactor,
    payload: Payload,
    policy: IssuerPolicy | None,
    check_proof: Callable[[Binding | None], object],
) -> None:
    """Record what the token is bound to, and if the request shows the proof."""
    if policy is None:
        log.unknown("proof", _NO_RULE, _SOURCES["proof"])
        return
    cnf = payload.get("cnf")
    bound = redactor.value(sorted(cnf)) if isinstance(cnf, dict) else json_type(cnf)
    setting = f"{issuer_setting(policy.accept, 'dpop', policy.accept.dpop)}, mtls = {policy.accept.mtls!r}"
    log.run(
        "proof", f"cnf names {bound}" if "cnf" in payload else "the token has no cnf",
        setting, _SOURCES["proof"], lambda: check_proof(policy.binding_of(payload)),
    )  # fmt: skip


def explain_type(
    log: CheckLog, redactor: Redactor, header: Header | None, policy: IssuerPolicy | None
) -> None:
    """Record the type; a header of None was unreadable."""
    source = "RFC 8725 3.11, RFC 9068 4"
    if header is None or policy is None:
        log.unknown("type", "the header is unreadable" if header is None else _NO_RULE, source)
        return
    setting = issuer_setting(policy.accept, "token_types", policy.accept.token_types)
    log.run(
        "type", f"typ {redactor.value(header.typ)}", setting, source,
        lambda: token_checks.check_type(header.typ, policy.types),
    )  # fmt: skip


def _times(log: CheckLog, redactor: Redactor, payload: Mapping[str, Any], now: float, skew: float) -> None:
    for name, claim in (("expiry", "exp"), ("not_before", "nbf"), ("issued_at", "iat")):
        setting = f"AcceptConfig.skew = {skew!r}"
        if claim not in payload and claim != "exp":
            log.add(name, "skipped", f"the token has no {claim}", setting, _SOURCES[name])
            continue
        # An expiry in the future leaves only the other claim to be checked.
        tested = {"exp": now + 1.0} if claim != "exp" else {}
        if claim in payload:
            tested[claim] = payload[claim]
        seen = f"{claim} {redactor.time(payload.get(claim))}, now {moment(now)}"
        check = partial(token_checks.check_times, tested, now, skew, None)
        log.run(name, seen, setting, _SOURCES[name], check)


def _lifetime(
    log: CheckLog, redactor: Redactor, payload: Mapping[str, Any], policy: IssuerPolicy | None, now: float
) -> None:
    source = _SOURCES["lifetime"]
    if policy is None:
        log.unknown("lifetime", _NO_RULE, source)
        return
    longest = policy.accept.max_lifetime
    setting = issuer_setting(policy.accept, "max_lifetime", longest)
    if longest is None:
        log.add("lifetime", "skipped", "no limit is configured", setting, source)
        return
    span = {name: payload[name] for name in ("exp", "iat") if name in payload}
    seen = f"from iat {redactor.time(span.get('iat'))} to exp {redactor.time(span.get('exp'))}"
    # With an infinite skew no time is too early or too late.
    log.run("lifetime", seen, setting, source, lambda: token_checks.check_times(span, now, math.inf, longest))


def _audience(log: CheckLog, redactor: Redactor, payload: Payload, policy: IssuerPolicy | None) -> None:
    if policy is None:
        log.unknown("audience", _NO_RULE, _SOURCES["audience"])
        return
    field = "any_audience" if policy.audiences is None else "audiences"
    setting = issuer_setting(policy.accept, field, getattr(policy.accept, field))
    aud = policy.read_audience(payload)
    log.run(
        "audience", f"{_names(policy.paths.audience)} {redactor.value(aud)}", setting, _SOURCES["audience"],
        lambda: token_checks.check_audience(aud, policy.audiences),
    )  # fmt: skip


def _required_claims(
    log: CheckLog, redactor: Redactor, payload: Payload, policy: IssuerPolicy | None
) -> None:
    source = _SOURCES["required_claims"]
    if policy is None:
        log.unknown("required_claims", _NO_RULE, source)
        return
    setting = issuer_setting(policy.accept, "required_claims", policy.accept.required_claims)
    required = policy.required_claims
    if not required:
        log.add("required_claims", "skipped", "no further claim is required", setting, source)
        return
    seen = ", ".join(f"{one.name} {redactor.value(one.read(payload))}" for one in required)
    log.run("required_claims", seen, setting, source, lambda: check_required(payload, required))


def _mapping(log: CheckLog, redactor: Redactor, record: Claims, accept: IssuerAccept) -> None:
    """Record what the mapped claims hold. It decides nothing."""
    mapped = [field.name for field in fields(ClaimsMapping) if getattr(accept.claims, field.name) is not None]
    shown = [name for name in mapped if name not in _CHECKED_ELSEWHERE]
    seen = "; ".join(f"{name} {redactor.value(_listed(getattr(record, name)))}" for name in shown)
    setting = issuer_setting(accept, "claims", accept.claims)
    log.add("claims_mapping", "passed", seen or "nothing further is mapped", setting, "RFC 9068 2.2.3")


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _names(paths: Paths) -> str:
    return " or ".join(".".join(path) for path in paths)


def _scope(log: CheckLog, redactor: Redactor, scopes: tuple[str, ...], policy: IssuerPolicy | None) -> None:
    source = _SOURCES["scope"]
    if policy is None:
        log.unknown("scope", _NO_RULE, source)
        return
    setting = issuer_setting(policy.accept, "required_scopes", policy.scopes)
    seen = f"scope {redactor.value(list(scopes))}"
    if policy.scopes:
        log.run("scope", seen, setting, source, lambda: token_checks.check_scopes(scopes, policy.scopes))
    else:
        log.add("scope", "skipped", f"no scope is required; {seen}", setting, source)


def _report_only(
    log: CheckLog,
    header: Header | None,
    payload: dict[str, Any],
    policy: IssuerPolicy,
    report_only: ReportOnlyPolicy,
) -> None:
    """Record the report-only rules; like the verifier, check them on accepted tokens only."""
    accepted = None
    if not log.refused:
        audience = token_checks.check_audience(policy.read_audience(payload), policy.audiences)
        subject = token_checks.check_subject(policy.read_subject(payload))
        accepted = verified_claims.build(dict(payload), audience, subject=subject, paths=policy.paths)
    failed = dict(report_only.failures(header, accepted)) if accepted is not None else {}
    for name in report_only.checks_by_name:
        refusal = failed.get(name)
        outcome: Outcome = "unknown" if accepted is None else "passed" if refusal is None else "failed"
        seen = "checked on accepted tokens only" if accepted is None else "the token passes"
        setting = issuer_setting(
            policy.accept, f"report_only.{name}", getattr(policy.accept.report_only, name)
        )
        log.checks.append(
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
