"""Read request bodies and queries strictly: bounded, UTF-8, one meaning only.

Everything that two parsers could read in two ways is refused: duplicate members, NaN, lone surrogates, NUL.
No refusal repeats what was sent, except the name of a member.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope

from authkit_issuer.errors import Invalid
from authkit_issuer.http.errors import PayloadTooLarge, RequestTimeout, UnsupportedMediaType
from authkit_issuer.http.operations import NoBody
from authkit_issuer.identifiers import storable

MAX_BODY = 64 * 1024
"""Bytes a request body may have."""
BODY_DEADLINE = 10.0
"""Seconds for a body to arrive, from the moment it is asked for."""
MAX_FIELDS = 100
"""Parameters a form or a query may have."""
MAX_MEMBERS = 64
"""Members a JSON object may have, at any depth; no body of this service needs half as many."""
WHOLE = "authkit.whole_body"
"""The key of the scope under which a server says whether the body is there: then no clock is needed."""
_MAX_PARAM = 64
_NOTHING = NoBody()
_FORM = "application/x-www-form-urlencoded"

Model = TypeVar("Model", bound=BaseModel)


class ClientGone(Exception):
    """The client disconnected before the request was complete: there is nothing to respond to."""


async def read_body(scope: Scope, receive: Receive, model: type[Model], *, form: bool) -> Model:
    """Return the body of a request as a model.

    Raises ``PayloadTooLarge`` above ``MAX_BODY``, counted as it arrives, ``RequestTimeout`` when it is not
    there within ``BODY_DEADLINE`` seconds, ``UnsupportedMediaType``, and
    ``Invalid`` with the name of the offending member where there is one. No body at all is an empty object,
    so that an operation without members takes nothing or ``{}``.
    """
    if model is NoBody and not announces_body(scope["headers"]):
        return cast("Model", _NOTHING)
    headers: dict[bytes, bytes] = dict(scope["headers"])
    collected = _collect(receive, headers.get(b"content-length"))
    raw = await (collected if scope.get(WHOLE) else _in_time(collected))
    if not raw:
        return _validate(model, {})
    if _media_type(headers, form=form) == _FORM:
        # What takes every parameter is signed over every parameter.
        return _validate(model, _pairs(raw, keep_blank=model.model_config.get("extra") == "allow"))
    return _validate(model, _object(raw))


def read_query(scope: Scope, model: type[Model]) -> Model:
    """Return the query of a request as a model; raises ``Invalid``, also for a repeated parameter."""
    return _validate(model, _pairs(scope["query_string"]))


def announces_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """True if a header of a request says that a body follows."""
    # RFC 9112 section 6.3. A body that HTTP/2 leaves unannounced goes unread, where none means anything.
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in headers
    )


async def _in_time(collected: Coroutine[Any, Any, bytes]) -> bytes:
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            return await collected
    except TimeoutError:
        raise RequestTimeout from None


async def _collect(receive: Receive, announced: bytes | None) -> bytes:
    if announced is not None and announced.isdigit() and int(announced[:20]) > MAX_BODY:
        raise PayloadTooLarge
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            raise PayloadTooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _media_type(headers: dict[bytes, bytes], *, form: bool) -> str:
    kind, *parameters = headers.get(b"content-type", b"").decode("latin-1").lower().split(";")
    kind = kind.strip()
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMediaType("The request body must not be compressed.")
    json_like = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    if not json_like and not (form and kind == _FORM):
        raise UnsupportedMediaType
    return kind


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError) as error:  # ValueError: syntax, UTF-8, an integer of 5,000 digits
        raise Invalid("The body is not JSON in UTF-8.") from error
    if not isinstance(found, dict):
        raise Invalid("The body must be a JSON object.")
    members = cast("dict[str, Any]", found)
    # Raw NULs and surrogates do not pass the parser; they can only come in as \u escapes.
    if b"\\u" in raw:
        for name, value in members.items():
            _require_storable(name, value)
    return members


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise Invalid(f"A JSON object may have at most {MAX_MEMBERS} members.")
    return _unique(pairs)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Invalid("Duplicate JSON member.", param=_named(name))
            seen.add(name)
    return members


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse_constant)


def _require_storable(name: str, value: object) -> None:
    """Refuse what PostgreSQL and UTF-8 cannot hold, at any depth."""
    if not storable(name):
        raise Invalid("A member's name contains characters that cannot be stored.")
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(cast("dict[str, object]", item).keys())
            waiting.extend(cast("dict[str, object]", item).values())
        elif isinstance(item, list):
            waiting.extend(cast("list[object]", item))
        elif isinstance(item, str) and not storable(item):
            raise Invalid("Text contains characters that cannot be stored.", param=_named(name))


def _pairs(raw: bytes, *, keep_blank: bool = True) -> dict[str, Any]:
    """Return the pairs of a form or a query; a parameter without a value in a form counts as left out.

    RFC 6749 section 3.2: values may be empty, names must not repeat.
    """
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError as error:
        raise Invalid("The parameters are not in UTF-8, or too many.") from error
    for name, value in pairs:
        _require_storable(name, value)
    members = _unique(pairs)
    return members if keep_blank else {name: value for name, value in members.items() if value}


def _validate(model: type[Model], members: dict[str, Any]) -> Model:
    try:
        return model.model_validate(members)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        first = found[0]
        name = first["loc"][0] if first["loc"] else None
        missing = [str(entry["loc"][-1]) for entry in found if entry["type"] == "missing"]
        text = f"{first['msg']}."
        if first["type"] == "missing":
            text = f"Required: {', '.join(missing)}."
        elif first["type"] == "extra_forbidden":
            text = "Unknown member, or a second name of another one."
        raise Invalid(text, param=_named(name) if isinstance(name, str) else None) from None


def _named(name: str) -> str | None:
    """Return a member's name as far as it may be repeated in a refusal and in a log."""
    return name if len(name) <= _MAX_PARAM and name.isprintable() and storable(name) else None
