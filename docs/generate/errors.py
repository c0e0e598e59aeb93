"""The page of errors: the codes of the issuer with their status, and the codes of a token."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable

from authkit_issuer import errors
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.errors import INTERNAL_ERROR, status_of, token_error_status
from authkit_verify import errors as token_errors


def issuer_codes() -> str:
    """Return the table of the codes of the issuer, by name."""
    rows = {INTERNAL_ERROR: (500, "Internal server error.")}
    kinds: list[type[errors.AuthError]] = [errors.AuthError]
    assert OPERATIONS  # noqa: S101 - the routes define errors of their own
    while kinds:
        kind = kinds.pop()
        kinds.extend(kind.__subclasses__())
        ours = kind.__module__.startswith("authkit_issuer") and not kind.__name__.startswith("_")
        # A base comes before its leaves, so a code they share keeps the wider meaning.
        if ours and kind is not errors.AuthError and kind.code not in rows:
            rows[kind.code] = (status_of(kind), kind.default)
    lines = [f"| `{code}` | {status} | {text} |" for code, (status, text) in sorted(rows.items())]
    return "\n".join(["| Code | HTTP | Meaning |", "|---|---|---|", *lines])


def token_codes() -> str:
    """Return the table of the codes of a ``TokenError``, in the order of the type."""
    (text,) = re.findall(
        r'"""Every code of a ``TokenError``.*?\n\n(.*?)"""', inspect.getsource(token_errors), re.DOTALL
    )
    rows = dict(re.findall(r"^- ``(\w+)``: (.*(?:\n  .*)*)", text, re.MULTILINE))
    codes = typing.get_args(token_errors.TokenCode)
    if list(rows) != list(codes):
        raise ValueError("the docstring of TokenCode does not have every code, in order")
    lines = [f"| `{code}` | {token_error_status(code)} | {_line(rows[code])} |" for code in codes]
    return "\n".join(["| Code of a token | HTTP | Meaning |", "|---|---|---|", *lines])


def _line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").rstrip(".")


REGIONS: dict[str, Callable[[], str]] = {"issuer codes": issuer_codes, "token codes": token_codes}
