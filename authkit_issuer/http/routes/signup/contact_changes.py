"""Another email address or phone number for the caller: in force once a code from there comes back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.signup.contact_changes import ContactChanges
from authkit_issuer.http.errors import StepUpRequired
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Plain,
    Text,
    with_mail,
    with_texts,
)
from authkit_issuer.http.recent_auth import require_password_or_recent_auth
from authkit_issuer.http.response_models import MessageResponse, OkResponse
from authkit_issuer.http.route_groups import Routes

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


routes = Routes(tag="account", auth=Auth.USER)


@routes.post(
    "/auth/user/email/change/request",
    "Ask for another email address",
    offered=with_mail,
    limit=Limit(bucket="auth_user_email_change_request", by_user=True, closed=True),
    status=202,
    calls=(ContactChanges.request_email, Passwords.verify),
    errors=(StepUpRequired, errors.InvalidCredentials),
)
async def request_email_change(call: Call[EmailChange, NoParams]) -> MessageResponse:
    """Send a code to the new address."""
    await require_password_or_recent_auth(call, call.body.password)
    changes = call.service.contact_changes
    await changes.request_email(call.account.id, call.body.new_email, client=call.client)
    return MessageResponse(message=_SENT)


@routes.post(
    "/auth/user/email/change/confirm",
    "Put the new email address in force",
    limit=Limit(bucket="auth_user_email_change_confirm", by_user=True, closed=True, gives_back=True),
    calls=(ContactChanges.confirm_email,),
)
async def confirm_email_change(call: Call[EmailChangeCode, NoParams]) -> MessageResponse:
    """Put the new address in force."""
    account = call.account
    await call.service.contact_changes.confirm_email(
        account.id, call.body.code, keep_session_id=account.session_id, client=call.client
    )
    return MessageResponse(message="The new email address is in force.")


@routes.post(
    "/auth/user/email/change/resend",
    "Send a new code to the new email address",
    offered=with_mail,
    limit=Limit(bucket="auth_user_email_change_resend", by_user=True, closed=True),
    status=202,
    calls=(ContactChanges.resend_email,),
)
async def resend_email_change(call: Plain) -> MessageResponse:
    """Send a new code to the new address."""
    await call.service.contact_changes.resend_email(call.account.id, client=call.client)
    return MessageResponse(message=_SENT)


@routes.delete(
    "/auth/user/email/change",
    "Drop the change of the email address",
    limit=Limit(bucket="auth_user_change_cancel", by_user=True),
    calls=(ContactChanges.cancel_email,),
)
async def cancel_email_change(call: Plain) -> OkResponse:
    """Drop the new address."""
    await call.service.contact_changes.cancel_email(call.account.id)
    return OkResponse()


@routes.post(
    "/auth/user/phone/change/request",
    "Ask for another phone number",
    offered=with_texts,
    limit=Limit(bucket="auth_user_phone_change_request", by_user=True, closed=True),
    status=202,
    calls=(ContactChanges.request_phone, Passwords.verify),
    errors=(StepUpRequired, errors.InvalidCredentials),
)
async def request_phone_change(call: Call[PhoneChange, NoParams]) -> MessageResponse:
    """Send a code to the new number."""
    await require_password_or_recent_auth(call, call.body.password)
    changes = call.service.contact_changes
    await changes.request_phone(call.account.id, call.body.phone_number, client=call.client)
    return MessageResponse(message=_TEXTED)


@routes.post(
    "/auth/user/phone/change/confirm",
    "Put the new phone number in force",
    limit=Limit(bucket="auth_user_phone_change_confirm", by_user=True, closed=True, gives_back=True),
    calls=(ContactChanges.confirm_phone,),
)
async def confirm_phone_change(call: Call[PhoneChangeCode, NoParams]) -> MessageResponse:
    """Put the new number in force."""
    account, body = call.account, call.body
    await call.service.contact_changes.confirm_phone(
        account.id, body.phone_number, body.code, keep_session_id=account.session_id, client=call.client
    )
    return MessageResponse(message="The new phone number is in force.")


@routes.post(
    "/auth/user/phone/change/resend",
    "Send a new code to the new phone number",
    offered=with_texts,
    limit=Limit(bucket="auth_user_phone_change_resend", by_user=True, closed=True),
    status=202,
    calls=(ContactChanges.resend_phone,),
)
async def resend_phone_change(call: Call[PendingPhone, NoParams]) -> MessageResponse:
    """Send a new code to the new number."""
    changes = call.service.contact_changes
    await changes.resend_phone(call.account.id, call.body.phone_number, client=call.client)
    return MessageResponse(message=_TEXTED)


@routes.delete(
    "/auth/user/phone/change",
    "Drop the change of the phone number",
    limit=Limit(bucket="auth_user_change_cancel", by_user=True),
    calls=(ContactChanges.cancel_phone,),
)
async def cancel_phone_change(call: Plain) -> OkResponse:
    """Drop the new number."""
    await call.service.contact_changes.cancel_phone(call.account.id)
    return OkResponse()
