"""Answer requests from the table of operations.

Per request: guard, body, query, handler, serialisation. The guard comes first, so that a stranger's body is
not even read where an access token is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from starlette.types import Receive, Scope, Send

from authkit_issuer.errors import AuthError
from authkit_issuer.http import guards
from authkit_issuer.http.errors import MethodNotAllowed, refuse
from authkit_issuer.http.reading import read_body, read_query
from authkit_issuer.http.routing import JSON, Answer, AnyOperation, Auth, Call, Headers, NoParams
from authkit_verify import TokenError

if TYPE_CHECKING:
    from authkit_issuer.capabilities.sessions import Account
    from authkit_issuer.service import Service

REQUEST_ID = "authkit.request_id"
"""The key of the scope under which the edge leaves the id of the request."""

logger = logging.getLogger("authkit.http")

_NO_CACHE: Headers = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
_ANY_ORIGIN: Headers = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"etag, x-request-id"),
)
_PREFLIGHT: Headers = (
    (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"if-none-match, x-request-id"),
    (b"access-control-max-age", b"7200"),
)
_NOTHING = NoParams()


class Runner:
    """Runs one operation."""

    def __init__(
        self, service: Service, operation: AnyOperation, trusted: tuple[guards.Network, ...]
    ) -> None:
        """Prepare everything that does not depend on the request."""
        self.operation = operation
        self._service = service
        self._trusted = trusted
        self._adapter: TypeAdapter[object] = TypeAdapter(operation.returns)
        always = _NO_CACHE if operation.gives_tokens else ()
        self._always = always + (_ANY_ORIGIN if operation.cors else ())
        self._success = (JSON, *self._always)

    async def run(self, scope: Scope, receive: Receive) -> Answer:
        """Return the answer; what is not a refusal of ours is raised."""
        operation = self.operation
        try:
            result = await operation.handler(await self._call(scope, receive))
        except (AuthError, TokenError) as error:
            return self._with_headers(self._refuse(error, scope[REQUEST_ID]))
        if isinstance(result, Answer):
            return self._with_headers(result)
        body = self._adapter.dump_json(result, exclude_none=operation.omit_none)
        return Answer(status=operation.status, headers=self._success, body=body)

    async def _call(self, scope: Scope, receive: Receive) -> Call[Any, Any]:
        operation = self.operation
        caller = await self._admit(scope)
        body = await read_body(scope, receive, operation.body, form=operation.oauth)
        params = _NOTHING if operation.params is NoParams else read_query(scope, operation.params)
        return Call(
            service=self._service,
            client=guards.client_facts(scope, self._trusted),
            body=body,
            params=params,
            path=scope["path_params"],
            headers=tuple(scope["headers"]),
            caller=caller,
        )

    async def _admit(self, scope: Scope) -> Account | None:
        if self.operation.auth is Auth.USER:
            return await guards.authenticate(self._service, scope)
        if self.operation.auth is Auth.LOOPBACK:
            guards.require_loopback(scope)
        return None

    def _refuse(self, error: AuthError | TokenError, request_id: str) -> Answer:
        operation = self.operation
        answer = refuse(error, request_id, bearer=operation.auth is Auth.USER, oauth=operation.oauth)
        if answer.status >= 500:
            logger.warning(
                "request %s: %s %s is %s", request_id, operation.method, operation.path, error.code
            )
        return answer

    def _with_headers(self, answer: Answer) -> Answer:
        if not self._always:
            return answer
        return Answer(status=answer.status, headers=answer.headers + self._always, body=answer.body)


class Path:
    """All operations of one path, as an ASGI application."""

    def __init__(self, runners: Sequence[Runner]) -> None:
        """Take the runners of a path, one per method."""
        self._runners = {runner.operation.method: runner for runner in runners}
        methods = [*self._runners, *(["HEAD"] if "GET" in self._runners else []), "OPTIONS"]
        self._allow = (b"allow", ", ".join(sorted(methods)).encode())
        self._cors = any(runner.operation.cors for runner in runners)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        runner = self._runners.get("GET" if method == "HEAD" else method)
        if runner is not None:
            answer = await runner.run(scope, receive)
        elif method == "OPTIONS":
            cors = _ANY_ORIGIN + _PREFLIGHT if self._cors else ()
            answer = Answer(status=204, headers=(self._allow, *cors), body=b"")
        else:
            refusal = refuse(MethodNotAllowed(), scope[REQUEST_ID])
            answer = Answer(status=405, headers=(*refusal.headers, self._allow), body=refusal.body)
        await send_answer(send, answer, head=method == "HEAD")


async def send_answer(send: Send, answer: Answer, *, head: bool = False) -> None:
    """Send an answer; to HEAD without its body, the length kept (RFC 9110 section 9.3.2)."""
    headers = list(answer.headers)
    if answer.status not in {204, 304}:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
