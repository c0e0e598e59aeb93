"""The one token of a request (RFC 6750, section 2; RFC 9449, section 7.1).

A token comes in exactly one ``Authorization`` header. A WebSocket may also send it in the query or among its
subprotocols, since browsers cannot set headers there; each way only if it is configured. ``_jose.compact``
limits the length of the token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from authkit_verify._asgi.types import Message, Scope, Send
from authkit_verify.errors import TokenError

_BEARER = re.compile(rb"(?i:bearer)(?: +|$)")
_DPOP = re.compile(rb"(?i:dpop)(?: +|$)")
_MISPLACED_DPOP = re.compile(rb"(?i:(?:^|,)[ \t]*dpop(?:[ \t]|$))")
_MISPLACED = re.compile(rb"(?i:(?:^|,)[ \t]*bearer(?:[ \t]|$))")
_HTTP_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def sole_authorization(scope: Scope) -> bytes | None:
    """Return the value of the only ``Authorization`` header of an ASGI scope, or None.

    Raises TokenError ``invalid_request`` if there is a second one.
    """
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None:
                raise TokenError("invalid_request", "more than one Authorization header")
            found = value
    return found


def bearer_token(authorization: bytes | None) -> str | None:
    """Return the token of an ``Authorization`` value; None without a value or with another scheme.

    Raises TokenError ``invalid_request`` if anything but one token follows the scheme, or if the scheme comes
    after another credential: a request with a token is never treated as anonymous.
    """
    if authorization is None:
        return None
    if authorization.startswith(b"Bearer ") and not authorization.startswith(b"Bearer  "):
        start = 7  # the usual spelling
    elif (match := _BEARER.match(authorization)) is not None:
        start = match.end()
    elif _MISPLACED.search(authorization):
        raise TokenError(
            "invalid_request", "the Bearer scheme is not the only scheme, or no space follows it"
        )
    else:
        return None
    return _only(authorization[start:].decode("latin-1"), "Bearer")


def dpop_token(authorization: bytes | None) -> str | None:
    """Return the token of an ``Authorization`` value with the ``DPoP`` scheme; None with another scheme.

    Raises TokenError ``invalid_request`` as ``bearer_token`` does.
    """
    if authorization is None:
        return None
    match = _DPOP.match(authorization)
    if match is not None:
        return _only(authorization[match.end() :].decode("latin-1"), "DPoP")
    if _MISPLACED_DPOP.search(authorization):
        raise TokenError("invalid_request", "the DPoP scheme is not the only scheme, or no space follows it")
    return None


def uses_dpop(scope: Mapping[str, Any]) -> bool:
    """True if the request has a token with the ``DPoP`` scheme, which a refusal then answers with."""
    headers = scope.get("headers") or ()
    return any(name == b"authorization" and _DPOP.match(value) for name, value in headers)


def _only(token: str, scheme: str) -> str:
    """Return the one token after a scheme. Raises TokenError ``invalid_request`` for none and for several."""
    if not token:
        raise TokenError("invalid_request", f"no token follows the {scheme} scheme")
    # No token (RFC 6750, 2.1) holds a separator of two values in one field (RFC 9110, 5.6). Written out:
    # a regular expression takes as long as everything else a request pays for.
    if " " in token or "," in token or "\t" in token or "\n" in token or "\r" in token:
        raise TokenError("invalid_request", f"more than one token after the {scheme} scheme")
    return token


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeSources:
    """The places of a WebSocket handshake that may hold its token, besides the header.

    ``query`` is a query parameter. ``subprotocol`` is a marker that the client offers directly before the
    token: ``new WebSocket(url, ["authkit.bearer", token, "chat"])``.
    """

    query: str | None = None
    subprotocol: str | None = None

    def __post_init__(self) -> None:
        """Check that a client can send the names."""
        if self.query == "":
            raise ValueError("websocket_query is empty: give the name of a query parameter, or None")
        if self.subprotocol is not None and not _HTTP_TOKEN.fullmatch(self.subprotocol):
            raise ValueError(f"websocket_subprotocol must be an HTTP token, not {self.subprotocol!r}")

    def token(self, scope: Scope) -> str | None:
        """Return the token of a handshake, or None.

        Removes the token from ``scope["query_string"]`` and ``scope["subprotocols"]``, so that no application
        can echo or forward it by accident, and no server logs it: uvicorn logs a handshake from this dict.
        Raises TokenError ``invalid_request`` if credentials come in more than one place.
        """
        # First of all, so that no refusal of another place leaves it there.
        given = [] if self.query is None else _take_parameters(scope, self.query)
        tokens = [bearer_token(sole_authorization(scope)), _sole(given)]
        if self.subprotocol is not None:
            tokens.append(self._take_subprotocol(scope))
        found = _sole(token for token in tokens if token is not None)
        if found is not None and uses_dpop(scope):
            raise TokenError("invalid_request", "more than one token")
        return found

    def _take_subprotocol(self, scope: Scope) -> str | None:
        offered: list[str] = list(scope.get("subprotocols") or ())
        if self.subprotocol not in offered:
            return None
        at = offered.index(self.subprotocol)
        if at + 1 == len(offered) or offered.count(self.subprotocol) > 1:
            raise TokenError(
                "invalid_request", "the subprotocol marker must come once, directly before the token"
            )
        token = offered[at + 1]
        scope["subprotocols"] = offered[: at + 1] + offered[at + 2 :]
        scope["headers"] = [(n, v) for n, v in scope["headers"] if n != b"sec-websocket-protocol"]
        return token

    def selecting_marker(self, scope: Scope, send: Send) -> Send:
        """Return a ``send`` that selects the marker if the application accepts without a subprotocol.

        A browser drops a connection whose offered subprotocols were all ignored (WHATWG WebSockets, 2.1).
        """
        marker = self.subprotocol
        if marker is None or marker not in (scope.get("subprotocols") or ()):
            return send

        async def send_accept(message: Message) -> None:
            if message["type"] == "websocket.accept" and message.get("subprotocol") is None:
                message = {**message, "subprotocol": marker}
            await send(message)

        return send_accept


def _take_parameters(scope: Scope, name: str) -> list[str]:
    """Return the values of a query parameter, after removing them from the scope.

    In place, and whatever the spelling of the name: every other parameter stays byte for byte as it came.
    """
    kept: list[bytes] = []
    values: list[str] = []
    for part in scope.get("query_string", b"").split(b"&"):
        # Not parse_qsl: for thousands of parts it takes six times as long.
        spelled, _, value = part.decode("latin-1").partition("=")
        if unquote_plus(spelled) == name:
            values.append(unquote_plus(value))
        else:
            kept.append(part)
    if values:
        scope["query_string"] = b"&".join(kept)
    return values


def _sole(tokens: Iterable[str]) -> str | None:
    found = list(tokens)
    if len(found) > 1:
        raise TokenError("invalid_request", "more than one token")
    if found and not found[0]:
        raise TokenError("invalid_request", "an empty token")
    return found[0] if found else None
