"""The metadata of a protected resource (RFC 9728): it names the issuers of its tokens to clients.

An MCP client finds the document through ``resource_metadata`` in the challenge of a 401. ``AuthMiddleware``
serves it if it wraps the whole host. If it protects only a part that is mounted below a path, the host serves
the document, which is an ASGI application::

    metadata = ResourceMetadata(resource="https://api.example.com/mcp", authorization_servers=[...])
    routes = [Route(metadata.path, metadata), Mount("/mcp", app=AuthMiddleware(...))]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from authkit_verify._asgi.types import Receive, Scope, Send, route_path

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"public, max-age=300"),
    # The document is public, and clients in browsers read it from other origins.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceMetadata:
    """The published metadata of a protected resource; an ASGI application that serves it.

    Raises:
        ValueError: ``resource`` is not a URL that RFC 9728 allows.
    """

    resource: str
    """The URL of the resource, byte for byte as clients know it; without query and fragment."""
    authorization_servers: Sequence[str]
    """The issuers whose tokens the resource accepts."""
    scopes: Sequence[str] = ()
    """The scopes to publish as ``scopes_supported``. Default none."""
    dpop_algorithms: Sequence[str] = ()
    """The signature algorithms of DPoP proofs (``dpop_signing_alg_values_supported``). Default none."""
    dpop_required: bool = False
    """Publish that every token must be bound to a DPoP key. Default False."""
    certificate_bound: bool = False
    """Publish that tokens are bound to a client certificate (RFC 8705). Default False."""

    def __post_init__(self) -> None:
        """Check the URL (RFC 9728, 1.2); http passes for development."""
        parts = urlsplit(self.resource)
        if parts.scheme not in {"https", "http"} or not parts.netloc or parts.query or "#" in self.resource:
            raise ValueError(
                f"resource must be an https URL without query and fragment, not {self.resource!r}"
            )

    @property
    def url(self) -> str:
        """The URL of the document: the well-known part goes between host and path (RFC 9728, 3.1)."""
        parts = urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}{self.path}"

    @property
    def path(self) -> str:
        """The path of the document on the resource's host."""
        return _WELL_KNOWN + urlsplit(self.resource).path.rstrip("/")

    def is_asked_for(self, scope: Scope) -> bool:
        """True if a request is for the document, under the resource's path or at the root."""
        if _WELL_KNOWN not in scope["path"] or scope["method"] not in _METHODS:
            return False
        paths = {_WELL_KNOWN, self.path, f"{self.path}/"}
        return scope["path"] in paths or route_path(scope) in paths

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Serve the document at any path; a method other than GET, HEAD and OPTIONS is 405."""
        if scope["type"] != "http":
            raise RuntimeError(f"ResourceMetadata is served over http, not {scope['type']}")
        if scope["method"] in _METHODS:
            await self.answer(scope, send)
            return
        headers = [(b"allow", b"GET, HEAD, OPTIONS"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 405, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, scope: Scope, send: Send) -> None:
        """Send the document, or the response to a CORS preflight."""
        preflight = scope["method"] == "OPTIONS"
        body = b"" if preflight else self._document()
        headers = [*_HEADERS, (b"content-length", str(len(body)).encode())]
        status = 204 if preflight else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown, "more_body": False})

    def _document(self) -> bytes:
        document: dict[str, object] = {
            "resource": self.resource,
            "authorization_servers": list(self.authorization_servers),
            "bearer_methods_supported": ["header"],
        }
        if self.scopes:
            document["scopes_supported"] = list(self.scopes)
        if self.dpop_algorithms:
            document["dpop_signing_alg_values_supported"] = list(self.dpop_algorithms)
        if self.dpop_required:
            document["dpop_bound_access_tokens_required"] = True
        if self.certificate_bound:
            document["tls_client_certificate_bound_access_tokens"] = True
        return json.dumps(document, separators=(",", ":")).encode()
