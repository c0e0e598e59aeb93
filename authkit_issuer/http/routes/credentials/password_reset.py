"""Password resets. Requests get the same response with and without an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.http.operations import (
    ACCOUNT_NAME,
    AccountName,
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Text,
    with_messages,
    with_texts,
)
from authkit_issuer.http.response_models import CodeSent, OkResponse
from authkit_issuer.http.route_groups import Routes

if TYPE_CHECKING:
    from authkit_issuer.ports import Client
    from authkit_issuer.service import Service

NewPassword = Annotated[str, Field(repr=False, description="8 characters to 1024 bytes")]
RequestId = Annotated[Text | None, Field(description="What the request answered; a code counts only with it")]


class PasswordResetRequest(Body):
    """Whose password is to be replaced."""

    identifier: AccountName


class PhonePasswordResetRequest(Body):
    """Whose password is to be replaced, by the number."""

    phone_number: Text


class PasswordReset(Body):
    """The token of the link, or the code with the address it went to and the id of the request."""

    code: Annotated[Text, Field(repr=False)]
    new_password: NewPassword
    identifier: Annotated[Text | None, ACCOUNT_NAME] = None
    request_id: RequestId = None


class PasswordResetByLink(Body):
    """The token of the link."""

    token: Annotated[Text, Field(repr=False)]
    new_password: NewPassword


class PhonePasswordReset(Body):
    """The token of the link, or the code with the id of the request, and the number it went to."""

    phone_number: Text
    code: Annotated[Text, Field(repr=False)]
    new_password: NewPassword
    request_id: RequestId = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhonePasswordResetResponse:
    """The password is replaced; ``user_id`` says whose."""

    ok: Literal[True] = True
    user_id: str
    message: str = "The password has been replaced; sign in with the new one."


_LONGEST_CODE = 24
# Not per account: other clients would use that up, and what is sent to an account has its own limits.
_ASKING = Limit(bucket="auth_pwd_reset_request", closed=True)
# Tries count per request id, which only its own client has: no client uses up the tries of another.
_TRYING = Limit(
    bucket="auth_pwd_reset_confirm",
    closed=True,
    account=lambda body: getattr(body, "request_id", None) or "",
    gives_back=True,
)
routes = Routes(tag="login", auth=Auth.PUBLIC, limit=_TRYING)


@routes.post(
    "/auth/password/reset/request",
    "Ask for a way to replace a forgotten password",
    offered=with_messages,
    limit=_ASKING,
    status=202,
    calls=(Passwords.request_reset, Passwords.request_phone_reset),
)
async def request_password_reset(call: Call[PasswordResetRequest, NoParams]) -> CodeSent:
    """Send a link or code to an address or number, or to that of a user name."""
    return CodeSent(request_id=await _request(call.service, call.body.identifier, call.client))


@routes.post(
    "/auth/phone/password/reset/request",
    "Ask for a way to replace a forgotten password, by SMS",
    offered=with_texts,
    limit=_ASKING,
    status=202,
    calls=(Passwords.request_phone_reset,),
)
async def request_phone_password_reset(call: Call[PhonePasswordResetRequest, NoParams]) -> CodeSent:
    """Send a link or code to a number."""
    passwords, phone = call.service.passwords, call.body.phone_number
    return CodeSent(request_id=await passwords.request_phone_reset(phone, client=call.client))


@routes.post(
    "/auth/password/reset/confirm",
    "Replace a forgotten password by a code or the token of a link",
    calls=(Passwords.confirm_reset_code, Passwords.confirm_reset),
)
async def confirm_password_reset(call: Call[PasswordReset, NoParams]) -> OkResponse:
    """Replace the password by a code or the token of a link."""
    await _reset(call.service, call.body, call.client)
    return OkResponse()


@routes.post(
    "/auth/password/reset/confirm-link",
    "Replace a forgotten password by the token of a link",
    calls=(Passwords.confirm_reset,),
)
async def confirm_password_reset_link(call: Call[PasswordResetByLink, NoParams]) -> OkResponse:
    """Replace the password by the token of a link."""
    await call.service.passwords.confirm_reset(call.body.token, call.body.new_password, client=call.client)
    return OkResponse()


@routes.post(
    "/auth/phone/password/reset/confirm",
    "Replace a forgotten password by what a phone got",
    calls=(Passwords.confirm_reset_code, Passwords.confirm_phone_reset),
)
async def confirm_phone_password_reset(
    call: Call[PhonePasswordReset, NoParams],
) -> PhonePasswordResetResponse:
    """Replace the password by what a number got."""
    return PhonePasswordResetResponse(user_id=await _reset_by_phone(call.service, call.body, call.client))


async def _request(service: Service, identifier: str, client: Client) -> str:
    if identifiers.is_phone(identifier):
        return await service.passwords.request_phone_reset(identifier, client=client)
    return await service.passwords.request_reset(identifier, client=client)


async def _reset(service: Service, body: PasswordReset, client: Client) -> None:
    passwords, new = service.passwords, body.new_password
    if body.identifier is not None and _is_code(body.code):
        _require_request_id(body)
        await passwords.confirm_reset_code(
            body.identifier, body.code, new, request_id=body.request_id, client=client
        )
    else:
        await passwords.confirm_reset(body.code, new, client=client)


async def _reset_by_phone(service: Service, body: PhonePasswordReset, client: Client) -> str:
    passwords, phone, new = service.passwords, body.phone_number, body.new_password
    if _is_code(body.code):
        _require_request_id(body)
        return await passwords.confirm_reset_code(
            phone, body.code, new, request_id=body.request_id, client=client
        )
    return await passwords.confirm_phone_reset(phone, body.code, new, client=client)


def _require_request_id(body: PasswordReset | PhonePasswordReset) -> None:
    """A code counts only with the id of its request: say that it is missing, not that the code is wrong."""
    if body.request_id is None:
        raise errors.Invalid("Required: request_id from the request of this code.", param="request_id")


def _is_code(text: str) -> bool:
    """True for a code, short or long and with blanks or dashes; the token of a link has 43 characters."""
    return len(text.strip()) <= _LONGEST_CODE
