"""Refusals of the service in the routes of a host: the answer that the service's own routes would give."""

from __future__ import annotations

import logging

from starlette.requests import HTTPConnection
from starlette.responses import Response

from authkit_issuer.errors import AuthError
from authkit_issuer.http.errors import refuse
from authkit_issuer.http.middleware import complete, request_id_of

logger = logging.getLogger("authkit.http")


async def refusal_response(request: HTTPConnection, error: Exception) -> Response:
    """Return the response for a refusal of the service: an exception handler of Starlette and FastAPI.

        app.add_exception_handler(AuthError, refusal_response)

    Status, body and headers are as in the service's own routes. A request with an ``Authorization`` header
    is taken for one with a valid access token: a wrong password in it is 403, since a 401 says that the token
    has ended. The log has the reason of a 5xx; the client never receives it.

    Args:
        request: The request that failed.
        error: What the route raised, an ``AuthError``.

    Raises:
        TypeError: ``error`` is of another kind: the handler is registered for more than ``AuthError``.
    """
    if not isinstance(error, AuthError):
        raise TypeError("refusal_response is a handler of AuthError: register it for that class.") from error
    request_id = request_id_of(request.scope)
    answer = refuse(error, request_id, bearer="authorization" in request.headers)
    if answer.status >= 500:
        reason = f": {error.reason}" if error.reason else ""
        logger.warning("request %s of the host is %s%s", request_id, error.code, reason)
    headers = list(answer.headers)
    complete(headers, request_id)
    response = Response(answer.body, answer.status)
    response.raw_headers.extend(headers)
    return response
