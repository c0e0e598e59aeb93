"""The documented shapes of refusals: one for all, and variants for codes whose ``metadata`` a client reads.

``errors`` writes them; these types are what the OpenAPI document says of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Every refusal. ``error`` is a stable code, and ``request_id`` is logged with the request.

    ``param`` names the member that is wrong, where there is one. What ``metadata`` holds depends on the code.
    """

    error: str
    error_description: str
    request_id: str
    param: Annotated[str | None, WithJsonSchema({"type": "string"})] = None
    metadata: Annotated[
        dict[str, object] | None, WithJsonSchema({"type": "object", "additionalProperties": True})
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactorMethod:
    """A second factor of the user; ``hint`` is the masked address or number, or the name."""

    id: str
    kind: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorChallenge:
    """The pending login: ``POST .../2fa/verify`` takes its ``user_id`` and ``challenge`` with a code."""

    user_id: str
    challenge: str
    method: Annotated[str, Field(description="email, sms, totp or passkey")]
    destination: Annotated[str, Field(description="Where the code went, masked; empty if none is sent")]
    code_sent: Annotated[
        bool,
        Field(description="False if no new code was sent; the one before still works, or a backup code"),
    ]
    factor_id: Annotated[str | None, Field(description="The second factor that is asked for")]
    methods: Annotated[
        list[SecondFactorMethod],
        Field(description="The second factors to choose from, for `POST .../2fa/challenge`"),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorRequiredRefusal:
    """The password was right, and the second factor is still required."""

    error: Literal["two_factor_required"]
    error_description: str
    request_id: str
    metadata: TwoFactorChallenge


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpOptions:
    """How the user can reauthenticate: ``2fa``, ``password``, ``code``, ``solana`` or ``oidc:<provider>``."""

    methods: list[str]
    max_age_seconds: Annotated[int, Field(description="The greatest age of an authentication")]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpRequiredRefusal:
    """The operation requires a recent authentication (RFC 9470)."""

    error: Literal["step_up_required"]
    error_description: str
    request_id: str
    metadata: StepUpOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantReason:
    """Why the refresh token is not valid, by the code of any other operation."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidGrantRefusal:
    """The refresh token is not valid (RFC 6749 section 5.2)."""

    error: Literal["invalid_grant"]
    error_description: str
    request_id: str
    metadata: GrantReason


# By status as well: the refusals of a reauthentication are 403, and have no challenge to meet.
VARIANTS: Mapping[tuple[int, str], type[object]] = {
    (401, "two_factor_required"): TwoFactorRequiredRefusal,
    (403, "step_up_required"): StepUpRequiredRefusal,
    (400, "invalid_grant"): InvalidGrantRefusal,
}
SHAPES: Sequence[type[object]] = (Refusal, *VARIANTS.values())
