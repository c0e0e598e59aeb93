"""The rules of each issuer, ready to be applied, and the steps that need its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authkit_verify._jose.algorithms import Check
from authkit_verify._jose.compact import Header, Parts
from authkit_verify._jwks.issuer_keys import Found, IssuerKeys
from authkit_verify._policy import checks
from authkit_verify._policy.report_only import ReportOnlyPolicy
from authkit_verify._telemetry.counters import IssuerCounters, TokenCounters
from authkit_verify._telemetry.events import Tell, silent
from authkit_verify.config import AcceptConfig, IssuerAccept
from authkit_verify.errors import TokenError


class Rule:
    """One issuer, ready to be applied."""

    __slots__ = (
        "accept",
        "algorithms",
        "audiences",
        "keys",
        "scopes",
        "shadow",
        "signature_checks",
        "tally",
        "tell",
        "types",
    )

    def __init__(
        self, accept: IssuerAccept, config: AcceptConfig, keys: IssuerKeys, tell: Tell = silent
    ) -> None:
        self.accept = accept
        self.algorithms = frozenset(config.algorithms if accept.algorithms is None else accept.algorithms)
        self.audiences = None if accept.any_audience else frozenset(accept.audiences)
        self.signature_checks: Mapping[str, Check] = config.signature_checks
        self.keys = keys
        self.scopes = tuple(accept.required_scopes)
        self.types = checks.token_types(accept.token_types)
        self.shadow = ReportOnlyPolicy(accept.report_only) if accept.report_only is not None else None
        self.tally = TokenCounters()
        self.tell = tell

    def counters(self) -> IssuerCounters:
        """Return what was counted of the issuer's tokens and keys."""
        ended_well, failed = self.keys.fetches()
        return self.tally.snapshot(fetches=ended_well, fetch_failures=failed)


def rule_of(rules: Mapping[str, Rule], payload: Mapping[str, Any]) -> Rule:
    """Return the rule of the token's issuer, compared byte for byte. Raises TokenError."""
    issuer = payload.get("iss")
    if issuer is not None and type(issuer) is not str:
        raise TokenError("invalid_token", "the token's issuer is not a text")
    rule = rules.get(issuer) if issuer is not None else None
    if rule is None:
        raise TokenError("bad_issuer", "the token's issuer is not accepted")
    return rule


def signed_by(rule: Rule, found: Found, header: Header, parts: Parts) -> bool:
    """Tell whether one of the keys made the token's signature."""
    check = rule.signature_checks[header.alg]
    for key in found.keys:  # noqa: SIM110 - a generator would cost more than all the other bookkeeping here
        if check(key, parts.signed, parts.signature):
            return True
    return False


async def second_look(rule: Rule, header: Header, parts: Parts, found: Found) -> Found:
    """Return the newer keys that made a signature which ``found`` did not. Raises TokenError."""
    again = await rule.keys.find_again(header.kid, header.alg, found)
    if again is None or not signed_by(rule, again, header, parts):
        raise TokenError("invalid_token", "the token's signature is wrong")
    return again
