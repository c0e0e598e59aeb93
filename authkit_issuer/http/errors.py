"""From refusals to answers: the only place of this package with HTTP numbers.

    Invalid 400 · Unauthenticated 401 · Denied 403 · NotFound 404 · MethodNotAllowed 405 · Conflict 409 ·
    PayloadTooLarge 413 · UnsupportedMediaType 415 · Limited 429 · NotConfigured 501 · DeliveryFailed 502 ·
    Unavailable 503 · anything else an opaque 500

A leaf has the status of its base. Bodies are ``{"error", "error_description", "param"?, "metadata"?,
"request_id"}``. The token endpoint speaks RFC 6749 section 5.2 instead: a credential that opens nothing is
``400 invalid_grant`` with the fine code in ``metadata.reason``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping

from authkit_issuer import errors
from authkit_issuer.errors import AuthError
from authkit_issuer.http.raw_response import JSON, Headers, RawResponse
from authkit_verify import AccessDenied, Challenge, TokenError


class NoSuchRoute(errors.NotFound):
    """Nothing is served under this path."""

    code = "not_found"
    default = "Nothing is served under this path."


class MethodNotAllowed(AuthError):
    """The path exists and does not take this method."""

    code = "method_not_allowed"
    default = "Method not allowed."


class PayloadTooLarge(AuthError):
    """The request body is larger than any this service takes."""

    code = "payload_too_large"
    default = "The request body may have at most 64 KiB."


class RequestTimeout(AuthError):
    """The request body did not arrive in time (RFC 9110 section 15.5.9)."""

    code = "request_timeout"
    default = "The request body took too long."


class RateLimited(errors.Limited):
    """An operation was called too often; ``metadata`` names the bucket and what it allows."""

    code = "rate_limited"
    default = "Too many requests; try again later."


class InvalidPassword(errors.Denied):
    """The caller's token is good, and the password that came with it is not."""

    code = "invalid_password"
    default = "The password is wrong."


class StepUpRequired(errors.Denied):
    """The caller must prove again who they are; ``metadata`` says how (RFC 9470 section 3)."""

    code = "step_up_required"
    default = "This needs a recent proof of who you are."
    max_age = 0
    """Seconds that a proof may be old."""


class InvalidClient(errors.Unauthenticated):
    """The service that asks has not proved which one it is (RFC 6749 section 5.2)."""

    code = "invalid_client"
    default = "The client id or its secret is wrong."


class UnsupportedMediaType(AuthError):
    """The request body is in a form this operation does not read."""

    code = "unsupported_media_type"
    default = "The request body must be application/json in UTF-8."


STATUS: Mapping[type[AuthError], int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Denied: 403,
    errors.NotFound: 404,
    MethodNotAllowed: 405,
    RequestTimeout: 408,
    errors.Conflict: 409,
    PayloadTooLarge: 413,
    UnsupportedMediaType: 415,
    errors.Limited: 429,
    errors.NotConfigured: 501,
    errors.DeliveryFailed: 502,
    errors.Unavailable: 503,
}
INTERNAL_ERROR = "internal_error"

_ENDS_THE_TOKEN = (errors.SessionEnded, errors.UserDisabled, errors.UserBanned)
_CHALLENGE = Challenge()
_LOG_IN = AccessDenied("missing_token", "A credential is needed.")


def status_of(kind: type[AuthError], *, bearer: bool = False) -> int:
    """Return the status of an error class: its own, else that of the nearest base.

    With ``bearer`` a wrong proof is 403 while the access token is valid: at a 401 clients refresh the token
    and repeat the request, without end.
    """
    if bearer and issubclass(kind, errors.Unauthenticated) and not issubclass(kind, _ENDS_THE_TOKEN):
        return STATUS[errors.Denied]
    return next((STATUS[base] for base in kind.__mro__ if base in STATUS), 500)


def token_error_status(code: str) -> int:
    """Return the status of a verifier's code."""
    return _CHALLENGE.refuse(AccessDenied(code, "")).status


def refuse(
    error: AuthError | TokenError, request_id: str, *, bearer: bool = False, oauth: bool = False
) -> RawResponse:
    """Return the answer for a refusal.

    ``bearer`` says that the request came with an access token, so a 401 speaks of that token (RFC 6750
    section 3); ``oauth`` that the token endpoint answers.
    """
    if isinstance(error, TokenError):
        return _refuse_token(error, request_id)
    if oauth:
        code = oauth_code(type(error))
        if code != error.code:
            metadata = {**error.metadata, "reason": error.code}
            return _answer(400, code, error.description, request_id, param=error.param, metadata=metadata)
    return _answer(
        status_of(type(error), bearer=bearer),
        error.code,
        error.description,
        request_id,
        param=error.param,
        metadata=error.metadata,
        headers=tuple(_error_headers(error, bearer=bearer)),
    )


def internal(request_id: str) -> RawResponse:
    """Return the opaque response of an unexpected error; the log has the rest under the request id."""
    return _answer(500, INTERNAL_ERROR, "Internal server error.", request_id)


def whole_seconds(wait: float) -> int:
    """Return a wait as ``Retry-After`` has it: whole seconds, at least one (RFC 9110 section 10.2.3)."""
    return max(1, math.ceil(wait))


def oauth_code(kind: type[AuthError]) -> str:
    """Return the code the token endpoint gives a refusal, mostly its own.

    An unavailable organization is an error of the target, not of the grant (RFC 8707 section 2).
    """
    if issubclass(kind, errors.Unauthenticated) and not issubclass(kind, InvalidClient):
        return "invalid_grant"
    if issubclass(kind, errors.Denied | errors.NotFound | errors.InvalidOrgSlug | errors.OrgModeNotMulti):
        return "invalid_target"
    return kind.code


def _refuse_token(error: TokenError, request_id: str) -> RawResponse:
    refusal = _CHALLENGE.refuse(error)
    headers = tuple(pair for pair in refusal.headers if pair[0] in {b"www-authenticate", b"retry-after"})
    return _answer(refusal.status, error.code, error.description, request_id, headers=headers)


def _error_headers(error: AuthError, *, bearer: bool) -> Iterator[tuple[bytes, bytes]]:
    if isinstance(error, InvalidClient):
        yield b"www-authenticate", b'Basic realm="authkit", charset="UTF-8"'
    elif isinstance(error, StepUpRequired):
        about = AccessDenied("insufficient_user_authentication", error.description, max_age=error.max_age)
        yield from (pair for pair in _CHALLENGE.refuse(about).headers if pair[0] == b"www-authenticate")
    elif isinstance(error, errors.Unauthenticated) and status_of(type(error), bearer=bearer) == 401:
        about = AccessDenied(error.code, error.description) if bearer else _LOG_IN
        yield from (pair for pair in _CHALLENGE.refuse(about).headers if pair[0] == b"www-authenticate")
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        yield b"retry-after", str(whole_seconds(retry_after)).encode()


def _answer(
    status: int,
    code: str,
    description: str,
    request_id: str,
    *,
    param: str | None = None,
    metadata: Mapping[str, object] | None = None,
    headers: Headers = (),
) -> RawResponse:
    body: dict[str, object] = {"error": code, "error_description": description}
    if param is not None:
        body["param"] = param
    if metadata:
        body["metadata"] = dict(metadata)
    body["request_id"] = request_id
    text = json.dumps(body, separators=(",", ":"), default=str)
    return RawResponse(status=status, headers=(JSON, *headers), body=text.encode())
