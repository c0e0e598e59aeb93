"""The forms in which issuers write one text, several texts and scopes.

``_policy.verified_claims`` says which claim is read, ``claim_paths`` how a mapped one is found.
"""

from __future__ import annotations

from typing import Any

_ONLY_TEXTS = frozenset({str})


def text(value: Any) -> str | None:
    """Return a non-empty string; None for any other value."""
    return value if type(value) is str and value else None


def texts(value: Any) -> tuple[str, ...]:
    """Return the strings of a list; a string alone is one of them, and is not split."""
    kind = type(value)
    if kind is str:
        return (value,) if value else ()
    if kind is not list:
        return ()
    if _ONLY_TEXTS.issuperset(map(type, value)):
        return tuple(value)
    return tuple([item for item in value if type(item) is str])


def scopes(value: Any) -> tuple[str, ...]:
    """Return the scopes of a claim: of a string with blanks between them, or of a list."""
    # RFC 8693, 4.2: one string, separated by spaces, and by nothing else that Python takes for white space.
    return tuple(filter(None, value.split(" "))) if type(value) is str else texts(value)
