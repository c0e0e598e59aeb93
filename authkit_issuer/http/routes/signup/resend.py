"""New codes for registrations that wait for their proof."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from authkit_issuer.domains.signup.service import Registration
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Text,
    with_mail,
    with_texts,
)
from authkit_issuer.http.response_models import MessageResponse
from authkit_issuer.http.route_groups import Routes

_SENT = "If the registration still waits, a new code is on its way."


class RegistrationResend(Body):
    """The registration, by the id it answered: an address is anybody's to name."""

    registration_id: Annotated[Text, Field(min_length=1)]


routes = Routes(tag="registration", auth=Auth.PUBLIC)


@routes.post(
    "/auth/register/resend-email",
    "Send a new code for a registration by mail",
    offered=with_mail,
    limit=Limit(bucket="auth_register_resend_email", closed=True, account=lambda body: body.registration_id),
    status=202,
    calls=(Registration.resend_email,),
)
async def resend_registration_email(call: Call[RegistrationResend, NoParams]) -> MessageResponse:
    """Send a new code to the email address of a registration."""
    await call.service.registration.resend_email(call.body.registration_id, client=call.client)
    return MessageResponse(message=_SENT)


@routes.post(
    "/auth/register/resend-phone",
    "Send a new code for a registration by SMS",
    offered=with_texts,
    limit=Limit(bucket="auth_register_resend_phone", closed=True, account=lambda body: body.registration_id),
    status=202,
    calls=(Registration.resend_phone,),
)
async def resend_registration_phone(call: Call[RegistrationResend, NoParams]) -> MessageResponse:
    """Send a new code to the number of a registration."""
    await call.service.registration.resend_phone(call.body.registration_id, client=call.client)
    return MessageResponse(message=_SENT)
