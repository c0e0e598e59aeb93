"""The client for browsers, ``authkit.js``: at a URL that is always the newest, and at one of this content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authkit_issuer import errors
from authkit_issuer.http.assets import CLIENT, PASSKEYS, PASSWORDLESS, RECOVERY, Asset, Module
from authkit_issuer.http.conditional import conditional
from authkit_issuer.http.operations import Auth, Plain, with_passkeys, with_passwordless, with_recovery
from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.route_groups import Routes

if TYPE_CHECKING:
    from authkit_issuer.service import Service

_FOREVER = (b"cache-control", b"public, max-age=31536000, immutable")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A text that is served as it is."""

    text: str


routes = Routes(tag="documentation", auth=Auth.PUBLIC, limit=None, returns=SourceFile, cors=True)


def _serve(
    module: Module,
    name: str,
    summary: str,
    types_summary: str,
    offered: Callable[[Service], bool] | None = None,
) -> None:
    """Add the operations of a module: ``name`` returns the script, and with ``Types`` the declarations."""
    path = f"/auth/client/{module.name}"

    @routes.get(f"{path}.js", summary, name=name, offered=offered, media_types=("text/javascript",))
    async def get_script(call: Plain) -> RawResponse:
        return _newest(module.script, call)

    @routes.get(
        f"{path}.d.ts", types_summary, name=f"{name}Types", offered=offered, media_types=("text/plain",)
    )
    async def get_types(call: Plain) -> RawResponse:
        return _newest(module.types, call)


_serve(CLIENT, "getBrowserClient", "The client for browsers", "The types of the client")
_serve(
    PASSKEYS,
    "getPasskeyClient",
    "Passkeys for the client for browsers",
    "The types of the module of passkeys",
    with_passkeys,
)
_serve(
    PASSWORDLESS,
    "getPasswordlessClient",
    "Sign-in by a message for the client for browsers",
    "The types of the module of sign-ins by a message",
    with_passwordless,
)
_serve(
    RECOVERY,
    "getRecoveryClient",
    "Recovery for the client for browsers",
    "The types of the module of recoveries",
    with_recovery,
)


@routes.get(
    "/auth/client/{version}/authkit.js",
    "The client for browsers, by the version of its content",
    media_types=("text/javascript",),
    errors=(errors.NotFound,),
)
async def get_pinned_browser_client(call: Plain) -> RawResponse:
    """Return the client of exactly this content."""
    if call.path["version"] != CLIENT.script.version:
        raise errors.NotFound("This version of the client is not served here; /auth/capabilities names one.")
    script = CLIENT.script
    headers = ((b"content-type", script.content_type), _FOREVER, (b"etag", script.etag.encode()))
    return RawResponse(status=200, headers=headers, body=script.body)


def _newest(asset: Asset, call: Plain) -> RawResponse:
    kind = (b"content-type", asset.content_type)
    return conditional(asset.body, asset.etag, call.header(b"if-none-match"), content_type=kind)
