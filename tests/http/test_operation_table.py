"""Laws that every row of the table keeps, and the documents made from it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter

from authkit_issuer.config.limits import BUCKETS
from authkit_issuer.errors import AuthError
from authkit_issuer.errors.declared import declared
from authkit_issuer.http import openapi
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import Auth, Body, NoBody, NoParams, Operation, Params
from authkit_issuer.http.pages.docs import Docs
from authkit_issuer.http.route_groups import collect
from authkit_issuer.http.routes.sms_reports import SmsReport
from authkit_issuer.service import Service
from fakes.laws import for_each

DOCS = Docs(OPERATIONS, base_url=None)
ALL = DOCS.operations
OWN = OPERATIONS
READ_ONLY = {"GET"}
UNLIMITED = {
    "GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server",
    "GET /.well-known/openid-configuration", "GET /.well-known/webauthn", "GET /auth/capabilities",
    "GET /auth/client/authkit.d.ts", "GET /auth/client/authkit.js", "GET /auth/client/passkeys.d.ts",
    "GET /auth/client/passkeys.js", "GET /auth/client/passwordless.d.ts",
    "GET /auth/client/passwordless.js", "GET /auth/client/recovery.d.ts", "GET /auth/client/recovery.js",
    "GET /auth/client/{version}/authkit.js", "GET /dev/inbox", "GET /dev/inbox/{id}", "GET /docs",
    "GET /healthz", "GET /openapi.json",
}  # fmt: skip
"""Answered from memory, or to this machine alone."""
WRITING_GETS = {
    "GET /auth/oauth/discord/callback", "GET /auth/oauth/discord/login", "GET /auth/oidc/{provider}/callback",
    "GET /auth/oidc/{provider}/login",
}  # fmt: skip
"""The start and the end of a login in a browser."""


NAMES = [
    "DELETE /auth/admin/users/{user_id}",
    "DELETE /auth/admin/users/{user_id}/passkeys/{passkey_id}",
    "DELETE /auth/admin/users/{user_id}/sessions",
    "DELETE /auth/admin/webhooks/{webhook_id}",
    "DELETE /auth/logout",
    "DELETE /auth/orgs/{org}",
    "DELETE /auth/orgs/{org}/members",
    "DELETE /auth/orgs/{org}/members/{user_id}",
    "DELETE /auth/orgs/{org}/members/{user_id}/roles",
    "DELETE /auth/orgs/{org}/members/{user_id}/roles/{role}",
    "DELETE /auth/orgs/{org}/roles",
    "DELETE /auth/orgs/{org}/roles/{role}",
    "DELETE /auth/passkeys/{passkey_id}",
    "DELETE /auth/user",
    "DELETE /auth/user/2fa/devices/{id}",
    "DELETE /auth/user/2fa/factors/{id}",
    "DELETE /auth/user/email/change",
    "DELETE /auth/user/phone/change",
    "DELETE /auth/user/providers/{provider}",
    "DELETE /auth/user/recovery",
    "DELETE /auth/user/sessions",
    "DELETE /auth/user/sessions/{session_id}",
    "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/webauthn",
    "GET /auth/admin/roles",
    "GET /auth/admin/users",
    "GET /auth/admin/users/deleted",
    "GET /auth/admin/users/{user_id}",
    "GET /auth/admin/users/{user_id}/explain",
    "GET /auth/admin/users/{user_id}/passkeys",
    "GET /auth/admin/users/{user_id}/sessions",
    "GET /auth/admin/users/{user_id}/signins",
    "GET /auth/admin/webhooks",
    "GET /auth/admin/webhooks/{webhook_id}",
    "GET /auth/capabilities",
    "GET /auth/client/authkit.d.ts",
    "GET /auth/client/authkit.js",
    "GET /auth/client/passkeys.d.ts",
    "GET /auth/client/passkeys.js",
    "GET /auth/client/passwordless.d.ts",
    "GET /auth/client/passwordless.js",
    "GET /auth/client/recovery.d.ts",
    "GET /auth/client/recovery.js",
    "GET /auth/client/{version}/authkit.js",
    "GET /auth/oauth/discord/callback",
    "GET /auth/oauth/discord/login",
    "GET /auth/oidc/{provider}/callback",
    "GET /auth/oidc/{provider}/login",
    "GET /auth/org-invites",
    "GET /auth/org-invites/{invite_id}",
    "GET /auth/orgs",
    "GET /auth/orgs/{org}",
    "GET /auth/orgs/{org}/invites",
    "GET /auth/orgs/{org}/members",
    "GET /auth/orgs/{org}/members/{user_id}/roles",
    "GET /auth/orgs/{org}/policy",
    "GET /auth/orgs/{org}/roles",
    "GET /auth/passkeys",
    "GET /auth/user/2fa",
    "GET /auth/user/bootstrap",
    "GET /auth/user/events",
    "GET /auth/user/export",
    "GET /auth/user/me",
    "GET /auth/user/providers",
    "GET /auth/user/recovery",
    "GET /auth/user/sessions",
    "GET /dev/inbox",
    "GET /dev/inbox/{id}",
    "GET /docs",
    "GET /healthz",
    "GET /openapi.json",
    "GET /readyz",
    "PATCH /auth/passkeys/{passkey_id}",
    "PATCH /auth/user/2fa/factors/{id}",
    "PATCH /auth/user/biography",
    "PATCH /auth/user/username",
    "POST /auth/2fa/challenge",
    "POST /auth/2fa/passkey/begin",
    "POST /auth/2fa/passkey/finish",
    "POST /auth/2fa/verify",
    "POST /auth/admin/roles",
    "POST /auth/admin/roles/grant",
    "POST /auth/admin/roles/revoke",
    "POST /auth/admin/users/ban",
    "POST /auth/admin/users/set-email",
    "POST /auth/admin/users/set-password",
    "POST /auth/admin/users/set-username",
    "POST /auth/admin/users/toggle-active",
    "POST /auth/admin/users/unban",
    "POST /auth/admin/users/{user_id}/recover",
    "POST /auth/admin/users/{user_id}/restore",
    "POST /auth/admin/webhooks",
    "POST /auth/admin/webhooks/{webhook_id}/disable",
    "POST /auth/admin/webhooks/{webhook_id}/enable",
    "POST /auth/admin/webhooks/{webhook_id}/replay",
    "POST /auth/admin/webhooks/{webhook_id}/rotate",
    "POST /auth/admin/webhooks/{webhook_id}/test",
    "POST /auth/deleted-account/erase",
    "POST /auth/deleted-account/restore",
    "POST /auth/email/verify/confirm",
    "POST /auth/email/verify/confirm-link",
    "POST /auth/email/verify/not-mine",
    "POST /auth/email/verify/request",
    "POST /auth/introspect",
    "POST /auth/logout",
    "POST /auth/oauth/discord/link/start",
    "POST /auth/oidc/result",
    "POST /auth/oidc/{provider}/callback",
    "POST /auth/oidc/{provider}/link/native/start",
    "POST /auth/oidc/{provider}/link/start",
    "POST /auth/oidc/{provider}/native",
    "POST /auth/oidc/{provider}/native/start",
    "POST /auth/org-invites/{invite_id}/accept",
    "POST /auth/org-invites/{invite_id}/decline",
    "POST /auth/orgs",
    "POST /auth/orgs/{org}/invites",
    "POST /auth/orgs/{org}/invites/{invite_id}/revoke",
    "POST /auth/orgs/{org}/members",
    "POST /auth/orgs/{org}/members/{user_id}/roles",
    "POST /auth/orgs/{org}/rename",
    "POST /auth/orgs/{org}/roles",
    "POST /auth/passkeys/login/begin",
    "POST /auth/passkeys/login/finish",
    "POST /auth/passkeys/register/begin",
    "POST /auth/passkeys/register/finish",
    "POST /auth/passkeys/{passkey_id}/confirm",
    "POST /auth/password/login",
    "POST /auth/password/replace",
    "POST /auth/password/reset/confirm",
    "POST /auth/password/reset/confirm-link",
    "POST /auth/password/reset/request",
    "POST /auth/passwordless/confirm",
    "POST /auth/passwordless/start",
    "POST /auth/phone/password/reset/confirm",
    "POST /auth/phone/password/reset/request",
    "POST /auth/phone/verify/confirm",
    "POST /auth/phone/verify/request",
    "POST /auth/recovery/cancel",
    "POST /auth/recovery/complete",
    "POST /auth/recovery/start",
    "POST /auth/register",
    "POST /auth/register/resend-email",
    "POST /auth/register/resend-phone",
    "POST /auth/revoke",
    "POST /auth/sessions/current",
    "POST /auth/sms/status",
    "POST /auth/solana/challenge",
    "POST /auth/solana/link",
    "POST /auth/solana/login",
    "POST /auth/step-up/2fa",
    "POST /auth/step-up/oidc/{provider}/start",
    "POST /auth/step-up/passkey/begin",
    "POST /auth/step-up/passkey/finish",
    "POST /auth/step-up/password",
    "POST /auth/step-up/solana",
    "POST /auth/token",
    "POST /auth/token/org",
    "POST /auth/user/2fa/confirm",
    "POST /auth/user/2fa/disable",
    "POST /auth/user/2fa/enable",
    "POST /auth/user/2fa/factors",
    "POST /auth/user/2fa/forget-devices",
    "POST /auth/user/2fa/regenerate-codes",
    "POST /auth/user/2fa/start-email",
    "POST /auth/user/2fa/start-phone",
    "POST /auth/user/2fa/totp/begin",
    "POST /auth/user/2fa/totp/confirm",
    "POST /auth/user/email/change/confirm",
    "POST /auth/user/email/change/request",
    "POST /auth/user/email/change/resend",
    "POST /auth/user/password",
    "POST /auth/user/phone/change/confirm",
    "POST /auth/user/phone/change/request",
    "POST /auth/user/phone/change/resend",
    "POST /auth/user/providers/{provider}/confirm",
    "PUT /auth/orgs/{org}/policy",
]


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


every = for_each(ALL, _name)
every_own = for_each(OWN, _name)


def test_these_are_the_operations():
    assert sorted(_name(operation) for operation in ALL) == NAMES


@every
def test_an_operation_states_who_may_call_it(operation):
    assert isinstance(operation.auth, Auth)
    if operation.path.startswith(("/auth/user", "/auth/org", "/auth/step-up")):
        assert operation.auth is Auth.USER
    if operation.path.startswith("/auth/admin/"):
        assert operation.auth is Auth.ADMIN
    if "{org}" in operation.path:
        assert operation.org is not None
    if operation.auth in {Auth.PUBLIC, Auth.OPTIONAL}:
        assert not operation.fresh
        assert operation.org is None


@every
def test_an_operation_has_a_limit_unless_it_is_answered_from_memory(operation):
    assert (operation.limit is None) == (_name(operation) in UNLIMITED)
    if operation.limit is not None:
        assert operation.limit.bucket in BUCKETS
        assert operation.auth.takes_token or not operation.limit.by_user
        assert 429 in openapi.documented_errors(operation)


@every
def test_an_administrators_change_asks_for_a_recent_proof(operation):
    if operation.auth is Auth.ADMIN:
        assert operation.fresh is (operation.method not in READ_ONLY)


@every
def test_an_operation_documents_what_may_go_wrong(operation):
    assert all(issubclass(kind, AuthError) for kind in operation.errors)
    documented = openapi.documented_errors(operation)
    assert documented[500] == ["internal_error"]
    proves = operation.auth.takes_token or operation.auth is Auth.CLIENT
    assert (401 in documented) == (proves or 401 in _own_statuses(operation))
    assert operation.summary
    assert operation.tag


def _own_statuses(operation: Operation) -> set[int]:
    return {400 if operation.oauth else openapi.status_of(kind) for kind in operation.errors}


@every_own
def test_a_handler_is_a_few_lines_that_call_one_method(operation):
    tree = ast.parse(textwrap.dedent(inspect.getsource(operation.handler)))
    function = tree.body[0]
    assert isinstance(function, ast.AsyncFunctionDef)
    assert function.end_lineno is not None
    assert function.end_lineno - function.lineno + 1 <= 13
    calls = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("call.service.")
    ]
    assert len(calls) <= 1


DECLARING = {
    name
    for kind in get_type_hints(Service).values()
    if inspect.isclass(kind) and kind.__module__.startswith("authkit_issuer.domains")
    for name, method in inspect.getmembers(kind, inspect.isfunction)
    if declared(method)
}
"""The names of the methods that declare refusals."""


def _called(handler: Any) -> set[str]:
    """The names of the declaring methods that a handler calls, in its module's own functions as well."""
    module, found, waiting = inspect.getmodule(handler), set(), [handler]
    while waiting:
        tree = ast.parse(textwrap.dedent(inspect.getsource(waiting.pop())))
        for node in ast.walk(tree.body[0]):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                found |= {node.func.attr} & DECLARING
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                helper = getattr(module, node.func.id, None)
                if inspect.isfunction(helper) and helper.__module__ == handler.__module__:
                    waiting.append(helper)
    return found


@every_own
def test_an_operation_documents_the_refusals_of_every_method_its_handler_calls(operation):
    handler = ast.parse(textwrap.dedent(inspect.getsource(operation.handler))).body[0]
    assert isinstance(handler, ast.AsyncFunctionDef)
    named = {
        node.attr
        for decorator in handler.decorator_list
        for node in ast.walk(decorator)
        if isinstance(node, ast.Attribute)
    }
    group = inspect.getsource(inspect.getmodule(operation.handler)).partition("routes = Routes(")[2]
    assert _called(operation.handler) <= named | set(re.findall(r"\w+", group.partition("\n\n")[0]))


def test_every_declared_refusal_has_a_status_of_its_own():
    kinds = {
        error
        for kind in get_type_hints(Service).values()
        if inspect.isclass(kind) and kind.__module__.startswith("authkit_issuer.domains")
        for _, method in inspect.getmembers(kind, inspect.isfunction)
        for error in declared(method)
    }
    assert len(kinds) > 50
    assert {
        kind for kind in kinds if not issubclass(kind, AuthError) or openapi.status_of(kind) == 500
    } == set()


def test_a_route_file_without_operations_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "forgetful"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "orders.py").write_text("def order(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LookupError, match=r"forgetful\.orders has no operations"):
        collect(importlib.import_module("forgetful"))


@every
def test_bodies_are_strict_and_only_what_others_specify_ignores_what_it_does_not_know(operation):
    assert issubclass(operation.body, Body)
    assert issubclass(operation.params, Params)
    assert operation.body.model_config["strict"] is True
    foreign = operation.oauth or operation.form
    unknown = "allow" if operation.body is SmsReport else "ignore" if foreign else "forbid"
    assert operation.body.model_config["extra"] == unknown
    if operation.method in READ_ONLY:
        assert operation.body is NoBody


@every
def test_what_changes_something_is_never_readable_by_other_origins(operation):
    assert not operation.cors or (operation.method in READ_ONLY and operation.auth is Auth.PUBLIC)


@every
def test_a_document_is_for_everybody_and_its_handler_reads_nothing_of_the_caller(operation):
    if not operation.document:
        return
    assert (operation.method, operation.auth, operation.limit, operation.org) == (
        "GET",
        Auth.PUBLIC,
        None,
        None,
    )
    assert (operation.body, operation.params) == (NoBody, NoParams)
    assert "{" not in operation.path
    assert set(re.findall(r"call\.(\w+)", inspect.getsource(operation.handler))) <= {"service", "header"}


@every
def test_secrets_stay_out_of_the_repr_of_bodies(operation):
    secret = {"password", "code", "refresh_token", "token"}
    fields = operation.body.model_fields
    assert all(not fields[name].repr for name in secret & set(fields))


def test_types_that_are_documented_under_one_name_are_one_type():
    kinds = {kind for operation in ALL for kind in (operation.body, operation.params, operation.returns)}
    assert len({kind.__qualname__ for kind in kinds}) == len(kinds)


def test_every_answer_type_can_be_serialized():
    for operation in ALL:
        assert TypeAdapter(operation.returns).json_schema(mode="serialization")
