"""The claims that a token needs besides the standard ones, each with the values it may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from authkit_verify._policy.claim_paths import Payload, reader
from authkit_verify.config.claims_mapping import claim_path
from authkit_verify.config.required_values import RequiredValues
from authkit_verify.errors import TokenError

_SCALARS = frozenset({str, int, bool})


class RequiredClaim(msgspec.Struct, frozen=True):
    """One claim that a token needs."""

    name: str
    read: Callable[[Payload], Any]
    values: frozenset[tuple[type, object]] | None
    """The accepted values, each with its type, because True equals 1; None accepts any value but null."""

    def check(self, payload: Payload) -> None:
        """Refuse a token without the claim, or with another value of it."""
        value = self.read(payload)
        if value is None:
            raise TokenError("bad_claim", f"the token has no {self.name}, which required_claims asks for")
        if self.values is None:
            return
        kind = type(value)
        if kind not in _SCALARS or (kind, value) not in self.values:
            raise TokenError("bad_claim", f"the token's {self.name} is not one that required_claims accepts")


def required_claims(required: Mapping[str, RequiredValues]) -> tuple[RequiredClaim, ...]:
    """Return the checks of the claims that a configuration requires, in its order."""
    return tuple(
        RequiredClaim(name, reader(claim_path(name)), _typed(values)) for name, values in required.items()
    )


def check_required(payload: Payload, required: tuple[RequiredClaim, ...]) -> None:
    """Refuse a token that lacks one of these claims, or has another value of it."""
    for one in required:
        one.check(payload)


def _typed(values: Any) -> frozenset[tuple[type, object]] | None:
    return None if values is ... else frozenset((type(value), value) for value in values)
