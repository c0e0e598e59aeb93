"""New codes for registrations that wait for their proof."""

from __future__ import annotations

from typing import Annotated

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
    with_mail,
    with_texts,
)
from authkit_issuer.http.responses import MessageResponse

_SENT = "If the registration still waits, a new code is on its way."


class Resend(Body):
    """The registration, by the id it answered: an address is anybody's to name."""

    registration_id: Annotated[Text, Field(min_length=1)]


async def resend_email(call: Call[Resend, NoParams]) -> MessageResponse:
    """Send a new code to the email address of a registration."""
    await call.service.registration.resend_email(call.body.registration_id, client=call.client)
    return MessageResponse(message=_SENT)


async def resend_phone(call: Call[Resend, NoParams]) -> MessageResponse:
    """Send a new code to the number of a registration."""
    await call.service.registration.resend_phone(call.body.registration_id, client=call.client)
    return MessageResponse(message=_SENT)


_DOWN = (errors.TooManyRequests, errors.DatabaseUnavailable, errors.EphemeralStoreUnavailable)

OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="POST",
        path="/auth/register/resend-email",
        summary="Send a new code for a registration by mail",
        tag="registration",
        handler=resend_email,
        body=Resend,
        returns=MessageResponse,
        auth=Auth.PUBLIC,
        limit=Limit(
            bucket="auth_register_resend_email", closed=True, account=lambda body: body.registration_id
        ),
        offered=with_mail,
        status=202,
        errors=(errors.EmailUnavailable, errors.EmailDeliveryFailed, *_DOWN),
    ),
    Operation(
        method="POST",
        path="/auth/register/resend-phone",
        summary="Send a new code for a registration by SMS",
        tag="registration",
        handler=resend_phone,
        body=Resend,
        returns=MessageResponse,
        auth=Auth.PUBLIC,
        limit=Limit(
            bucket="auth_register_resend_phone", closed=True, account=lambda body: body.registration_id
        ),
        offered=with_texts,
        status=202,
        errors=(errors.SmsUnavailable, errors.SmsDeliveryFailed, *_DOWN),
    ),
)
