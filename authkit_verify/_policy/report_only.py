"""Report-only rules: checked on every accepted token, and they refuse none (``StricterRules``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from authkit_verify._jose.compact import Header
from authkit_verify._policy import token_checks
from authkit_verify._policy.required_claims import RequiredClaim, check_required, required_claims
from authkit_verify._policy.verified_claims import Claims
from authkit_verify.config import StricterRules
from authkit_verify.errors import TokenError

ReportOnlyCheck = Callable[[Header | None, Claims], object]


class ReportOnlyPolicy:
    """The report-only rules of one issuer, each with the check that would enforce it."""

    __slots__ = ("checks_by_name",)

    def __init__(self, rules: StricterRules) -> None:
        checks_by_name: dict[str, ReportOnlyCheck] = {}
        if rules.algorithms is not None:
            checks_by_name["algorithms"] = partial(_algorithm, frozenset(rules.algorithms))
        if rules.token_types is not None:
            checks_by_name["token_types"] = partial(_type, token_checks.token_types(rules.token_types))
        if rules.max_lifetime is not None:
            checks_by_name["max_lifetime"] = partial(_lifetime, rules.max_lifetime)
        if rules.audiences is not None:
            checks_by_name["audiences"] = partial(_audience, frozenset(rules.audiences))
        if rules.required_scopes is not None:
            checks_by_name["required_scopes"] = partial(_scopes, tuple(rules.required_scopes))
        if rules.required_claims is not None:
            checks_by_name["required_claims"] = partial(_required, required_claims(rules.required_claims))
        self.checks_by_name = checks_by_name
        """By the name of the field in ``StricterRules``; each raises TokenError or returns."""

    def failures(self, header: Header | None, accepted: Claims) -> list[tuple[str, TokenError]]:
        """Return the name and refusal of each rule that would have refused this token.

        ``header`` is None for an opaque token: it passes the rules about headers.
        """
        failed: list[tuple[str, TokenError]] = []
        for name, check in self.checks_by_name.items():
            try:
                check(header, accepted)
            except TokenError as error:
                failed.append((name, error))
        return failed


def _algorithm(accepted: frozenset[str], header: Header | None, _claims: Claims) -> None:
    if header is not None:
        token_checks.check_algorithm(header.alg, accepted)


def _type(accepted: frozenset[str], header: Header | None, _claims: Claims) -> None:
    if header is not None:
        token_checks.check_type(header.typ, accepted)


def _lifetime(longest: float, _header: Header | None, claims: Claims) -> None:
    token_checks.check_lifetime(claims.raw, longest)


def _audience(accepted: frozenset[str], _header: Header | None, claims: Claims) -> None:
    token_checks.check_audience(list(claims.audience), accepted)


def _scopes(required: tuple[str, ...], _header: Header | None, claims: Claims) -> None:
    token_checks.check_scopes(claims.scopes, required)


def _required(required: tuple[RequiredClaim, ...], _header: Header | None, claims: Claims) -> None:
    check_required(claims.to_dict(), required)
