"""The outermost layer: request ids, headers every answer has, and the end of the road for every failure."""

from __future__ import annotations

import asyncio
import logging
import os
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authkit_issuer.errors import ServerBusy
from authkit_issuer.http.cors import ALLOWED, Origins, origins_of
from authkit_issuer.http.dispatch import REQUEST_ID, send_answer
from authkit_issuer.http.errors import NoSuchRoute, internal, refuse
from authkit_issuer.http.request_body import ClientGone
from authkit_issuer.ports import web_host

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

logger = logging.getLogger("authkit.http")

_FOR_DEVELOPERS = (
    "Nothing is served under this path; /docs lists what is. Links in mails lead to pages of your "
    "application: set link_base_url (AUTHKIT_LINK_BASE_URL) to its address."
)


class Edge:
    """Gives every answer an id, keeps it out of caches unless it says so, and hides what went wrong."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        """Wrap an application; ``origins`` are those whose pages may call it."""
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope[REQUEST_ID] = request_id
        # A list of none or one: Starlette hands copies of the scope on, and what it holds is shared.
        origins = origins_of(scope)
        allowed = scope[ALLOWED] = self._origins.allowed(origins)
        page = web_host.set(self._origins.host(origins))
        try:
            await self._pass(scope, receive, send, request_id, allowed)
        finally:
            web_host.reset(page)

    async def _pass(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, allowed: list[bytes]
    ) -> None:
        started = False

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                complete(message["headers"], request_id)
                self._origins.complete(message["headers"], allowed, scope)
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except ClientGone:
            return
        except asyncio.CancelledError:
            # The process stops and could wait no longer; a repeated request reaches another one.
            if not started:
                await send_answer(send_marked, refuse(ServerBusy(retry_after=1.0), request_id))
            raise
        except Exception:
            logger.exception("request %s failed: %s %s", request_id, scope["method"], _route(scope))
            if started:
                # Half an answer is out: only the server can break the connection so that the client notices.
                raise
            await send_answer(send_marked, internal(request_id), head=scope["method"] == "HEAD")


async def not_found(scope: Scope, _receive: Receive, send: Send) -> None:
    """Refuse a path that no route serves; a websocket is closed."""
    await _refuse_path(scope, send, NoSuchRoute())


async def not_found_in_development(scope: Scope, _receive: Receive, send: Send) -> None:
    """Refuse such a path, and say what a developer who follows a link of a mail is missing."""
    await _refuse_path(scope, send, NoSuchRoute(_FOR_DEVELOPERS))


async def _refuse_path(scope: Scope, send: Send, refusal: NoSuchRoute) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    await send_answer(send, refuse(refusal, scope[REQUEST_ID]), head=scope["method"] == "HEAD")


def request_id_of(scope: Scope) -> str:
    """Return the caller's id when it is one plain word, so that it can stand in logs; else a fresh one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return os.urandom(12).hex()


def _route(scope: Scope) -> str:
    """Return the path as it may stand in a log line: the caller chose it."""
    path: str = scope["path"]
    return "".join(char if char.isprintable() else "?" for char in path[:200])


def complete(headers: list[tuple[bytes, bytes]], request_id: str) -> None:
    """Add the headers that every answer has."""
    if not any(name == b"cache-control" for name, _ in headers):
        headers.append((b"cache-control", b"no-store"))
    headers.append((b"x-content-type-options", b"nosniff"))
    headers.append((b"x-request-id", request_id.encode()))
