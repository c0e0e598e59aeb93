"""Stepping up: whoever is signed in proves again who they are, and gets an access token that says when.

The refresh token stays as it is: the session remembers the proof, so later access tokens say it too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.http.operations import (
    AnyOperation,
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Operation,
    Text,
    with_wallets,
)
from authkit_issuer.http.responses import AccessTokenResponse
from authkit_issuer.http.solana_models import WalletAnswer

if TYPE_CHECKING:
    from authkit_issuer.domains.sessions.service import AuthenticatedSession
    from authkit_issuer.ports import Client
    from authkit_issuer.service import Service


class PasswordAgain(Body):
    """The caller's password."""

    password: Annotated[str, Field(repr=False)]


class CodeAgain(Body):
    """The code that was sent, or a backup code; without one a code is sent."""

    code: Annotated[Text | None, Field(repr=False)] = None
    backup_code: Annotated[bool, Field(description="The code is a backup code")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SteppedUp:
    """A new access token; or, after a request without a code, where the code went, masked."""

    access_token: str | None = field(default=None, repr=False)
    token_type: Literal["Bearer"] | None = None
    expires_in: int | None = None
    destination: str | None = None


async def with_password(call: Call[PasswordAgain, NoParams]) -> AccessTokenResponse:
    """Prove the password again."""
    account = call.account
    stepped = await call.service.logins.step_up_password(
        account.id, account.session_id, call.body.password, client=call.client
    )
    return AccessTokenResponse.of(call.service, stepped)


async def with_code(call: Call[CodeAgain, NoParams]) -> SteppedUp:
    """Send a code, or take it."""
    return await _with_code(call.service, call.account, call.body, call.client)


async def with_wallet(call: Call[WalletAnswer, NoParams]) -> AccessTokenResponse:
    """Prove the linked wallet again."""
    account, output = call.account, call.body.signed()
    solana = call.service.solana
    stepped = await solana.step_up(account.id, account.session_id, output, client=call.client)
    return AccessTokenResponse.of(call.service, stepped)


async def _with_code(
    service: Service, account: AuthenticatedSession, body: CodeAgain, client: Client
) -> SteppedUp:
    who = (account.id, account.session_id)
    if body.code is None:
        return SteppedUp(destination=await service.logins.step_up_send_code(*who, client=client))
    stepped = await service.logins.step_up_two_factor(
        *who, body.code, is_backup=body.backup_code, client=client
    )
    return SteppedUp(**asdict(AccessTokenResponse.of(service, stepped)))


_TRYING = Limit(bucket="auth_step_up", by_user=True, closed=True)
_COMMON = (
    errors.TooManyRequests,
    errors.MissingSigner,
    errors.EntitlementsUnavailable,
    errors.EphemeralStoreUnavailable,
)

OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="POST",
        path="/auth/step-up/password",
        summary="Prove your password again",
        tag="step-up",
        handler=with_password,
        body=PasswordAgain,
        returns=AccessTokenResponse,
        auth=Auth.USER,
        limit=_TRYING,
        errors=(errors.InvalidCredentials, errors.TwoFactorRequired, errors.ServerBusy, *_COMMON),
    ),
    Operation(
        method="POST",
        path="/auth/step-up/2fa",
        summary="Prove your second factor again; without a code one is sent",
        tag="step-up",
        handler=with_code,
        body=CodeAgain,
        returns=SteppedUp,
        auth=Auth.USER,
        limit=_TRYING,
        omit_none=True,
        errors=(
            errors.InvalidOrExpiredCode,
            errors.TwoFactorNotEnabled,
            errors.TwoFactorMethodUnavailable,
            errors.EmailUnavailable,
            errors.SmsUnavailable,
            errors.EmailDeliveryFailed,
            errors.SmsDeliveryFailed,
            *_COMMON,
        ),
    ),
    Operation(
        method="POST",
        path="/auth/step-up/solana",
        summary="Prove your wallet again",
        tag="step-up",
        handler=with_wallet,
        body=WalletAnswer,
        returns=AccessTokenResponse,
        auth=Auth.USER,
        limit=_TRYING,
        offered=with_wallets,
        errors=(
            errors.SiwsMessageInvalid,
            errors.SiwsDomainInvalid,
            errors.SiwsAddressMismatch,
            errors.InvalidAddress,
            errors.SiwsChallengeNotFound,
            errors.SiwsChallengeExpired,
            errors.SiwsChallengeMismatch,
            errors.SiwsTimestampInvalid,
            errors.SiwsSignatureInvalid,
            errors.TwoFactorRequired,
            *_COMMON,
        ),
    ),
)
