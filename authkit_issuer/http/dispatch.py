"""Answer requests from the table of operations.

Per request: limit, guard, body, query, handler, serialization. The limit and the guard come first, so that
the body of an unauthenticated request is not read where an access token is required. After a body that was
slow to arrive the guard is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter
from starlette.types import Receive, Scope, Send

from authkit_issuer.config.trusted_proxies import TrustedProxies
from authkit_issuer.errors import (
    AuthError,
    InvalidCredentials,
    Limited,
    TwoFactorEnrollmentRequired,
    TwoFactorRequired,
    Unauthenticated,
    UserBanned,
)
from authkit_issuer.http import client_address, guards, rate_limits, recent_auth
from authkit_issuer.http.cookies import CookieJar
from authkit_issuer.http.cors import ALLOWED, ANY_ORIGIN, preflight
from authkit_issuer.http.errors import InvalidPassword, MethodNotAllowed, refuse, whole_seconds
from authkit_issuer.http.failure_log import FailureLog
from authkit_issuer.http.languages import MAX_HEADER, preferred
from authkit_issuer.http.measured import measured
from authkit_issuer.http.operations import Auth, Body, Call, NoBody, NoParams, Operation, Params
from authkit_issuer.http.pages import html
from authkit_issuer.http.raw_response import JSON, HeaderList, Headers, RawResponse
from authkit_issuer.http.request_body import announces_body, read_body, read_query
from authkit_issuer.identifiers import is_phone
from authkit_issuer.ports import Client, language
from authkit_issuer.telemetry.measurements import REFUSALS
from authkit_verify import TokenError

if TYPE_CHECKING:
    from authkit_issuer.domains.orgs.service import Org
    from authkit_issuer.domains.sessions.service import AuthenticatedSession
    from authkit_issuer.http.cookies import DeviceCookie, FlowCookie, RefreshCookie
    from authkit_issuer.ports.telemetry import Telemetry
    from authkit_issuer.service import Service

REQUEST_ID = "authkit.request_id"
"""The key of the scope under which the edge leaves the id of the request."""

SLOW_BODY = 0.05
"""Seconds after which a body is late: its sender chooses the moment, and may have lost the right since."""

_NO_CACHE: Headers = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
_NOTHING = NoParams()
_NO_BODY = NoBody()
_REFRESH_TOKEN = {"refresh_token"}


@cache
def _adapter(returns: Any) -> TypeAdapter[object]:
    """Return what writes answers of a type; making one is most of the work of making an application."""
    return TypeAdapter(returns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What the operations of one application share."""

    service: Service
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    languages: tuple[str, ...] = ()
    cookie: RefreshCookie | None = None
    device_cookie: DeviceCookie | None = None
    flow_cookie: FlowCookie | None = None
    failures: FailureLog = field(default_factory=FailureLog)
    telemetry: Telemetry | None = None


class Runner:
    """Runs one operation."""

    def __init__(self, surface: Surface, operation: Operation) -> None:
        """Prepare everything that does not depend on the request."""
        self.operation = operation
        self._surface = surface
        self._adapter = _adapter(cast("Hashable", operation.returns))
        always = _NO_CACHE if operation.gives_tokens else ()
        self._always = always + (ANY_ORIGIN if operation.cors else ())
        self._success = (JSON, *self._always)
        self._takes_token = operation.auth.takes_token
        self._cookie = surface.cookie if operation.gives_refresh_token else None

    async def run(self, scope: Scope, receive: Receive) -> RawResponse:
        """Return the answer; what is not a refusal of ours is raised."""
        telemetry = self._surface.telemetry
        if telemetry is None:
            return await self._run(scope, receive)
        known = client_address.comes_from(scope, self._surface.trusted)
        answering = self._run(scope, receive)
        return await measured(telemetry, scope, self.operation.path, answering, has_parent=known)

    async def _run(self, scope: Scope, receive: Receive) -> RawResponse:
        operation, surface, extra = self.operation, self._surface, list[tuple[bytes, bytes]]()
        cookies = CookieJar(
            request_headers=tuple(scope["headers"]),
            response_headers=extra,
            root_path=scope.get("root_path", ""),
            path=scope["path"],
            refresh=surface.cookie,
            device=surface.device_cookie,
            flow=surface.flow_cookie,
        )
        spoken, call = language.set(self._language(scope)), None
        try:
            call = await self._call(scope, receive, cookies)
            result = await operation.handler(call)
            await self._give_back(call)
        except (AuthError, TokenError) as error:
            if call is not None and isinstance(error, TwoFactorRequired | TwoFactorEnrollmentRequired):
                await self._give_back(call)
            self._forget(error, cookies)
            if isinstance(error, Limited):
                _complete(error, extra)
            answer = self._refuse(error, scope[REQUEST_ID])
            if self._shows_page(scope, cookies.request_headers):
                answer = html.refusal(answer, error.description, scope[REQUEST_ID])
            return _with(answer, *self._always, *extra)
        finally:
            language.reset(spoken)
        self._remember(result, cookies)
        if isinstance(result, RawResponse):
            return _with(result, *self._always, *extra)
        hidden = _REFRESH_TOKEN if self._cookie else None
        body = self._adapter.dump_json(result, exclude_none=operation.omit_none, exclude=hidden)
        return RawResponse(status=operation.status, headers=(*self._success, *extra), body=body)

    async def _call(self, scope: Scope, receive: Receive, cookies: CookieJar) -> Call[Any, Any]:
        operation, surface, extra = self.operation, self._surface, cookies.response_headers
        if operation.document and not announces_body(scope["headers"]):
            return self._call_of(scope, cookies, Client(), _NO_BODY, _NOTHING)
        client = client_address.client_facts(scope, surface.trusted, cookies.device_token())
        caller, refused = await self._identify(scope, client, extra)
        is_client = operation.auth is Auth.CLIENT
        clients = surface.service.config.introspection_clients if is_client else {}
        by_header = is_client and guards.require_client_by_header(clients, scope)
        org, now = await self._org(scope, caller), asyncio.get_running_loop().time
        begun = now()
        body = await self._read_body(scope, receive, cookies, client)
        if caller is not None and not operation.or_refresh_token and now() - begun > SLOW_BODY:
            caller = await self._authenticate_again(scope)
            org = await self._org(scope, caller)
        if is_client:
            guards.require_client_by_body(clients, body, by_header=by_header)
        if refused is not None and not cookies.has_refresh_token(getattr(body, "refresh_token", None)):
            raise refused
        params = _NOTHING if operation.params is NoParams else read_query(scope, operation.params)
        await self._count_named(body, client, extra)
        return self._call_of(scope, cookies, client, body, params, caller=caller, org=org)

    def _call_of(
        self, scope: Scope, cookies: CookieJar, client: Client, body: Body, params: Params, **known: Any
    ) -> Call[Any, Any]:
        return Call(
            service=self._surface.service,
            client=client,
            body=body,
            params=params,
            path=scope["path_params"],
            headers=cookies.request_headers,
            cookies=cookies,
            response_headers=cookies.response_headers,
            **known,
        )

    async def _count_named(self, body: Any, client: Client, extra: HeaderList) -> None:
        """Count the call for the account or the phone number that its body names."""
        service, limit = self._surface.service, self.operation.limit
        if limit is not None and limit.account is not None:
            await rate_limits.count_account(service, limit, limit.account(body), client, extra)
        if limit is not None and limit.texts and is_phone(body.identifier):
            await rate_limits.count_address(service, replace(limit, bucket=limit.texts), client.ip, extra)

    async def _read_body(self, scope: Scope, receive: Receive, cookies: CookieJar, client: Client) -> Any:
        """Return the body; counts the call here where it is about the session of a refresh token."""
        operation, service, limit = self.operation, self._surface.service, self.operation.limit
        form = operation.oauth or operation.form
        if limit is None or limit.refresh_token is None:
            return await read_body(scope, receive, operation.body, form=form)
        extra = cookies.response_headers
        try:
            body = await read_body(scope, receive, operation.body, form=form)
        except AuthError:
            await rate_limits.count_address(service, limit, client.ip, extra)
            raise
        token = cookies.peek_refresh_token(limit.refresh_token(body))
        session_id = service.sessions.session_id_of(token) if token else None
        if session_id is None:
            await rate_limits.count_address(service, limit, client.ip, extra)
        else:
            await rate_limits.count_session(service, limit, session_id, extra)
        return body

    async def _identify(
        self, scope: Scope, client: Client, extra: HeaderList
    ) -> tuple[AuthenticatedSession | None, AuthError | TokenError | None]:
        """Return the caller, or the refusal that counts unless the request brings a refresh token."""
        try:
            return await self._admit(scope, client, extra), None
        except (TokenError, Unauthenticated) as error:
            if not self.operation.or_refresh_token:
                raise
            return None, error

    async def _admit(self, scope: Scope, client: Client, extra: HeaderList) -> AuthenticatedSession | None:
        operation, service, limit = self.operation, self._surface.service, self.operation.limit
        if limit is not None and not limit.by_user and limit.refresh_token is None:
            await rate_limits.count_address(service, limit, client.ip, extra)
        if operation.auth is Auth.LOOPBACK:
            client_address.require_loopback(scope)
        if operation.auth is Auth.OPTIONAL:
            return await guards.authenticate_if_possible(service, scope)
        if not self._takes_token:
            return None
        account = await self._authenticate(service, scope)
        if limit is not None and limit.by_user:
            await rate_limits.count_user(service, limit, account.id, extra)
        await self._require_rights(account)
        return account

    async def _authenticate_again(self, scope: Scope) -> AuthenticatedSession | None:
        """Return the caller as of now, after a late body; counts nothing."""
        if self.operation.auth is Auth.OPTIONAL:
            return await guards.authenticate_if_possible(self._surface.service, scope)
        account = await self._authenticate(self._surface.service, scope)
        await self._require_rights(account)
        return account

    async def _authenticate(self, service: Service, scope: Scope) -> AuthenticatedSession:
        enrolls = self.operation.enrolls
        if callable(enrolls):
            enrolls = enrolls(service)
        return await (guards.authenticate_enrollment if enrolls else guards.authenticate)(service, scope)

    async def _require_rights(self, account: AuthenticatedSession) -> None:
        operation = self.operation
        if operation.auth is Auth.ADMIN:
            guards.require_admin(account)
        if operation.fresh is True or (operation.fresh and operation.fresh(account)):
            await recent_auth.require_recent_auth(self._surface.service, account)

    async def _org(self, scope: Scope, caller: AuthenticatedSession | None) -> Org | None:
        """Return the organization of the path, which the caller is let into; None if the path has none."""
        gate = self.operation.org
        if gate is None or caller is None:
            return None
        return await guards.admit_to_org(self._surface.service, caller, gate, scope["path_params"])

    async def _give_back(self, call: Call[Any, Any]) -> None:
        limit = self.operation.limit
        if limit is None or not limit.gives_back:
            return
        user_id = call.caller.id if call.caller else ""
        named = limit.account(call.body) if limit.account else ""
        await rate_limits.give_back(call.service, limit, call.client, user_id, named)

    def _refuse(self, error: AuthError | TokenError, request_id: str) -> RawResponse:
        operation = self.operation
        if self._takes_token and type(error) is InvalidCredentials:
            # The token is good: a 401 would make clients refresh it and ask again, in a loop.
            error = InvalidPassword()
        answer = refuse(error, request_id, bearer=self._takes_token, oauth=operation.oauth)
        telemetry = self._surface.telemetry
        if telemetry is not None:
            telemetry.count(REFUSALS.name, status=str(answer.status), code=error.code)
        if answer.status >= 500:
            self._surface.failures.note(request_id, f"{operation.method} {operation.path}", error)
        return answer

    def _shows_page(self, scope: Scope, headers: Headers) -> bool:
        """True if a person reads the answer: a browser that navigates, not a script of the app."""
        if "text/html" not in self.operation.media_types or b"format=json" in scope["query_string"]:
            return False
        accept = b",".join(value for name, value in headers if name == b"accept").decode("latin-1")
        return html.wanted(accept) and "application/json" not in accept.lower()

    def _remember(self, result: Any, cookies: CookieJar) -> None:
        """Put the refresh token of a response into the cookie; clear the cookie after a sign-out."""
        if self._cookie and not isinstance(result, RawResponse) and result.refresh_token:
            cookies.keep(result.refresh_token)
        elif self.operation.signs_out:
            cookies.signed_out()

    def _forget(self, error: AuthError | TokenError, cookies: CookieJar) -> None:
        # A lost response is forgiven (``refresh_rotation_grace``): what is refused from the cookie is dead.
        banned = self._cookie is not None and self.operation.oauth and isinstance(error, UserBanned)
        if banned or (cookies.used and isinstance(error, Unauthenticated)):
            cookies.signed_out()

    def _language(self, scope: Scope) -> str:
        found = [value for name, value in scope["headers"] if name == b"accept-language"]
        # Cut here: what is remembered of them is remembered by the whole text.
        asked = b",".join(found)[:MAX_HEADER].decode("latin-1")
        return preferred(asked, self._surface.languages) if found else ""


def _complete(error: Limited, extra: HeaderList) -> None:
    """Say when to come back; what the bucket of the operation still allows is not the answer to that."""
    error.metadata.setdefault("retry_after_seconds", whole_seconds(error.retry_after))
    if "action" not in error.metadata:
        extra[:] = [field for field in extra if not field[0].startswith(b"ratelimit-")]


def _with(answer: RawResponse, *headers: tuple[bytes, bytes]) -> RawResponse:
    if not headers:
        return answer
    return RawResponse(status=answer.status, headers=answer.headers + headers, body=answer.body)


class Path:
    """All operations of one path, as an ASGI application."""

    def __init__(self, runners: Sequence[Runner]) -> None:
        """Take the runners of a path, one per method."""
        self._runners: dict[str, Runner] = {runner.operation.method: runner for runner in runners}
        found = self._runners.get("GET")
        # A browser's way through a login uses up what it brings, and HEAD must change nothing.
        if found is not None and found.operation.redirect is None:
            self._runners["HEAD"] = found
        methods = [*self._runners, "OPTIONS"]
        self._allow = (b"allow", ", ".join(sorted(methods)).encode())
        self._methods = b", ".join(sorted(name.encode() for name in methods if name != "OPTIONS"))
        served = [name for name in methods if name not in {"HEAD", "OPTIONS"}]
        self._refusal = f"Method not allowed. Use {' or '.join(sorted(served))}."
        self._public = any(runner.operation.cors for runner in runners)
        self._local = any(runner.operation.auth is Auth.LOOPBACK for runner in runners)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        if self._local:
            # No page of another origin, named or not, is on this machine.
            scope[ALLOWED].clear()
        runner = self._runners.get(method)
        if runner is not None:
            answer = await runner.run(scope, receive)
        elif method == "OPTIONS":
            told = preflight(scope, self._methods, public=self._public)
            answer = RawResponse(status=204, headers=(self._allow, *told), body=b"")
        else:
            refusal = refuse(MethodNotAllowed(self._refusal), scope[REQUEST_ID])
            answer = RawResponse(status=405, headers=(*refusal.headers, self._allow), body=refusal.body)
        await send_answer(send, answer, head=method == "HEAD")


async def send_answer(send: Send, answer: RawResponse, *, head: bool = False) -> None:
    """Send an answer; to HEAD without its body, the length kept (RFC 9110 section 9.3.2)."""
    headers = list(answer.headers)
    if answer.status not in {204, 304}:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
