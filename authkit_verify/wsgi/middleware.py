"""Protect any WSGI application by wrapping it, by the rules of the ASGI middleware."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from inspect import isgenerator
from io import BytesIO
from typing import Any, cast

from authkit_verify._asgi.authenticator import Authenticator, refusal_for
from authkit_verify._asgi.challenge import AccessDenied, Challenge, Refusal
from authkit_verify._asgi.credentials import uses_dpop
from authkit_verify._asgi.enrichment import Enricher, EnrichmentSource, enricher_for
from authkit_verify._asgi.exclusions import PathSet, is_preflight
from authkit_verify._asgi.guards import Guard
from authkit_verify._asgi.principal import Principal
from authkit_verify._asgi.principal import principal_of as caller_of
from authkit_verify._asgi.required_scopes import required_scopes
from authkit_verify._asgi.sync_admission import admit
from authkit_verify._asgi.sync_admission import check as check_scope
from authkit_verify._asgi.types import raw_path_of_wsgi
from authkit_verify._verify.sync_verifier import SyncVerifier
from authkit_verify.config.values import words_of
from authkit_verify.errors import TokenError

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_SCOPE = "authkit.scope"
"""The key of the environ that holds the request as an ASGI scope, with the caller in it."""
_VERIFIER = "authkit.verifier"


class AuthMiddleware:
    """Lets a request through only with a valid token, or, with ``required=False``, also without one.

    A token that is present must be valid either way. CORS preflights pass without one, and without bodies: an
    application that answers every method alike asks ``check(environ)``. ``AccessDenied`` and ``TokenError``
    that the application raises before its response are answered too.

    The application finds the ``Claims`` in ``environ["authkit"]`` (None without a token), and the
    ``Principal`` by ``principal_of(environ)``.

    Args:
        app: The WSGI application to protect.
        verifier: The verifier of the tokens. The host closes it.
        required: If False, a request without a token passes as anonymous. Default True.
        exclude: Paths that need no token and whose token is not read: exact ones, and subtrees spelled
            ``/docs/*``. List ``/docs`` as well to exclude ``/docs/``, which is the same route to some
            frameworks. Default none.
        enrichment: The host's own records, as in the ASGI middleware; asked on the verifier's event loop.
            Default None.
        realm: The ``realm`` of the ``WWW-Authenticate`` challenge. Default ``authkit``.
        scopes: Scopes that the challenge names. Default None: the ``required_scopes`` of the issuers.

    Raises:
        TypeError: ``app`` cannot be called.
        ValueError: An argument that would only fail in the middle of a request.
    """

    def __init__(
        self,
        app: WSGIApp,
        verifier: SyncVerifier,
        *,
        required: bool = True,
        exclude: Iterable[str] = (),
        enrichment: EnrichmentSource | Enricher | None = None,
        realm: str = "authkit",
        scopes: Iterable[str] | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(
                f"AuthMiddleware wraps a WSGI application, app(environ, start_response), not {app!r}"
            )
        self._app = app
        self._verifier = verifier
        self._required = required
        self._exclude = PathSet(exclude)
        named = required_scopes(verifier.asynchronous) if scopes is None else words_of("scopes", scopes)
        self._authenticator = Authenticator(
            challenge=Challenge(realm=realm, scopes=named),
            verifier=verifier.asynchronous,
            enricher=enricher_for(enrichment, verifier),
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Admit one request and pass it to the application, or refuse it."""
        scope = _scope(environ)
        environ[_SCOPE], environ[_VERIFIER], environ["authkit"] = scope, self._verifier, None
        response = _Response(environ, start_response, self._authenticator.challenge)
        excluded = scope in self._exclude
        preflight = not excluded and is_preflight(scope)
        try:
            if not excluded and not preflight:
                caller = admit(self._verifier, self._authenticator, scope, required=self._required)
                environ["authkit"] = None if caller is None else caller.claims
            else:
                self._authenticator.admit_anonymous(scope)
            if preflight and self._required:
                return response.without_bodies(self._app)
            answer = self._app(environ, response.start)
        except (TokenError, AccessDenied) as error:
            return response.refuse(error)
        if isgenerator(answer):
            return response.streamed(cast("Iterable[bytes]", answer))
        return answer


class _Response:
    """The response to one request; a refusal replaces it as long as nothing was sent."""

    def __init__(self, environ: Environ, start_response: StartResponse, challenge: Challenge) -> None:
        self._environ = environ
        self._scope: dict[str, Any] = environ[_SCOPE]
        self._start = start_response
        self._challenge = challenge
        self._started = False

    def start(self, *arguments: Any) -> Any:
        """Start the response of the application."""
        self._started = True
        return self._start(*arguments)

    def without_bodies(self, app: WSGIApp) -> Iterable[bytes]:
        """Return the response to a preflight that passes without a token, without its bodies.

        An application that answers every method alike would act on the one, and disclose the other.
        """

        def start(status: str, headers: list[tuple[str, str]], *reason: Any) -> Any:
            self.start(status, [one for one in headers if one[0].lower() != "content-length"], *reason)
            return _unwritten

        answer: Any = app({**self._environ, "wsgi.input": BytesIO(), "CONTENT_LENGTH": "0"}, start)
        try:
            next(iter(answer), None)  # an application may start its response with its first piece
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return [b""]

    def streamed(self, answer: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the body of an application that begins with its first piece."""
        begun = False
        try:
            for piece in answer:
                begun = begun or bool(piece)
                yield piece
        except (TokenError, AccessDenied) as error:
            if begun:
                raise
            yield from self.refuse(error)

    def refuse(self, error: TokenError | AccessDenied) -> Iterable[bytes]:
        """Send a refusal; PEP 3333 asks for the exception where a response was started before."""
        refusal = self._challenge.refuse(error, dpop=uses_dpop(self._scope))
        status = HTTPStatus(refusal.status)
        reason = (sys.exc_info(),) if self._started else ()
        self._start(f"{status.value} {status.phrase}", text_headers(refusal), *reason)
        return [b"" if self._environ.get("REQUEST_METHOD") == "HEAD" else refusal.body]


def _unwritten(_body: bytes) -> None:
    """Write nothing, in place of the ``write`` of PEP 3333."""


def principal_of(environ: Mapping[str, Any]) -> Principal | None:
    """Return the caller of a request behind the middleware, or None."""
    scope = environ.get(_SCOPE)
    return None if scope is None else caller_of(scope)


def check(environ: Mapping[str, Any], *guards: Guard) -> Principal:
    """Return the caller of this request if every guard lets it pass.

    Raises:
        AccessDenied: A guard refuses the caller, or no token came.
        RuntimeError: The request did not pass the middleware.
    """
    scope, verifier = environ.get(_SCOPE), environ.get(_VERIFIER)
    if scope is None or not isinstance(verifier, SyncVerifier):
        raise RuntimeError(
            "this request did not pass authkit_verify.wsgi.AuthMiddleware: wrap the application"
        )
    return check_scope(verifier, scope, guards)


def refusal_of(environ: Mapping[str, Any], error: TokenError | AccessDenied) -> Refusal:
    """Return the response to an error, with the challenge of this request's middleware."""
    return refusal_for(environ.get(_SCOPE) or {}, error)


def text_headers(refusal: Refusal) -> list[tuple[str, str]]:
    """Return the headers of a refusal in the form of WSGI."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in refusal.headers]


def _scope(environ: Environ) -> dict[str, Any]:
    """Return a request as an ASGI scope, as far as admission reads it."""
    headers = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    ]
    root, path = _decoded(environ.get("SCRIPT_NAME", "")), _decoded(environ.get("PATH_INFO", ""))
    if path and path[0] != "/":
        # As frameworks read it: gunicorn lets a client cut the path by the header SCRIPT_NAME.
        path = "/" + path
    peer = environ.get("REMOTE_ADDR")
    return {
        "type": "http",
        "method": environ.get("REQUEST_METHOD", "GET"),
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": root + path or "/",
        "raw_path": raw_path_of_wsgi(environ),
        "root_path": root,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "server": (environ.get("SERVER_NAME"), environ.get("SERVER_PORT")),
        "client": (peer, 0) if peer else None,
        "headers": headers,
        "extensions": {},
        "state": {},
    }


def _decoded(text: str) -> str:
    # WSGI decodes the path as latin-1 (PEP 3333); frameworks route on UTF-8.
    return text.encode("latin-1").decode("utf-8", "replace")
