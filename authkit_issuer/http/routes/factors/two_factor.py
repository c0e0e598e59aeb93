"""The second factor: switching it on and off, and the second half of a sign-in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.base.devices import RememberedDevice
from authkit_issuer.domains.factors.second_factors import SecondFactor, SecondFactorList
from authkit_issuer.domains.factors.service import TwoFactor
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Plain,
    Text,
    with_mail,
    with_second_factors,
    with_texts,
)
from authkit_issuer.http.response_models import OkResponse, SuccessResponse, TokenResponse
from authkit_issuer.http.route_groups import Routes
from authkit_issuer.ports import Client

Code = Annotated[Text, Field(repr=False)]


EndOthers = Annotated[
    bool | None, Field(description="End the other sessions; factor_change_ends_sessions decides if null")
]


class TwoFactorPhone(Body):
    """The number that codes are to go to, in E.164 form."""

    phone: Text


class TwoFactorEnable(Body):
    """The method, and the code that proved where it sends to."""

    method: Annotated[Text, Field(description="email or sms")]
    phone_number: Annotated[Text | None, Field(description="Only for sms")] = None
    code: Code
    end_other_sessions: EndOthers = None


class TwoFactorDisable(Body):
    """Whether the other sessions end."""

    end_other_sessions: EndOthers = None


class TwoFactorLogin(Body):
    """The answer to the challenge of a sign-in."""

    user_id: Text
    challenge: Annotated[Text, Field(repr=False)]
    code: Code
    backup_code: Annotated[bool, Field(description="The code is a backup code")] = False
    remember_device: Annotated[
        bool, Field(description="Ask for no second factor here for a while, where this service allows that")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorStatus:
    """The second factors, and how many backup codes are left. ``method`` is the kind of the default one."""

    enabled: bool
    method: str
    phone_number: str | None = None
    backup_codes_left: int = 0
    frozen: Literal[True] | None = None
    """Second factors from before the first proof of a contact await their confirmation."""
    required: bool = False
    """The policy of this service requires one of every user."""
    factors: list[SecondFactor] = field(default_factory=list[SecondFactor])
    devices: list[RememberedDevice] = field(default_factory=list[RememberedDevice])
    """The devices that remember the second factor, the last used first."""

    @classmethod
    def of(cls, found: SecondFactorList) -> TwoFactorStatus:
        """Return the factors as the user may see them."""
        return cls(
            enabled=found.enabled,
            method=found.method,
            phone_number=found.phone_number,
            backup_codes_left=found.backup_codes_left,
            frozen=True if found.frozen else None,
            required=found.required,
            factors=found.factors,
            devices=found.devices,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoFactorEnabled:
    """It is on. The backup codes are shown this once."""

    enabled: Literal[True] = True
    method: str
    backup_codes: list[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackupCodes:
    """Fresh backup codes, shown this once; the ones before are worth nothing."""

    backup_codes: list[str] = field(repr=False)


routes = Routes(tag="second factor", auth=Auth.USER)


@routes.get("/auth/user/2fa", "Your second factors", limit=Limit(bucket="auth_user_me"), omit_none=True)
async def get_two_factor(call: Plain) -> TwoFactorStatus:
    """Tell what is switched on."""
    return TwoFactorStatus.of(await call.service.second_factors.list_for_user(call.account.id))


@routes.post(
    "/auth/user/2fa/start-phone",
    "Send a code to the phone that is to be the second factor",
    offered=with_texts,
    enrolls=True,
    limit=Limit(bucket="auth_2fa_start_phone", by_user=True, closed=True),
    calls=(TwoFactor.send_phone_setup_code,),
)
async def start_two_factor_phone(call: Call[TwoFactorPhone, NoParams]) -> OkResponse:
    """Send a code that proves a number."""
    factor, phone = call.service.two_factor, call.body.phone
    await factor.send_phone_setup_code(call.account.id, phone, client=call.client)
    return OkResponse()


@routes.post(
    "/auth/user/2fa/start-email",
    "Send a code to your email address, which is to be the second factor",
    offered=with_mail,
    enrolls=True,
    limit=Limit(bucket="auth_2fa_start_email", by_user=True, closed=True),
    calls=(TwoFactor.send_email_setup_code,),
)
async def start_two_factor_email(call: Plain) -> OkResponse:
    """Send a code that proves the caller's email address."""
    await call.service.two_factor.send_email_setup_code(call.account.id, client=call.client)
    return OkResponse()


@routes.post(
    "/auth/user/2fa/enable",
    "Switch the second factor on, with the code that was sent",
    fresh=True,
    offered=with_second_factors,
    enrolls=True,
    limit=Limit(bucket="auth_2fa_enable", by_user=True, closed=True),
    calls=(TwoFactor.enable,),
)
async def enable_two_factor(call: Call[TwoFactorEnable, NoParams]) -> TwoFactorEnabled:
    """Switch the second factor on, or to another method."""
    body = call.body
    codes = await call.service.two_factor.enable(
        call.account.id, body.method, body.phone_number, code=body.code, **others_of(call)
    )
    return TwoFactorEnabled(method=body.method.lower(), backup_codes=codes)


@routes.post(
    "/auth/user/2fa/disable",
    "Switch the second factor off",
    fresh=True,
    limit=Limit(bucket="auth_2fa_disable", by_user=True, closed=True),
)
async def disable_two_factor(call: Call[TwoFactorDisable, NoParams]) -> SuccessResponse:
    """Switch the second factor off."""
    await call.service.two_factor.disable(call.account.id, **others_of(call))
    return SuccessResponse()


@routes.post(
    "/auth/user/2fa/confirm",
    "Confirm a frozen second factor, which sign-ins require again",
    fresh=True,
    limit=Limit(bucket="auth_2fa_enable", by_user=True, closed=True),
    errors=(errors.TwoFactorNotEnabled,),
)
async def confirm_two_factor(call: Plain) -> SuccessResponse:
    """Confirm the caller's frozen second factor."""
    account, factor = call.account, call.service.two_factor
    if not await factor.confirm(account.id, session_id=account.session_id, client=call.client):
        raise errors.TwoFactorNotEnabled
    return SuccessResponse()


@routes.post(
    "/auth/user/2fa/regenerate-codes",
    "Replace your backup codes",
    fresh=True,
    limit=Limit(bucket="auth_2fa_regenerate_codes", by_user=True, closed=True),
    calls=(TwoFactor.regenerate_backup_codes,),
)
async def regenerate_backup_codes(call: Plain) -> NewBackupCodes:
    """Replace the backup codes."""
    account, factor = call.account, call.service.two_factor
    codes = await factor.regenerate_backup_codes(
        account.id, session_id=account.session_id, client=call.client
    )
    return NewBackupCodes(backup_codes=codes)


@routes.post(
    "/auth/2fa/verify",
    "Finish a sign-in that waits for its second factor",
    tag="login",
    auth=Auth.PUBLIC,
    # Per challenge, not per user: knowing a user's id must not be enough to use up their tries.
    limit=Limit(bucket="auth_2fa_verify", closed=True, account=lambda body: body.challenge, gives_back=True),
    calls=(Logins.complete_two_factor,),
    omit_none=True,
)
async def complete_two_factor_login(call: Call[TwoFactorLogin, NoParams]) -> TokenResponse:
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
    return TokenResponse.of(call.cookies.signed_in(pair))


class Others(TypedDict):
    """The session that asks, and whether the others end."""

    keep_session_id: str
    end_other_sessions: bool | None
    client: Client


def others_of(call: Call[Any, NoParams]) -> Others:
    """Return the session that asks, and whether the others end."""
    return {
        "keep_session_id": call.account.session_id,
        "end_other_sessions": call.body.end_other_sessions,
        "client": call.client,
    }
