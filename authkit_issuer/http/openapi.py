"""The table of operations as an OpenAPI 3.1 document."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Literal

from pydantic import TypeAdapter

from authkit_issuer import errors
from authkit_issuer.errors import AuthError
from authkit_issuer.http.client_address import LoopbackOnly
from authkit_issuer.http.errors import (
    INTERNAL_ERROR,
    InvalidClient,
    InvalidPassword,
    PayloadTooLarge,
    RateLimited,
    StepUpRequired,
    UnsupportedMediaType,
    oauth_code,
    status_of,
    token_error_status,
)
from authkit_issuer.http.operations import Auth, NoBody, NoParams, Operation
from authkit_issuer.http.refusals import SHAPES, VARIANTS, Refusal

VERSION = "0.1.0"
TOKEN_CODES = (
    "missing_token", "invalid_request", "invalid_token", "disallowed_alg", "unknown_kid", "missing_kid",
    "bad_issuer", "bad_audience", "missing_exp", "token_expired", "keys_unavailable",
)  # fmt: skip
"""What the verifier may say about an access token of ours."""

_DESCRIPTION = (
    "Registration, login, sessions and keys. Every refusal has the same body: a stable code in `error`, "
    "a sentence in `error_description`, and the id of the request."
)
_MEANING = {
    200: "Success", 201: "Created", 202: "Accepted", 302: "Redirect", 303: "Redirect", 304: "Not modified",
    400: "Invalid request", 401: "Authentication required", 403: "Forbidden", 404: "Not found",
    409: "Conflict", 413: "Request body too large", 415: "Unsupported media type", 429: "Too many requests",
    500: "Internal server error", 501: "Not configured", 502: "Message not delivered",
    503: "Service unavailable",
}  # fmt: skip
_SECURITY: dict[Auth, list[dict[str, list[str]]]] = {
    Auth.OPTIONAL: [{}, {"accessToken": []}],
    Auth.USER: [{"accessToken": []}],
    Auth.ADMIN: [{"accessToken": []}],
    Auth.CLIENT: [{"client": []}, {}],  # or by members of the body
}
_Mode = Literal["validation", "serialization"]
_PLACE = "#/components/schemas/"
_REFERENCE = re.compile(rf'"{_PLACE}(\w+)"')
FORM = "application/x-www-form-urlencoded"


def document(
    operations: Sequence[Operation], *, base_url: str | None = None, refresh_cookie: bool = False
) -> dict[str, Any]:
    """Return the document; without ``base_url`` its addresses are relative to where it is served.

    With ``refresh_cookie`` no answer holds a refresh token.
    """
    schemas = _Schemas(operations)
    if refresh_cookie:
        schemas.hide("refresh_token")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    schemas.drop_unused(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": "authkit", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": base_url or "."}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {
                "accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "client": {"type": "http", "scheme": "basic"},
            },
        },
    }


def documented_errors(operation: Operation) -> dict[int, list[str]]:
    """Return every code an operation may answer, by status."""
    found: dict[int, list[str]] = {}
    for status, code in (*_own_codes(operation), *_common_codes(operation), (500, INTERNAL_ERROR)):
        codes = found.setdefault(status, [])
        if code not in codes:
            codes.append(code)
    return dict(sorted(found.items()))


def _own_codes(operation: Operation) -> list[tuple[int, str]]:
    out: list[tuple[int, str]] = []
    for named in operation.errors:
        asks_again = operation.auth.takes_token and named is errors.InvalidCredentials
        kind = InvalidPassword if asks_again else named
        code = oauth_code(kind) if operation.oauth else kind.code
        status = status_of(kind, bearer=operation.auth.takes_token)
        out.append((400 if code != kind.code else status, code))
    return out


def _common_codes(operation: Operation) -> list[tuple[int, str]]:
    kinds: list[type[AuthError]] = [errors.Invalid, PayloadTooLarge, UnsupportedMediaType]
    out: list[tuple[int, str]] = []
    if operation.auth.takes_token:
        kinds += [errors.SessionEnded, errors.UserDisabled, errors.DatabaseUnavailable]
        out += [(token_error_status(code), code) for code in TOKEN_CODES]
    if operation.auth is Auth.LOOPBACK:
        kinds.append(LoopbackOnly)
    if operation.auth is Auth.CLIENT:
        kinds.append(InvalidClient)
    if operation.auth is Auth.ADMIN or operation.org in {"owner", "owner_or_self"}:
        kinds.append(errors.Denied)
    if operation.org is not None:
        kinds += [errors.InvalidOrgSlug, errors.OrgNotFound, errors.NotOrgMember]
        kinds += [errors.TwoFactorRequiredByOrg] if operation.org != "any_member" else []
    if operation.fresh:
        kinds.append(StepUpRequired)
    if operation.limit is not None:
        kinds.append(RateLimited)
        if operation.limit.closed:
            kinds.append(errors.EphemeralStoreUnavailable)
    return [(status_of(kind), kind.code) for kind in kinds] + out


class _Schemas:
    """The JSON schemas of every body, query and answer, and the definitions they share."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        inputs: dict[type[Any], _Mode] = dict.fromkeys(SHAPES, "validation")
        for operation in operations:
            inputs[operation.body] = inputs[operation.params] = "validation"
            inputs[operation.returns] = "serialization"
        found, shared = TypeAdapter.json_schemas(
            [(kind.__qualname__, mode, TypeAdapter(kind)) for kind, mode in inputs.items()],
            ref_template=f"{_PLACE}{{model}}",
        )
        self._found = {name: schema for (name, _), schema in found.items()}
        self.definitions: dict[str, Any] = shared.get("$defs", {})
        self._answers = {operation.returns.__qualname__ for operation in operations}
        for schema in self.definitions.values():
            for member in schema.get("properties", {}).values():
                # It only repeats "not required", and generators read it as "always there".
                if member.get("default", ...) is None:
                    del member["default"]
        for operation in operations:
            # A default is how a constant is written; the member is in every answer all the same.
            left_out = {
                field.name
                for field in fields(operation.returns)
                if operation.omit_none and field.default is None
            }
            answer = self.members(operation.returns)
            answer["required"] = [name for name in answer["properties"] if name not in left_out]

    def drop_unused(self, paths: dict[str, Any]) -> None:
        """Leave out the definitions that nothing in the document refers to."""
        used, waiting = set[str](), [json.dumps(paths)]
        while waiting:
            for name in set(_REFERENCE.findall(waiting.pop())) - used:
                used.add(name)
                waiting.append(json.dumps(self.definitions[name]))
        self.definitions = {name: schema for name, schema in self.definitions.items() if name in used}

    def hide(self, member: str) -> None:
        """Take a member out of every answer."""
        for name, schema in self.definitions.items():
            if name in self._answers and member in schema.get("properties", {}):
                del schema["properties"][member]
                schema["required"] = [entry for entry in schema.get("required", ()) if entry != member]

    def ref(self, kind: type[Any]) -> dict[str, Any]:
        """Return the schema of a type, as a reference."""
        return dict(self._found[kind.__qualname__])

    def members(self, kind: type[Any]) -> dict[str, Any]:
        """Return the schema of a type, written out."""
        schema = self.ref(kind)
        target = schema.get("$ref")
        return self.definitions[target.rpartition("/")[2]] if target else schema


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    out: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        # Signing out works by a refresh token in the body alone.
        "security": _SECURITY.get(Auth.OPTIONAL if operation.or_refresh_token else operation.auth, []),
        "responses": _responses(operation, schemas),
    }
    parameters = _parameters(operation, schemas)
    if parameters:
        out["parameters"] = parameters
    if operation.body is not NoBody:
        # One form per operation, since generators trip over two of one schema. OAuth endpoints read JSON as
        # well, but a form is what RFC 6749, 7009 and 7662 say.
        media_type = FORM if operation.oauth or operation.form else "application/json"
        content = {media_type: {"schema": schemas.ref(operation.body)}}
        needed = any(member.is_required() for member in operation.body.model_fields.values())
        out["requestBody"] = {"required": needed, "content": content}
    return out


def _parameters(operation: Operation, schemas: _Schemas) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    if operation.params is NoParams:
        return out
    members = schemas.members(operation.params)
    for name, schema in members.get("properties", {}).items():
        entry = {
            "name": name,
            "in": "query",
            "required": name in members.get("required", ()),
            "schema": _without_null(schema),
        }
        if "description" in schema:
            entry["description"] = schema["description"]
        out.append(entry)
    return out


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    content = {
        media: {
            "schema": schemas.ref(operation.returns) if media == "application/json" else {"type": "string"}
        }
        for media in operation.media_types
    }
    out: dict[str, Any] = {
        str(operation.status): {"description": _MEANING[operation.status], "content": content}
    }
    if operation.redirect is not None:
        place = {"description": "Where the browser goes", "schema": {"type": "string", "format": "uri"}}
        out[str(operation.redirect)] = {
            "description": _MEANING[operation.redirect],
            "headers": {"Location": place},
        }
    if operation.cors or operation.conditional:
        out["304"] = {"description": _MEANING[304]}
    for status, codes in documented_errors(operation).items():
        out[str(status)] = {
            "description": f"{_MEANING[status]}: {', '.join(codes)}",
            "content": {"application/json": {"schema": _refusal(status, codes, schemas)}},
            "x-error-codes": codes,
        }
    return out


def _refusal(status: int, codes: list[str], schemas: _Schemas) -> dict[str, Any]:
    """Return the one schema of refusals, with the variants that a client reads the metadata of."""
    variants = [schemas.ref(VARIANTS[status, code]) for code in codes if (status, code) in VARIANTS]
    return {"anyOf": [*variants, schemas.ref(Refusal)]} if variants else schemas.ref(Refusal)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a query parameter, which can be left out and never be null."""
    kept = {name: value for name, value in schema.items() if name != "default" or value is not None}
    choices = [choice for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        kept |= choices[0]
    return kept
