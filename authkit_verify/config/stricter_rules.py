"""Rules that are only reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from authkit_verify.config.required_values import RequiredValues, checked_values
from authkit_verify.config.values import check_algorithms, check_seconds, words_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StricterRules:
    """Report-only rules: an accepted token that fails one is counted and reported, and stays accepted.

    Each field has the meaning of the field with the same name in ``IssuerAccept``. Default None: the rule is
    not checked.
    """

    algorithms: Sequence[str] | None = None
    """The algorithms that would be accepted."""
    token_types: Sequence[str] | None = None
    """The ``typ`` values that would be accepted."""
    audiences: Sequence[str] | None = None
    """The audiences of which a token would need one."""
    required_scopes: Sequence[str] | None = None
    """The scopes that a token would need, every one."""
    max_lifetime: float | None = None
    """The longest ``exp - iat`` that would be accepted (seconds)."""
    required_claims: Mapping[str, RequiredValues] | None = field(default=None, hash=False)
    """The claims that a token would need, each with the values that it may have."""

    def __post_init__(self) -> None:
        """Normalize lists to tuples, then check."""
        for name in ("algorithms", "token_types", "audiences", "required_scopes"):
            value = getattr(self, name)
            if value is None:
                continue
            words = words_of(name, value)
            if not words:
                raise ValueError(f"StricterRules.{name} is empty: leave it out to check nothing")
            object.__setattr__(self, name, words)
        if self.algorithms is not None:
            check_algorithms(self.algorithms)
        if self.max_lifetime is not None:
            check_seconds("max_lifetime", self.max_lifetime)
        if self.required_claims is not None:
            object.__setattr__(self, "required_claims", checked_values(self.required_claims))
            if not self.required_claims:
                raise ValueError("StricterRules.required_claims is empty: leave it out to check nothing")
