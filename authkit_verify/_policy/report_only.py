"""Stricter rules on trial: they are checked on every accepted token and refuse none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from authkit_verify._jose.compact import Header
from authkit_verify._policy import checks
from authkit_verify._policy.claims import Claims
from authkit_verify.config import StricterRules
from authkit_verify.errors import TokenError

Trial = Callable[[Header, Claims], object]


class ReportOnlyPolicy:
    """The rules of one issuer that are on trial, each with the check that will enforce it one day."""

    __slots__ = ("trials",)

    def __init__(self, rules: StricterRules) -> None:
        trials: dict[str, Trial] = {}
        if rules.algorithms is not None:
            trials["algorithms"] = partial(_algorithm, frozenset(rules.algorithms))
        if rules.token_types is not None:
            trials["token_types"] = partial(_type, checks.token_types(rules.token_types))
        if rules.max_lifetime is not None:
            trials["max_lifetime"] = partial(_lifetime, rules.max_lifetime)
        if rules.audiences is not None:
            trials["audiences"] = partial(_audience, frozenset(rules.audiences))
        if rules.required_scopes is not None:
            trials["required_scopes"] = partial(_scopes, tuple(rules.required_scopes))
        self.trials = trials
        """By the name of the rule; each raises TokenError or returns."""

    def failures(self, header: Header, accepted: Claims) -> list[tuple[str, TokenError]]:
        """Return the rules that would have refused this token, with their refusals."""
        failed: list[tuple[str, TokenError]] = []
        for name, trial in self.trials.items():
            try:
                trial(header, accepted)
            except TokenError as error:
                failed.append((name, error))
        return failed


def _algorithm(accepted: frozenset[str], header: Header, _claims: Claims) -> None:
    checks.check_algorithm(header.alg, accepted)


def _type(accepted: frozenset[str], header: Header, _claims: Claims) -> None:
    checks.check_type(header.typ, accepted)


def _lifetime(longest: float, _header: Header, claims: Claims) -> None:
    checks.check_lifetime(claims.raw, longest)


def _audience(accepted: frozenset[str], _header: Header, claims: Claims) -> None:
    checks.check_audience(list(claims.audience), accepted)


def _scopes(required: tuple[str, ...], _header: Header, claims: Claims) -> None:
    checks.check_scopes(claims.scopes, required)
