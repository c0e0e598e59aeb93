"""The page of the HTTP operations, from the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.pages.docs import Docs

_CALLERS = {"accessToken": "access token", "client": "client secret"}


def operations() -> str:
    """Return a table of operations for each tag of the document."""
    document = json.loads(json.dumps(Docs(OPERATIONS, base_url=None).document))
    tables: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            row = f"| `{method.upper()} {path}` | {operation['summary']} | {_caller(operation)} |"
            tables.setdefault(operation.get("tags", ["General"])[0], []).append(row)
    return "\n\n".join("\n".join(_table(tag, rows)) for tag, rows in tables.items())


def _table(tag: str, rows: list[str]) -> Iterator[str]:
    yield f"## {tag[:1].upper()}{tag[1:]}\n"
    yield "| Operation | What it does | Caller |"
    yield "|---|---|---|"
    yield from rows


def _caller(operation: dict[str, Any]) -> str:
    ways = operation.get("security", [])
    named = [_CALLERS.get(name, name) for way in ways for name in way]
    return "anyone" if not named else f"{named[0]}, or none" if {} in ways else named[0]


REGIONS: dict[str, Callable[[], str]] = {"operations": operations}
