"""The introspection endpoint of a fake issuer (RFC 7662)."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import httpx

from authkit_verify._jose.compact import split
from authkit_verify.config.introspection import Introspection
from authkit_verify.testing._keys import compact


class FakeEndpoint:
    """Answers about opaque tokens and the JWTs of its issuer, to a client that shows its credentials."""

    def __init__(self, issuer: str, is_genuine: Callable[[str], bool], clock: Callable[[], float]) -> None:
        self.url = issuer.rstrip("/") + "/introspect"
        """The URL that the metadata names."""
        self.urls = {httpx.URL(self.url)}
        """Every URL at which it answers."""
        self.client_id = "resource-server"
        """The client that may ask."""
        self.client_secret = "a secret: 100% & more"
        """Its secret, with characters that must be encoded."""
        self.opaque: dict[str, dict[str, Any]] = {}
        """The claims of opaque tokens."""
        self.revoked: set[str] = set()
        """Tokens that are not active any more."""
        self.answer: Callable[[str], httpx.Response] | None = None
        """What it answers about a token instead; None for the true answers."""
        self.asked: list[str] = []
        """The token of each request with the right credentials."""
        self._is_genuine = is_genuine
        self._clock = clock

    def expect(self, settings: Introspection) -> None:
        """Take these credentials, at this URL too."""
        self.client_id, self.client_secret = settings.client_id, settings.client_secret
        if settings.url is not None:
            self.urls.add(httpx.URL(settings.url))

    def respond(self, request: httpx.Request) -> httpx.Response:
        """Return the response to one request."""
        if request.method != "POST":
            return httpx.Response(405)
        form = parse_qs(request.content.decode("ascii"), keep_blank_values=True)
        if _credentials(request, form) != (self.client_id, self.client_secret):
            return httpx.Response(401, headers={"www-authenticate": 'Basic realm="introspection"'})
        tokens = form.get("token", [])
        if len(tokens) != 1:
            return httpx.Response(400, json={"error": "invalid_request"})
        self.asked.append(tokens[0])
        if self.answer is not None:
            return self.answer(tokens[0])
        body = compact(self._claims(tokens[0]))
        return httpx.Response(200, content=body, headers={"content-type": "application/json"})

    def _claims(self, token: str) -> dict[str, Any]:
        known = self.opaque.get(token)
        if known is None and self._is_genuine(token):
            known = json.loads(split(token).payload)
        expired = known is not None and known.get("exp", self._clock()) < self._clock()
        if known is None or expired or token in self.revoked:
            return {"active": False}
        return {"active": True, "token_type": "Bearer"} | known


def _credentials(request: httpx.Request, form: dict[str, list[str]]) -> tuple[str, str]:
    scheme, _, pair = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        name, _, secret = b64decode(pair).decode("ascii").partition(":")
        return unquote_plus(name), unquote_plus(secret)
    return form.get("client_id", [""])[0], form.get("client_secret", [""])[0]
