"""The client for browsers, ``authkit.js``: at a URL that is always the newest, and at one of this content."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.http.assets import (
    CLIENT,
    PASSKEY_TYPES,
    PASSKEYS,
    PASSWORDLESS,
    PASSWORDLESS_TYPES,
    RECOVERY,
    RECOVERY_TYPES,
    TYPES,
    Asset,
)
from authkit_issuer.http.conditional import conditional
from authkit_issuer.http.operations import Auth, Plain, with_passkeys, with_passwordless, with_recovery
from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.route_groups import Routes

_FOREVER = (b"cache-control", b"public, max-age=31536000, immutable")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A text that is served as it is."""

    text: str


routes = Routes(tag="documentation", auth=Auth.PUBLIC, limit=None, returns=SourceFile, cors=True)


@routes.get("/auth/client/authkit.js", "The client for browsers", media_types=("text/javascript",))
async def get_browser_client(call: Plain) -> RawResponse:
    """Return the client, or 304 if the browser has it."""
    return _newest(CLIENT, call)


@routes.get("/auth/client/authkit.d.ts", "The types of the client", media_types=("text/plain",))
async def get_browser_client_types(call: Plain) -> RawResponse:
    """Return the declarations of TypeScript."""
    return _newest(TYPES, call)


@routes.get(
    "/auth/client/passkeys.js",
    "Passkeys for the client for browsers",
    offered=with_passkeys,
    media_types=("text/javascript",),
)
async def get_passkey_client(call: Plain) -> RawResponse:
    """Return the module of passkeys, or 304 if the browser has it."""
    return _newest(PASSKEYS, call)


@routes.get(
    "/auth/client/passkeys.d.ts",
    "The types of the module of passkeys",
    offered=with_passkeys,
    media_types=("text/plain",),
)
async def get_passkey_client_types(call: Plain) -> RawResponse:
    """Return the declarations of TypeScript."""
    return _newest(PASSKEY_TYPES, call)


@routes.get(
    "/auth/client/passwordless.js",
    "Sign-in by a message for the client for browsers",
    offered=with_passwordless,
    media_types=("text/javascript",),
)
async def get_passwordless_client(call: Plain) -> RawResponse:
    """Return the module of sign-ins by a message, or 304 if the browser has it."""
    return _newest(PASSWORDLESS, call)


@routes.get(
    "/auth/client/passwordless.d.ts",
    "The types of the module of sign-ins by a message",
    offered=with_passwordless,
    media_types=("text/plain",),
)
async def get_passwordless_client_types(call: Plain) -> RawResponse:
    """Return the declarations of TypeScript."""
    return _newest(PASSWORDLESS_TYPES, call)


@routes.get(
    "/auth/client/recovery.js",
    "Recovery for the client for browsers",
    offered=with_recovery,
    media_types=("text/javascript",),
)
async def get_recovery_client(call: Plain) -> RawResponse:
    """Return the module of recoveries, or 304 if the browser has it."""
    return _newest(RECOVERY, call)


@routes.get(
    "/auth/client/recovery.d.ts",
    "The types of the module of recoveries",
    offered=with_recovery,
    media_types=("text/plain",),
)
async def get_recovery_client_types(call: Plain) -> RawResponse:
    """Return the declarations of TypeScript."""
    return _newest(RECOVERY_TYPES, call)


@routes.get(
    "/auth/client/{version}/authkit.js",
    "The client for browsers, by the version of its content",
    media_types=("text/javascript",),
    errors=(errors.NotFound,),
)
async def get_pinned_browser_client(call: Plain) -> RawResponse:
    """Return the client of exactly this content."""
    if call.path["version"] != CLIENT.version:
        raise errors.NotFound("This version of the client is not served here; /auth/capabilities names one.")
    headers = ((b"content-type", CLIENT.content_type), _FOREVER, (b"etag", CLIENT.etag.encode()))
    return RawResponse(status=200, headers=headers, body=CLIENT.body)


def _newest(asset: Asset, call: Plain) -> RawResponse:
    kind = (b"content-type", asset.content_type)
    return conditional(asset.body, asset.etag, call.header(b"if-none-match"), content_type=kind)
