"""Registration by email address or phone number; its proof is with the other verifications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from authkit_issuer.domains.signup.service import Registration
from authkit_issuer.http.operations import Auth, Body, Call, ContactName, Limit, NoParams, Text
from authkit_issuer.http.route_groups import Routes


class RegistrationRequest(Body):
    """Who wants an account; the password is taken as it is, blanks included."""

    identifier: ContactName
    username: Annotated[Text | None, Field(description="Without one, a free name is derived")] = None
    password: Annotated[
        str | None,
        Field(
            repr=False,
            description="8 characters to 1024 bytes; may be left out where a passkey or a message signs in",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationStarted:
    """A code is on its way if the address can have an account; the answer does not tell.

    ``registration_id`` belongs to this browser: the code opens the account only together with it.
    """

    ok: Literal[True] = True
    message: str = "If this can become an account, a code is on its way."
    registration_id: str
    email: str | None = None
    phone: str | None = None


routes = Routes(
    tag="registration",
    auth=Auth.PUBLIC,
    # Not per account: other clients would use that up, and what is sent to an address has its own limits.
    limit=Limit(bucket="auth_register", texts="auth_sms_request", closed=True),
)


@routes.post(
    "/auth/register",
    "Start a registration and send a code",
    status=202,
    calls=(Registration.register,),
    omit_none=True,
)
async def register(call: Call[RegistrationRequest, NoParams]) -> RegistrationStarted:
    """Start a registration and send a code."""
    body = call.body
    found = await call.service.registration.register(
        body.identifier, body.username, body.password, client=call.client
    )
    return RegistrationStarted(registration_id=found.registration_id, email=found.email, phone=found.phone)
