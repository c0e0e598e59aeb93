"""Proofs of email addresses and phone numbers: of a registration, which sign in, and of an account."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, TypedDict

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.signup.service import Registration
from authkit_issuer.domains.signup.verification import Verification
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
from authkit_issuer.http.response_models import CodeSent, OkResponse, TokenResponse
from authkit_issuer.http.route_groups import Routes
from authkit_issuer.ports import Client

Code = Annotated[Text, Field(repr=False)]
RegistrationId = Annotated[Text | None, Field(description="What the registration answered")]
RequestId = Annotated[Text | None, Field(description="What the request for this code answered, instead")]

Password = Annotated[
    str | None, Field(repr=False, description="Of the account, where no access token of it is sent")
]


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
    password: Password = None


class EmailLinkProof(Body):
    """The token of the link.

    One of a registration asks for its id or its password as well; one of an account with a password, or in
    use, asks for an access token of the account or its password.
    """

    token: Annotated[Text, Field(repr=False)]
    registration_id: RegistrationId = None
    password: Password = None


class PhoneProof(Body):
    """The code from the SMS, with the id of the registration or request it was sent for."""

    phone_number: Text
    code: Code
    registration_id: RegistrationId = None
    request_id: RequestId = None
    password: Password = None


class EmailLinkDenial(Body):
    """The token of a link to an account that is another person's."""

    token: Annotated[Text, Field(repr=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    """The tokens of the account that a registration became; only ``ok`` for an account that was there.

    No user is signed in to that one: an attacker may have created it with this address.
    """

    ok: Literal[True] | None = None
    access_token: str | None = field(default=None, repr=False)
    token_type: Literal["Bearer"] | None = None
    expires_in: int | None = None
    refresh_token: str | None = field(default=None, repr=False)
    ended_sessions: list[str] | None = None


def _of(body: EmailProof | PhoneProof) -> str:
    return body.request_id or body.registration_id or ""


# Tries count per request id, which only its own client has: no client uses up the tries of another.
_TRYING = Limit(bucket="auth_email_verify_confirm", closed=True, account=_of, gives_back=True)
routes = Routes(tag="verification", auth=Auth.OPTIONAL)


@routes.post(
    "/auth/email/verify/request",
    "Ask for a code that proves the email address of an account",
    offered=with_mail,
    limit=Limit(bucket="auth_email_verify_request", closed=True),
    status=202,
    calls=(Verification.request_email,),
)
async def request_email_verification(call: Call[EmailProofRequest, NoParams]) -> CodeSent:
    """Send a code to an address that waits for its proof."""
    verification = call.service.verification
    request_id = await verification.request_email(call.body.email, **_asked(call))
    return CodeSent(request_id=request_id)


@routes.post(
    "/auth/phone/verify/request",
    "Ask for a code that proves the phone number of an account",
    offered=with_texts,
    limit=Limit(bucket="auth_phone_verify_request", closed=True),
    status=202,
    calls=(Verification.request_phone,),
)
async def request_phone_verification(call: Call[PhoneProofRequest, NoParams]) -> CodeSent:
    """Send a code to a number that waits for its proof."""
    verification = call.service.verification
    request_id = await verification.request_phone(call.body.phone_number, **_asked(call))
    return CodeSent(request_id=request_id)


@routes.post(
    "/auth/email/verify/confirm",
    "Finish a registration, or prove the address of an account, with the code from the mail",
    limit=_TRYING,
    calls=(Logins.with_registration_code, Verification.confirm_email),
    omit_none=True,
)
async def confirm_email_verification(call: Call[EmailProof, NoParams]) -> VerificationResult:
    """Take the code from an email."""
    body = call.body
    if body.request_id is None:
        return await _sign_in(call, body.email)
    await call.service.verification.confirm_email(
        body.email, body.code, request_id=body.request_id, **_presented(call)
    )
    return VerificationResult(ok=True)


@routes.post(
    "/auth/phone/verify/confirm",
    "Finish a registration, or prove the number of an account, with the code from the message",
    limit=_TRYING,
    calls=(Logins.with_registration_code, Verification.confirm_phone),
    omit_none=True,
)
async def confirm_phone_verification(call: Call[PhoneProof, NoParams]) -> VerificationResult:
    """Take the code from an SMS."""
    body = call.body
    if body.request_id is None:
        return await _sign_in(call, body.phone_number)
    await call.service.verification.confirm_phone(
        body.phone_number, body.code, request_id=body.request_id, **_presented(call)
    )
    return VerificationResult(ok=True)


@routes.post(
    "/auth/email/verify/confirm-link",
    "Finish a registration, or prove the address of an account, with the token of a link",
    limit=Limit(bucket="auth_email_verify_confirm", closed=True, gives_back=True),
    calls=(Verification.confirm_email_link, Registration.confirm_email_link),
)
async def confirm_email_verification_link(call: Call[EmailLinkProof, NoParams]) -> OkResponse:
    """Take the token of a link."""
    await _confirm_link(call)
    return OkResponse()


@routes.post(
    "/auth/email/verify/not-mine",
    "Say that the account of a link belongs to another person, and end its sessions",
    auth=Auth.PUBLIC,
    limit=Limit(bucket="auth_email_verify_confirm", closed=True, gives_back=True),
    calls=(Verification.deny_email_link,),
)
async def deny_email_verification_link(call: Call[EmailLinkDenial, NoParams]) -> OkResponse:
    """Use up the token of a link, and end the sessions of its account."""
    await call.service.verification.deny_email_link(call.body.token, client=call.client)
    return OkResponse()


class _Asked(TypedDict):
    """Who asks, and in which session."""

    user_id: str | None
    session_id: str | None
    client: Client


class _Presented(_Asked):
    """What shows that the caller is the user of the account."""

    password: str | None


def _asked(call: Call[Any, NoParams]) -> _Asked:
    caller = call.caller
    user, session = (None, None) if caller is None else (caller.id, caller.session_id)
    return {"user_id": user, "session_id": session, "client": call.client}


def _presented(call: Call[Any, NoParams]) -> _Presented:
    return {**_asked(call), "password": call.body.password}


async def _sign_in(call: Call[Any, NoParams], contact: str) -> VerificationResult:
    """Finish a registration and return its tokens."""
    body = call.body
    if body.registration_id is None:
        raise errors.Invalid(
            "Required: registration_id from the registration, or request_id from the request.",
            param="registration_id",
        )
    pair = await call.service.logins.with_registration_code(
        contact, body.code, registration_id=body.registration_id, client=call.client
    )
    return VerificationResult(**asdict(TokenResponse.of(call.cookies.signed_in(pair))))


async def _confirm_link(call: Call[EmailLinkProof, NoParams]) -> None:
    """Links of accounts and of registrations look alike; a token is of one kind only."""
    service, body = call.service, call.body
    try:
        await service.verification.confirm_email_link(body.token, **_presented(call))
    except errors.InvalidOrExpiredToken:
        await service.registration.confirm_email_link(
            body.token, registration_id=body.registration_id, password=body.password, client=call.client
        )
