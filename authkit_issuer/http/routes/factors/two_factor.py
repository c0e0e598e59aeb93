"""The second factor: switching it on and off, and the second half of a sign-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.errors import AuthError
from authkit_issuer.http.operations import (
    AnyOperation,
    Auth,
    Body,
    Call,
    Limit,
    NoBody,
    NoParams,
    Operation,
    Plain,
    Text,
    with_mail,
    with_texts,
)
from authkit_issuer.http.responses import Done, SuccessResponse, Tokens

if TYPE_CHECKING:
    from authkit_issuer.domains.factors.service import TwoFactorSettings
    from authkit_issuer.service import Service

Code = Annotated[Text, Field(repr=False)]


class StartPhone(Body):
    """The number that codes are to go to, in E.164 form."""

    phone: Text


class Enable(Body):
    """The method, and the code that proved where it sends to."""

    method: Annotated[Text, Field(description="email or sms")]
    phone_number: Annotated[Text | None, Field(description="Only for sms")] = None
    code: Code


class SecondFactor(Body):
    """The answer to the challenge of a sign-in."""

    user_id: Text
    challenge: Annotated[Text, Field(repr=False)]
    code: Code
    backup_code: Annotated[bool, Field(description="The code is a backup code")] = False
    remember_device: Annotated[
        bool, Field(description="Ask for no second factor here for a while, where this service allows that")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is switched on, and how many backup codes are left."""

    enabled: bool
    method: str
    phone_number: str | None = None
    backup_codes_left: int = 0

    @classmethod
    def of(cls, found: TwoFactorSettings | None) -> Settings:
        """Return what a user is told of the settings."""
        if found is None or not found.enabled:
            return cls(enabled=False, method="email")
        return cls(
            enabled=True,
            method=found.method,
            phone_number=found.phone_number,
            backup_codes_left=len(found.backup_codes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enabled:
    """It is on. The backup codes are shown this once."""

    enabled: Literal[True] = True
    method: str
    backup_codes: list[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupCodes:
    """Fresh backup codes, shown this once; the ones before are worth nothing."""

    backup_codes: list[str] = field(repr=False)


async def settings(call: Plain) -> Settings:
    """Tell what is switched on."""
    return Settings.of(await call.service.two_factor.get_settings(call.account.id))


async def start_phone(call: Call[StartPhone, NoParams]) -> Done:
    """Send a code that proves a number."""
    factor, phone = call.service.two_factor, call.body.phone
    await factor.send_phone_setup_code(call.account.id, phone, client=call.client)
    return Done()


async def start_email(call: Plain) -> Done:
    """Send a code that proves the caller's email address."""
    await call.service.two_factor.send_email_setup_code(call.account.id, client=call.client)
    return Done()


async def enable(call: Call[Enable, NoParams]) -> Enabled:
    """Switch the second factor on, or to another method."""
    body = call.body
    codes = await call.service.two_factor.enable(
        call.account.id, body.method, body.phone_number, code=body.code, client=call.client
    )
    return Enabled(method=body.method.lower(), backup_codes=codes)


async def disable(call: Plain) -> SuccessResponse:
    """Switch the second factor off."""
    await call.service.two_factor.disable(call.account.id, client=call.client)
    return SuccessResponse()


async def regenerate(call: Plain) -> BackupCodes:
    """Replace the backup codes."""
    factor = call.service.two_factor
    return BackupCodes(backup_codes=await factor.regenerate_backup_codes(call.account.id, client=call.client))


async def verify(call: Call[SecondFactor, NoParams]) -> Tokens:
    """Finish a sign-in that waits for its second factor."""
    body = call.body
    pair = await call.service.logins.complete_two_factor(
        body.user_id,
        body.challenge,
        body.code,
        is_backup=body.backup_code,
        remember_device=body.remember_device,
        client=call.client,
    )
    return Tokens.of(call.signed_in(pair))


def _set_up(
    path: str,
    summary: str,
    handler: Any,
    returns: type[Any],
    *,
    bucket: str,
    refusals: tuple[type[AuthError], ...],
    body: type[Body] = NoBody,
    offered: Callable[[Service], bool] | None = None,
    fresh: bool = False,
) -> AnyOperation:
    return Operation(
        method="POST",
        path=path,
        summary=summary,
        tag="second factor",
        handler=handler,
        body=body,
        returns=returns,
        auth=Auth.USER,
        limit=Limit(bucket=bucket, by_user=True, closed=True),
        offered=offered,
        fresh=fresh,
        errors=refusals,
    )


_STORE = (errors.EphemeralStoreUnavailable,)

OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/auth/user/2fa",
        summary="Your second factor",
        tag="second factor",
        handler=settings,
        returns=Settings,
        auth=Auth.USER,
        limit=Limit(bucket="auth_user_me"),
        omit_none=True,
    ),
    _set_up(
        "/auth/user/2fa/start-phone",
        "Send a code to the phone that is to be the second factor",
        start_phone,
        Done,
        bucket="auth_2fa_start_phone",
        refusals=(
            errors.InvalidPhoneNumber,
            errors.SmsUnavailable,
            errors.SmsDeliveryFailed,
            errors.TooManyRequests,
            *_STORE,
        ),
        body=StartPhone,
        offered=with_texts,
    ),
    _set_up(
        "/auth/user/2fa/start-email",
        "Send a code to your email address, which is to be the second factor",
        start_email,
        Done,
        bucket="auth_2fa_start_email",
        refusals=(
            errors.EmailNotVerified,
            errors.EmailUnavailable,
            errors.EmailDeliveryFailed,
            errors.TooManyRequests,
            *_STORE,
        ),
        offered=with_mail,
    ),
    _set_up(
        "/auth/user/2fa/enable",
        "Switch the second factor on, with the code that was sent",
        enable,
        Enabled,
        bucket="auth_2fa_enable",
        refusals=(
            errors.TwoFactorMethodInvalid,
            errors.TwoFactorMethodUnavailable,
            errors.InvalidPhoneNumber,
            errors.EmailNotVerified,
            errors.InvalidOrExpiredCode,
            *_STORE,
        ),
        body=Enable,
        fresh=True,
    ),
    _set_up(
        "/auth/user/2fa/disable",
        "Switch the second factor off",
        disable,
        SuccessResponse,
        bucket="auth_2fa_disable",
        refusals=(),
        fresh=True,
    ),
    _set_up(
        "/auth/user/2fa/regenerate-codes",
        "Replace your backup codes",
        regenerate,
        BackupCodes,
        bucket="auth_2fa_regenerate_codes",
        refusals=(errors.TwoFactorNotEnabled,),
        fresh=True,
    ),
    Operation(
        method="POST",
        path="/auth/2fa/verify",
        summary="Finish a sign-in that waits for its second factor",
        tag="login",
        handler=verify,
        body=SecondFactor,
        returns=Tokens,
        auth=Auth.PUBLIC,
        # Per challenge, not per user: who knows somebody's id must not be able to use up their tries.
        limit=Limit(bucket="auth_2fa_verify", closed=True, account=lambda body: body.challenge),
        errors=(
            errors.InvalidChallenge,
            errors.InvalidOrExpiredCode,
            errors.UserBanned,
            errors.MissingSigner,
            errors.EntitlementsUnavailable,
            errors.DatabaseUnavailable,
            errors.EphemeralStoreUnavailable,
        ),
    ),
)
