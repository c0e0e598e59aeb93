"""Refusals over HTTP: the status, the ``WWW-Authenticate`` challenge and the body of each error code.

The only module of this package with HTTP status codes. RFC 6750 section 3 defines the challenge, RFC 9470
section 3 adds step-up, RFC 9449 section 7.1 the ``DPoP`` scheme, RFC 9728 section 5.1 ``resource_metadata``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from authkit_verify._asgi.types import Receive, Scope, Send
from authkit_verify.config.values import words_of
from authkit_verify.errors import TokenError

_STATUS = {
    "invalid_request": 400,
    "insufficient_scope": 403,
    "forbidden": 403,
    "keys_unavailable": 503,
    "issuer_check_unavailable": 503,
    "replay_check_unavailable": 503,
    "introspection_unavailable": 503,
    "enrichment_unavailable": 503,
}  # every other code is 401
_DEFAULT_RETRY = 5.0  # seconds
_REGISTERED = frozenset({
    "invalid_request", "insufficient_scope", "insufficient_user_authentication", "invalid_dpop_proof",
    "use_dpop_nonce",
})  # fmt: skip

DPOP_NONCE = b"dpop-nonce"

DENIED = "authkit.denied"
"""The key of the scope that holds the last AccessDenied which a guard raised inside the application."""

POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1
TRY_AGAIN_LATER = 1013  # registered with IANA for an overloaded or unready server
TOKEN_EXPIRED = 4401  # private use range: the HTTP 401 of a connection that was open


class AccessDenied(Exception):
    """The caller, or a request without one, may not use this route.

    Attributes:
        code: ``missing_token``, ``insufficient_scope``, ``forbidden``, ``insufficient_user_authentication``,
            ``keys_unavailable`` or ``enrichment_unavailable``.
        description: A sentence for people.
        scopes: The scopes that the route requires; empty if it requires none.
        max_age: Seconds within which the user must have signed in (RFC 9470); None without such a rule.
        acr_values: The authentication contexts that are required (RFC 9470).
        retry_after: Seconds after which a retry may succeed; None if unknown.
    """

    def __init__(
        self,
        code: str,
        description: str,
        *,
        scopes: tuple[str, ...] = (),
        max_age: int | None = None,
        acr_values: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, description)
        self.code = code
        self.description = description
        self.scopes = scopes
        self.max_age = max_age
        self.acr_values = acr_values
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code}: {self.description}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The response to an error, ready to be sent."""

    code: str
    """The error code."""
    status: int
    """The HTTP status."""
    headers: tuple[tuple[bytes, bytes], ...]
    """The headers, in the form of ASGI."""
    body: bytes
    """A JSON object with ``error`` and ``error_description``."""
    close_code: int
    """The close code of a WebSocket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """The protected resource as the ``WWW-Authenticate`` header describes it.

    Raises:
        ValueError: A text has a character that a quoted string cannot hold, or a list is a single string.
    """

    realm: str = "authkit"
    """The realm. Default ``authkit``."""
    scopes: tuple[str, ...] = ()
    """Scopes to name if no token came, so that a client knows what to request (RFC 6750, 3), in place of
    those that a guard requires. A longer name, such as ``api://app/read``, is also named where the scope
    ``read`` is required. Default none."""
    resource_metadata: str | None = None
    """The URL of the resource metadata (RFC 9728). Default None."""
    dpop_algorithms: tuple[str, ...] = ()
    """The signature algorithms of DPoP proofs, to announce DPoP beside ``Bearer`` (RFC 9449). Default: those
    of the verifier's ``dpop``."""

    def __post_init__(self) -> None:
        """Normalize lists to tuples, then check the text now, and not in the middle of a refusal."""
        for name in ("scopes", "dpop_algorithms"):
            object.__setattr__(self, name, words_of(name, getattr(self, name)))
        for text in (self.realm, *self.scopes, self.resource_metadata or ""):
            if _quotable(text) != text:
                raise ValueError(
                    f"a challenge holds printable ASCII without quote and backslash, not {text!r}"
                )

    def refuse(self, error: TokenError | AccessDenied, *, dpop: bool = False) -> Refusal:
        """Return the response to an error. Its headers and body never hold any part of a token.

        ``dpop`` is True for a request whose token came with the ``DPoP`` scheme.
        """
        status = _STATUS.get(error.code, 401)
        headers = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
        ]
        body = _body(error.code, error.description)
        headers.append((b"content-length", str(len(body)).encode()))
        if status == 503:
            wait = error.retry_after if error.retry_after is not None else _DEFAULT_RETRY
            headers.append((b"retry-after", str(max(1, math.ceil(wait))).encode()))
        elif error.code != "forbidden":
            headers.append((b"www-authenticate", self._header(error, dpop=dpop).encode("ascii")))
        if isinstance(error, TokenError) and error.dpop_nonce is not None:
            headers.append((DPOP_NONCE, error.dpop_nonce.encode("ascii")))
        return Refusal(
            code=error.code,
            status=status,
            headers=tuple(headers),
            body=body,
            close_code=TRY_AGAIN_LATER if status == 503 else POLICY_VIOLATION,
        )

    def _header(self, error: TokenError | AccessDenied, *, dpop: bool) -> str:
        fields = [("realm", self.realm)]
        required = tuple(map(self._requested, error.scopes))
        scopes = (required or self.scopes) if error.code == "missing_token" else ()
        if error.code != "missing_token":  # RFC 6750, 3.1: no error when no credentials were presented
            public, detail = _oauth_error(error)
            fields += [("error", public), ("error_description", _quotable(detail))]
            scopes = required or (self.scopes if public == "insufficient_scope" else ())
        if scopes:
            fields.append(("scope", _quotable(" ".join(scopes))))
        if isinstance(error, AccessDenied):
            if error.max_age is not None:
                fields.append(("max_age", str(error.max_age)))
            if error.acr_values:
                fields.append(("acr_values", _quotable(" ".join(error.acr_values))))
        if self.resource_metadata is not None:
            fields.append(("resource_metadata", self.resource_metadata))
        algorithms = [("algs", " ".join(self.dpop_algorithms))] if self.dpop_algorithms else []
        if dpop:
            return _with_fields("DPoP", fields + algorithms)
        bearer = _with_fields("Bearer", fields)
        return f"{bearer}, {_with_fields('DPoP', algorithms)}" if algorithms else bearer

    def _requested(self, scope: str) -> str:
        """Return the scope by the name that a client requests: Entra's tokens hold only the end of it."""
        return next((name for name in self.scopes if name.rpartition("/")[2] == scope), scope)


def _oauth_error(error: TokenError | AccessDenied) -> tuple[str, str]:
    """Return the registered error and a sentence for people; the fine code is in the body."""
    if error.code in _REGISTERED:
        return error.code, error.description
    return "invalid_token", error.description


def _with_fields(scheme: str, fields: list[tuple[str, str]]) -> str:
    return f"{scheme} " + ", ".join(f'{name}="{value}"' for name, value in fields)


def _quotable(text: str) -> str:
    # RFC 6750, 3: error_description is %x20-21 / %x23-5B / %x5D-7E. That also keeps out CR and LF.
    return "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in text)


def _body(code: str, description: str) -> bytes:
    return json.dumps({"error": code, "error_description": description}, separators=(",", ":")).encode()


async def send_refusal(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    """Send a refusal; a WebSocket is refused before it is accepted.

    With the ``websocket.http.response`` extension the client receives the status and the challenge (a denial
    response). Without it the handshake ends with 1008, or with 1013 if a retry may succeed.
    """
    if scope["type"] == "websocket":
        message = await receive()  # the server sends websocket.connect before it expects a response
        if message["type"] == "websocket.connect":
            await deny_websocket(scope, send, refusal)
        return
    await _send_response(send, refusal, "http.response", b"" if scope["method"] == "HEAD" else refusal.body)


async def deny_websocket(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Refuse a WebSocket whose ``websocket.connect`` was read, as ``send_refusal`` does."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await _send_response(send, refusal, "websocket.http.response", refusal.body)
    else:
        await send({"type": "websocket.close", "code": refusal.close_code, "reason": refusal.code})


async def _send_response(send: Send, refusal: Refusal, kind: str, body: bytes) -> None:
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": list(refusal.headers)})
    await send({"type": f"{kind}.body", "body": body, "more_body": False})
