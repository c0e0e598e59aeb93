"""The middleware of Django, synchronous and asynchronous."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from django.views.generic import RedirectView

from authkit_verify._asgi.challenge import DPOP_NONCE, AccessDenied, Refusal
from authkit_verify._asgi.credentials import uses_dpop
from authkit_verify.django.protection import protection
from authkit_verify.django.request import scope_of
from authkit_verify.errors import TokenError

_OWN = "authkit_verify.django.AuthMiddleware"
_OF_SESSIONS = "django.contrib.auth.middleware.AuthenticationMiddleware"


class AuthMiddleware(MiddlewareMixin):  # type: ignore[misc] # Django has no types
    """Lets a request through only with a valid token, by the setting ``AUTHKIT``.

    A token that is present must be valid on every path that is not excluded. CORS preflights pass without
    one to other middlewares and to classes of views, which distinguish methods, and neither to functions nor
    to a ``RedirectView``. ``AccessDenied`` and ``TokenError`` that a view raises are answered too. The caller
    is ``request.auth``, a ``Principal``, or None without a token. ``request.user`` stays Django's.

    The entries of ``AUTHKIT``, of which one of the first two is required; each object may be a dotted path:

    - ``ISSUERS``: A list of ``IssuerAccept``.
    - ``VERIFIER``: A ``SyncVerifier`` of the host.
    - ``REQUIRED``: If False, a request without a token passes as anonymous. Default True.
    - ``EXCLUDE``: Paths that need no token and whose token is not read, such as ``/admin/*``, which
      holds ``/admin/`` and not ``/admin``. Default none.
    - ``ENRICHMENT``: The host's own records, as in the ASGI middleware. Default None.
    - ``REALM``, ``SCOPES``: What the challenge names. Default ``authkit``, and the ``required_scopes`` of the
      issuers.
    - ``USER``: A function that takes the ``Principal`` and returns Django's user, or None to refuse. It is
      called when ``request.user`` is first used. A user who is not active is refused. Default None.

    Everything that waits, such as a fetch of keys, runs on the event loop of the verifier, and under ASGI no
    request blocks the loop of the server.

    Raises:
        ImproperlyConfigured: ``AUTHKIT`` is missing or wrong, or ``USER`` would be overwritten.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self._protection = protection()
        if self.async_mode:  # Django would call a plain method in a thread
            self.process_view = self._aprocess_view  # type: ignore[method-assign]
        before = takewhile(lambda path: path != _OWN, settings.MIDDLEWARE)
        if self._protection.find_user is not None and _OF_SESSIONS in {*settings.MIDDLEWARE} - {*before}:
            raise ImproperlyConfigured(
                f"AUTHKIT['USER'] has no effect: in MIDDLEWARE list {_OWN} below {_OF_SESSIONS}"
            )

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Admit the caller. Returns the refusal, or None."""
        try:
            self._protection.admit(request)
        except (TokenError, AccessDenied) as error:
            return response_of(self._protection.refuse(request, error))
        return None

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """Admit the caller and call the view, on the event loop of the server."""
        try:
            await self._protection.aadmit(request)
        except (TokenError, AccessDenied) as error:
            return response_of(self._protection.refuse(request, error))
        answer: HttpResponseBase = await self.get_response(request)
        return self.process_response(request, answer)

    def process_view(self, request: HttpRequest, view: Any, *_of_path: Any) -> HttpResponse | None:
        """Refuse a preflight that reaches a view which acts on every method, such as a function."""
        if not self._protection.passes_unasked(request) or _distinguishes_methods(view):
            return None
        missing = TokenError("missing_token", "this needs an access token")
        return response_of(self._protection.refuse(request, missing))

    async def _aprocess_view(self, request: HttpRequest, view: Any, *of_path: Any) -> HttpResponse | None:
        return type(self).process_view(self, request, view, *of_path)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Send a nonce to a client that uses DPoP, if proofs need one (RFC 9449, 8.2)."""
        nonce = self._protection.verifier.asynchronous.dpop_nonce()
        name = DPOP_NONCE.decode()
        if nonce is not None and uses_dpop(scope_of(request)) and not response.has_header(name):
            response[name] = nonce
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the response to a refusal that a view raised; None for every other exception."""
        if isinstance(error, TokenError | AccessDenied):
            return response_of(self._protection.refuse(request, error))
        return None


def response_of(refusal: Refusal) -> HttpResponse:
    """Return a refusal as a response of Django."""
    headers = {name.decode(): value.decode() for name, value in refusal.headers}
    return HttpResponse(refusal.body, status=refusal.status, headers=headers)


def _distinguishes_methods(view: Any) -> bool:
    """True for a class of views of Django (``view_class``) or of REST framework (``cls``).

    Not for a ``RedirectView``, which takes every method for GET.
    """
    kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
    return kind is not None and getattr(kind, "options", None) is not RedirectView.options
