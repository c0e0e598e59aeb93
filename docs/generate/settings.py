"""The page of settings, from the fields of ``Config``: default and docstring."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from authkit_issuer import config
from authkit_issuer.config import Config
from authkit_issuer.config.limits import BUCKETS
from authkit_issuer.config.settings import EXAMPLES, REQUIRED, number
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import Limit

_GROUPS = {
    "issuer": "The service",
    "database_url": "Database, Redis and keys",
    "access_token_duration": "Tokens and sessions",
    "verification_required": "Sign-up, contacts and messages",
    "two_factor_ttl": "Second factors and wallets",
    "verification_enforced_since": "Passwords",
    "device_cookie": "Devices",
    "argon2_memory_kib": "Password hashing",
    "trusted_proxies": "HTTP, events and retention",
}
"""The heading above a field and those that follow it in ``Config``."""
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def settings() -> str:
    """Return a section for each group of fields, with a table."""
    meanings = _docstrings()
    lines: list[str] = []
    for entry in dataclasses.fields(Config):
        if entry.name in _GROUPS:
            head = ["", f"## {_GROUPS[entry.name]}", "", "| Field | Default | Meaning |", "|---|---|---|"]
            lines += head if lines else head[1:]
        meaning = meanings[entry.name]
        lines.append(f"| `{entry.name}` | {_default(entry, meaning)} | {_worded(meaning)} |")
    return "\n".join(lines)


def _docstrings() -> dict[str, str]:
    (definition,) = (
        node
        for node in ast.parse(inspect.getsource(config)).body
        if isinstance(node, ast.ClassDef) and node.name == Config.__name__
    )
    return dict(_fields(definition.body))


def _fields(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, after in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(after, ast.Expr)  # noqa: S101 - a field without a docstring has no row
            assert isinstance(after.value, ast.Constant)  # noqa: S101 - as above
            yield statement.target.id, " ".join(str(after.value.value).split())


def _default(entry: dataclasses.Field[Any], meaning: str) -> str:
    if entry.name in EXAMPLES:
        return f"{'required' if entry.name in REQUIRED else 'none'}, such as `{EXAMPLES[entry.name]}`"
    default = entry.default
    if isinstance(default, frozenset):
        return ", ".join(f"`{name}`" for name in sorted(default))
    if isinstance(default, bool) or default is None:
        return f"`{str(default).lower()}`"
    if isinstance(default, int | float):
        return f"`{number(default)}`{_spelled(default) if 'econds' in meaning else ''}"
    return f"`{default}`" if default and default is not dataclasses.MISSING else "empty"


def _spelled(seconds: float) -> str:
    """Return a long time in the largest unit that it is a whole number of."""
    for size, unit in _UNITS:
        if seconds >= 2 * size and seconds % size == 0:
            return f" ({seconds / size:.0f} {unit}s)"
    return ""


def _worded(text: str) -> str:
    """Return a docstring as Markdown, with the values of an environment."""
    text = re.sub(r"(?<![`\w])(None|True|False)(?![`\w])", lambda match: f"`{match[1].lower()}`", text)
    return text.replace("``", "`").replace("|", "\\|")


def required() -> str:
    """Return the settings that a server needs, as lines of an environment."""
    return "\n".join(["```text", *EXAMPLES.values(), "```"])


def buckets() -> str:
    """Return the table of the buckets that operations count in, with their rates."""
    users: dict[str, list[str]] = {}
    counted: dict[str, set[str]] = {}
    for entry in OPERATIONS:
        for bucket in (entry.limit.bucket, entry.limit.texts) if entry.limit else ():
            if bucket:
                users.setdefault(bucket, []).append(f"`{entry.method} {entry.path}`")
                counted.setdefault(bucket, set()).update(_counted(entry.limit))
    rows = [
        f"| `{bucket}` | {BUCKETS[bucket]} | {', '.join(sorted(counted[bucket]))} | {', '.join(paths)} |"
        for bucket, paths in sorted(users.items())
    ]
    return "\n".join(["| Bucket | Rate | Counts by | Operations |", "|---|---|---|---|", *rows])


def _counted(limit: Limit) -> set[str]:
    if limit.refresh_token is not None:
        return {"session"}
    return {"user"} if limit.by_user else {"address", "account"} if limit.account else {"address"}


REGIONS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "required settings": required,
    "buckets": buckets,
}
