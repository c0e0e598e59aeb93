"""Another email address or phone number for the caller: in force once a code from there comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.errors import AuthError
from authkit_issuer.http.errors import StepUpRequired
from authkit_issuer.http.operations import (
    AnyOperation,
    Auth,
    Body,
    Call,
    Limit,
    Method,
    NoBody,
    NoParams,
    Operation,
    Plain,
    Text,
    with_mail,
    with_texts,
)
from authkit_issuer.http.reauth import require_password_or_recent_auth
from authkit_issuer.http.responses import Done, MessageResponse

if TYPE_CHECKING:
    from authkit_issuer.service import Service

Password = Annotated[
    str | None, Field(repr=False, description="Not needed where who is calling was proved lately")
]
Code = Annotated[Text, Field(repr=False)]

_SENT = "A code is on its way to the new address."
_TEXTED = "A code is on its way to the new number."


class EmailChange(Body):
    """The new address."""

    new_email: Text
    password: Password = None


class PhoneChange(Body):
    """The new number, in E.164 form."""

    phone_number: Text
    password: Password = None


class EmailChangeCode(Body):
    """The code that went to the new address."""

    code: Code


class PhoneChangeCode(Body):
    """The code that went to the new number."""

    phone_number: Text
    code: Code


class PendingPhone(Body):
    """The number that waits for its proof."""

    phone_number: Text


async def request_email(call: Call[EmailChange, NoParams]) -> MessageResponse:
    """Send a code to the new address."""
    await require_password_or_recent_auth(call, call.body.password)
    changes = call.service.contact_changes
    await changes.request_email(call.account.id, call.body.new_email, client=call.client)
    return MessageResponse(message=_SENT)


async def confirm_email(call: Call[EmailChangeCode, NoParams]) -> MessageResponse:
    """Put the new address in force."""
    account = call.account
    await call.service.contact_changes.confirm_email(
        account.id, call.body.code, keep_session_id=account.session_id, client=call.client
    )
    return MessageResponse(message="The new email address is in force.")


async def resend_email(call: Plain) -> MessageResponse:
    """Send a new code to the new address."""
    await call.service.contact_changes.resend_email(call.account.id, client=call.client)
    return MessageResponse(message=_SENT)


async def cancel_email(call: Plain) -> Done:
    """Drop the new address."""
    await call.service.contact_changes.cancel_email(call.account.id)
    return Done()


async def request_phone(call: Call[PhoneChange, NoParams]) -> MessageResponse:
    """Send a code to the new number."""
    await require_password_or_recent_auth(call, call.body.password)
    changes = call.service.contact_changes
    await changes.request_phone(call.account.id, call.body.phone_number, client=call.client)
    return MessageResponse(message=_TEXTED)


async def confirm_phone(call: Call[PhoneChangeCode, NoParams]) -> MessageResponse:
    """Put the new number in force."""
    account, body = call.account, call.body
    await call.service.contact_changes.confirm_phone(
        account.id, body.phone_number, body.code, keep_session_id=account.session_id, client=call.client
    )
    return MessageResponse(message="The new phone number is in force.")


async def resend_phone(call: Call[PendingPhone, NoParams]) -> MessageResponse:
    """Send a new code to the new number."""
    changes = call.service.contact_changes
    await changes.resend_phone(call.account.id, call.body.phone_number, client=call.client)
    return MessageResponse(message=_TEXTED)


async def cancel_phone(call: Plain) -> Done:
    """Drop the new number."""
    await call.service.contact_changes.cancel_phone(call.account.id)
    return Done()


_STORE = (errors.EphemeralStoreUnavailable,)
_SENDING = (errors.TooManyRequests, *_STORE)
_PROVING = (StepUpRequired, errors.InvalidCredentials, errors.ServerBusy)
_BY_MAIL = (errors.EmailUnavailable, errors.EmailDeliveryFailed)
_BY_PHONE = (errors.SmsUnavailable, errors.SmsDeliveryFailed)


def _step(
    path: str,
    summary: str,
    handler: Any,
    bucket: str,
    refusals: tuple[type[AuthError], ...],
    *,
    body: type[Body] = NoBody,
    method: Method = "POST",
    closed: bool = False,
    offered: Callable[[Service], bool] | None = None,
    status: int = 200,
) -> AnyOperation:
    return Operation(
        method=method,
        path=path,
        summary=summary,
        tag="account",
        handler=handler,
        body=body,
        returns=Done if handler in {cancel_email, cancel_phone} else MessageResponse,
        auth=Auth.USER,
        limit=Limit(bucket=bucket, by_user=True, closed=closed),
        offered=offered,
        status=status,
        errors=refusals,
    )


OPERATIONS: tuple[AnyOperation, ...] = (
    _step(
        "/auth/user/email/change/request",
        "Ask for another email address",
        request_email,
        "auth_user_email_change_request",
        (errors.InvalidEmail, errors.EmailUnchanged, errors.EmailInUse, *_BY_MAIL, *_PROVING, *_SENDING),
        body=EmailChange,
        closed=True,
        offered=with_mail,
        status=202,
    ),
    _step(
        "/auth/user/email/change/confirm",
        "Put the new email address in force",
        confirm_email,
        "auth_user_email_change_confirm",
        (errors.InvalidOrExpiredCode, errors.EmailInUse, *_STORE),
        body=EmailChangeCode,
        closed=True,
    ),
    _step(
        "/auth/user/email/change/resend",
        "Send a new code to the new email address",
        resend_email,
        "auth_user_email_change_resend",
        (errors.NoPendingEmailChange, *_BY_MAIL, *_SENDING),
        closed=True,
        offered=with_mail,
        status=202,
    ),
    _step(
        "/auth/user/email/change",
        "Drop the change of the email address",
        cancel_email,
        "auth_user_change_cancel",
        _STORE,
        method="DELETE",
    ),
    _step(
        "/auth/user/phone/change/request",
        "Ask for another phone number",
        request_phone,
        "auth_user_phone_change_request",
        (
            errors.InvalidPhoneNumber,
            errors.PhoneUnchanged,
            errors.PhoneInUse,
            *_BY_PHONE,
            *_PROVING,
            *_SENDING,
        ),
        body=PhoneChange,
        closed=True,
        offered=with_texts,
        status=202,
    ),
    _step(
        "/auth/user/phone/change/confirm",
        "Put the new phone number in force",
        confirm_phone,
        "auth_user_phone_change_confirm",
        (errors.InvalidOrExpiredCode, errors.PhoneInUse, *_STORE),
        body=PhoneChangeCode,
        closed=True,
    ),
    _step(
        "/auth/user/phone/change/resend",
        "Send a new code to the new phone number",
        resend_phone,
        "auth_user_phone_change_resend",
        (errors.NoPendingPhoneChange, *_BY_PHONE, *_SENDING),
        body=PendingPhone,
        closed=True,
        offered=with_texts,
        status=202,
    ),
    _step(
        "/auth/user/phone/change",
        "Drop the change of the phone number",
        cancel_phone,
        "auth_user_change_cancel",
        _STORE,
        method="DELETE",
    ),
)
