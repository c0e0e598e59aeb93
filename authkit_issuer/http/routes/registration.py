"""Registration by mail address, and its confirmation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.http.answers import Tokens
from authkit_issuer.http.routing import AnyOperation, Auth, Body, Call, NoParams, Operation, Text


class Register(Body):
    """Who wants an account; the password is taken as it is, blanks included."""

    identifier: Annotated[Text, Field(description="A mail address or an E.164 phone number")]
    username: Text
    password: Annotated[str, Field(repr=False, description="8 characters to 1024 bytes")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A code is on its way if the address can have an account; the answer does not tell.

    ``registration_id`` belongs to this browser: the code opens the account only together with it.
    """

    ok: Literal[True] = True
    registration_id: str
    email: str | None = None
    phone: str | None = None


class Confirm(Body):
    """The code from the mail, with the id that the registration answered."""

    email: Text
    code: Annotated[Text, Field(repr=False)]
    registration_id: Text | None = None


async def register(call: Call[Register, NoParams]) -> Accepted:
    """Start a registration and send a code."""
    body = call.body
    found = await call.service.registration.register(
        body.identifier, body.username, body.password, client=call.client
    )
    return Accepted(registration_id=found.registration_id, email=found.email, phone=found.phone)


async def confirm_email(call: Call[Confirm, NoParams]) -> Tokens:
    """Finish a registration and sign its owner in."""
    body = call.body
    pair = await call.service.logins.with_registration_code(
        body.email, body.code, registration_id=body.registration_id, client=call.client
    )
    return Tokens.of(pair)


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="POST",
        path="/auth/register",
        summary="Start a registration and send a code",
        tag="registration",
        handler=register,
        body=Register,
        returns=Accepted,
        auth=Auth.PUBLIC,
        status=202,
        omit_none=True,
        errors=(
            errors.InvalidIdentifier,
            errors.InvalidEmail,
            errors.InvalidPhoneNumber,
            errors.UsernameTooShort,
            errors.UsernameTooLong,
            errors.UsernameCannotContainAt,
            errors.UsernameMustStartWithLetter,
            errors.UsernameInvalidCharacters,
            errors.UsernameReserved,
            errors.UsernameInUse,
            errors.EmailInUse,
            errors.PasswordTooShort,
            errors.PasswordTooLong,
            errors.PasswordTooCommon,
            errors.TooManyRequests,
            errors.EmailUnavailable,
            errors.SmsUnavailable,
            errors.EmailDeliveryFailed,
            errors.ServerBusy,
            errors.DatabaseUnavailable,
            errors.EphemeralStoreUnavailable,
        ),
    ),
    Operation(
        method="POST",
        path="/auth/email/verify/confirm",
        summary="Finish a registration with the code from the mail",
        tag="registration",
        handler=confirm_email,
        body=Confirm,
        returns=Tokens,
        auth=Auth.PUBLIC,
        errors=(
            errors.InvalidOrExpiredCode,
            errors.EmailInUse,
            errors.UsernameInUse,
            errors.OwnerSlugTaken,
            errors.UserBanned,
            errors.InvalidCredentials,
            errors.TooManyRequests,
            errors.MissingSigner,
            errors.DatabaseUnavailable,
            errors.EphemeralStoreUnavailable,
        ),
    ),
)
