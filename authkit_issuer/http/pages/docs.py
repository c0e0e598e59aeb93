"""The document and the page that shows it, as operations of the same table."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from authkit_issuer.http import openapi
from authkit_issuer.http.conditional import conditional, etag_of
from authkit_issuer.http.operations import Auth, Operation, Plain
from authkit_issuer.http.pages import html
from authkit_issuer.http.raw_response import RawResponse

_EXAMPLES = {
    "identifier": "ada@example.com", "email": "ada@example.com", "username": "ada_lovelace",
    "password": "correct horse battery", "code": "123456", "grant_type": "refresh_token",
    "refresh_token": "<refresh token>", "registration_id": "<registration id>",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApi:
    """An OpenAPI 3.1 document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class Docs:
    """The documentation of a table of operations, built when it is first asked for."""

    def __init__(
        self, operations: Sequence[Operation], *, base_url: str | None, refresh_cookie: bool = False
    ) -> None:
        """Document these operations and the two added here.

        With ``refresh_cookie`` no answer is said to hold a refresh token.
        """
        self.operations: tuple[Operation, ...] = (
            *operations,
            _page("/openapi.json", "getOpenApi", "This document", self.openapi_json, "application/json"),
            _page("/docs", "getDocs", "A page that lists every operation", self.docs, "text/html"),
        )
        self._base_url = base_url
        self._refresh_cookie = refresh_cookie

    @cached_property
    def document(self) -> dict[str, Any]:
        """The document."""
        return openapi.document(self.operations, base_url=self._base_url, refresh_cookie=self._refresh_cookie)

    @cached_property
    def _json(self) -> tuple[bytes, str]:
        body = json.dumps(self.document, separators=(",", ":")).encode()
        return body, etag_of(body)

    @cached_property
    def _html(self) -> RawResponse:
        return html.render("docs.html", document=self.document, groups=_groups(self.document))

    async def openapi_json(self, call: Plain) -> RawResponse:
        """Return the document, or 304 if the client has it."""
        return conditional(*self._json, call.header(b"if-none-match"))

    async def docs(self, _call: Plain) -> RawResponse:
        """Return the page."""
        return self._html


def _page(path: str, name: str, summary: str, handler: Any, media_type: str) -> Operation:
    return Operation(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        tag="documentation",
        handler=handler,
        returns=OpenApi,
        auth=Auth.PUBLIC,
        limit=None,
        media_types=(media_type,),
        conditional=media_type == "application/json",
    )


def _groups(document: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups[operation["tags"][0]].append(_entry(document, method.upper(), path, operation))
    return list(groups.items())


def _entry(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    fields = _fields(document, operation.get("requestBody", {}))
    form = openapi.FORM in operation.get("requestBody", {"content": {}})["content"]
    responses = operation["responses"].items()
    parameters = [
        _field(entry["name"], entry["schema"], required=entry["required"])
        for entry in operation.get("parameters", ())
    ]
    return {
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "secured": bool(operation["security"]),
        "inputs": parameters + fields,
        "answers": [{"status": status, "description": answer["description"]} for status, answer in responses],
        "outputs": [
            field for status, answer in responses if status < "300" for field in _fields(document, answer)
        ],
        "curl": _curl(method, path, fields, form=form, secured=bool(operation["security"])),
    }


def _fields(document: dict[str, Any], message: dict[str, Any]) -> list[dict[str, Any]]:
    """The members of a request body or of a response, if it is JSON with named ones."""
    for media in message.get("content", {}).values():
        schema = media.get("schema", {})
        target = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
        return [
            _field(name, member, required=name in target.get("required", ()))
            for name, member in target.get("properties", {}).items()
        ]
    return []


def _field(name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    kinds = [schema.get("type"), *(choice.get("type") for choice in schema.get("anyOf", ()))]
    return {
        "name": name,
        "type": " or ".join(kind for kind in kinds if kind and kind != "null"),
        "required": required,
        "description": schema.get("description", ""),
    }


def _curl(method: str, path: str, fields: list[dict[str, Any]], *, form: bool, secured: bool) -> str:
    parts = ["curl"] if method == "GET" else ["curl", "-X", method]
    if secured:
        parts += ["-H", '"Authorization: Bearer $ACCESS_TOKEN"']
    sample = {
        field["name"]: _EXAMPLES[field["name"]]
        for field in fields
        if field["name"] in _EXAMPLES and not (field["name"] == "email" and fields[0]["name"] == "identifier")
    }
    if sample and form:
        parts += [part for pair in sample.items() for part in ("-d", shlex.quote("=".join(pair)))]
    elif sample:
        parts += ["-H", shlex.quote("Content-Type: application/json"), "-d", shlex.quote(json.dumps(sample))]
    return " ".join([*parts, f'"$ISSUER{path}"'])
