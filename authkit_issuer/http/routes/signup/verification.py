"""Proofs of email addresses and phone numbers: of a registration, which sign in, and of an account."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from authkit_issuer.http.responses import Done, Requested, Tokens

if TYPE_CHECKING:
    from authkit_issuer.ports import Client
    from authkit_issuer.service import Service

Code = Annotated[Text, Field(repr=False)]
RegistrationId = Annotated[Text | None, Field(description="What the registration answered")]
RequestId = Annotated[Text | None, Field(description="What the request for this code answered, instead")]


class EmailProofRequest(Body):
    """The address to be proved."""

    email: Text


class PhoneProofRequest(Body):
    """The number to be proved."""

    phone_number: Text


class EmailProof(Body):
    """The code from the mail, with the id of the registration or request it was sent for."""

    email: Text
    code: Code
    registration_id: RegistrationId = None
    request_id: RequestId = None


class EmailLinkProof(Body):
    """The token of the link. One of a registration asks for its id or its password as well."""

    token: Annotated[Text, Field(repr=False)]
    registration_id: RegistrationId = None
    password: Annotated[str | None, Field(repr=False)] = None


class PhoneProof(Body):
    """The code from the SMS, with the id of the registration or request it was sent for."""

    phone_number: Text
    code: Code
    registration_id: RegistrationId = None
    request_id: RequestId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """The tokens of the account that a registration became; only ``ok`` for an account that was there.

    Nobody is signed in to that one: somebody else may have made it, over this address.
    """

    ok: Literal[True] | None = None
    access_token: str | None = field(default=None, repr=False)
    token_type: Literal["Bearer"] | None = None
    expires_in: int | None = None
    refresh_token: str | None = field(default=None, repr=False)


async def request_email(call: Call[EmailProofRequest, NoParams]) -> Requested:
    """Send a code to an address that waits for its proof."""
    verification = call.service.verification
    return Requested(request_id=await verification.request_email(call.body.email, client=call.client))


async def request_phone(call: Call[PhoneProofRequest, NoParams]) -> Requested:
    """Send a code to a number that waits for its proof."""
    verification = call.service.verification
    return Requested(request_id=await verification.request_phone(call.body.phone_number, client=call.client))


async def confirm_email(call: Call[EmailProof, NoParams]) -> Proved:
    """Take the code from a mail."""
    return await _confirm(call, call.body)


async def confirm_phone(call: Call[PhoneProof, NoParams]) -> Proved:
    """Take the code from an SMS."""
    return await _confirm(call, call.body)


async def confirm_email_link(call: Call[EmailLinkProof, NoParams]) -> Done:
    """Take the token of a link."""
    await _confirm_link(call.service, call.body, call.client)
    return Done()


async def _confirm(call: Call[Any, NoParams], body: EmailProof | PhoneProof) -> Proved:
    service = call.service
    contact = body.email if isinstance(body, EmailProof) else body.phone_number
    if body.request_id is None:
        pair = await service.logins.with_registration_code(
            contact, body.code, registration_id=body.registration_id, client=call.client
        )
        return Proved(**asdict(Tokens.of(call.signed_in(pair))))
    if isinstance(body, EmailProof):
        await service.verification.confirm_email(contact, body.code, request_id=body.request_id)
    else:
        await service.verification.confirm_phone(contact, body.code, request_id=body.request_id)
    return Proved(ok=True)


async def _confirm_link(service: Service, body: EmailLinkProof, client: Client) -> None:
    """Links of accounts and of registrations look alike; a token is of one kind only."""
    try:
        await service.verification.confirm_email_link(body.token)
    except errors.InvalidOrExpiredToken:
        await service.registration.confirm_email_link(
            body.token, registration_id=body.registration_id, password=body.password, client=client
        )


def _of(body: EmailProof | PhoneProof) -> str:
    return body.request_id or body.registration_id or ""


# What is tried is counted per request, which only its own browser knows: nobody uses up another's tries.
_TRYING = Limit(bucket="auth_email_verify_confirm", closed=True, account=_of)
_DOWN = (errors.DatabaseUnavailable, errors.EphemeralStoreUnavailable)
_REFUSALS = (
    errors.InvalidOrExpiredCode,
    errors.UsernameInUse,
    errors.OwnerSlugTaken,
    errors.UserBanned,
    errors.InvalidCredentials,
    errors.MissingSigner,
    *_DOWN,
)

OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="POST",
        path="/auth/email/verify/request",
        summary="Ask for a code that proves the email address of an account",
        tag="verification",
        handler=request_email,
        body=EmailProofRequest,
        returns=Requested,
        auth=Auth.PUBLIC,
        limit=Limit(bucket="auth_email_verify_request", closed=True, account=lambda body: body.email),
        offered=with_mail,
        status=202,
        errors=(errors.InvalidEmail, errors.EmailUnavailable, *_DOWN),
    ),
    Operation(
        method="POST",
        path="/auth/email/verify/confirm",
        summary="Finish a registration, or prove the address of an account, with the code from the mail",
        tag="verification",
        handler=confirm_email,
        body=EmailProof,
        returns=Proved,
        auth=Auth.PUBLIC,
        limit=_TRYING,
        omit_none=True,
        errors=(errors.EmailInUse, *_REFUSALS),
    ),
    Operation(
        method="POST",
        path="/auth/email/verify/confirm-link",
        summary="Finish a registration, or prove the address of an account, with the token of a link",
        tag="verification",
        handler=confirm_email_link,
        body=EmailLinkProof,
        returns=Done,
        auth=Auth.PUBLIC,
        limit=Limit(bucket="auth_email_verify_confirm", closed=True),
        errors=(
            errors.InvalidOrExpiredToken,
            errors.CurrentPasswordRequired,
            errors.EmailInUse,
            errors.UsernameInUse,
            errors.OwnerSlugTaken,
            errors.ServerBusy,
            *_DOWN,
        ),
    ),
    Operation(
        method="POST",
        path="/auth/phone/verify/request",
        summary="Ask for a code that proves the phone number of an account",
        tag="verification",
        handler=request_phone,
        body=PhoneProofRequest,
        returns=Requested,
        auth=Auth.PUBLIC,
        limit=Limit(bucket="auth_phone_verify_request", closed=True, account=lambda body: body.phone_number),
        offered=with_texts,
        status=202,
        errors=(errors.InvalidPhoneNumber, errors.SmsUnavailable, *_DOWN),
    ),
    Operation(
        method="POST",
        path="/auth/phone/verify/confirm",
        summary="Finish a registration, or prove the number of an account, with the code from the message",
        tag="verification",
        handler=confirm_phone,
        body=PhoneProof,
        returns=Proved,
        auth=Auth.PUBLIC,
        limit=_TRYING,
        omit_none=True,
        errors=(errors.PhoneInUse, *_REFUSALS),
    ),
)
