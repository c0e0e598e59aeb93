"""The page of events: the audit trail of the issuer and the events of the verifier."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from enum import StrEnum

from authkit_issuer import event_types
from authkit_verify._telemetry import events


def audit_events() -> str:
    """Return the table of the types of the audit trail."""
    return "\n".join(["| Event | Meaning |", "|---|---|", *_rows(event_types.SessionEventType)])


def revoke_reasons() -> str:
    """Return the list of reasons for the end of a session."""
    return ", ".join(f"`{reason}`" for reason in event_types.SessionRevokeReason if reason)


def verifier_events() -> str:
    """Return the table of the kinds of events of a verifier."""
    source = inspect.getsource(events)
    (text,) = re.findall(r'"""Every kind of event\.\n\n(.*?)"""', source, re.DOTALL)
    rows = re.findall(r"^- (.*?): (.*(?:\n  .*)*)", text, re.MULTILINE)
    kinds = [kind for names, _ in rows for kind in re.findall(r"``(\w+)``", names)]
    if sorted(kinds) != sorted(typing.get_args(events.EventKind)):
        raise ValueError("the docstring of EventKind does not have every kind")
    lines = [f"| {names} | {' '.join(meaning.split())} |".replace("``", "`") for names, meaning in rows]
    return "\n".join(["| Event | Meaning |", "|---|---|", *lines])


def _rows(kind: type[StrEnum]) -> Iterator[str]:
    """Yield a row for each member: its value, and the docstring below it or else its name as words."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - the source of a class
    following = [*definition.body[1:], None]
    for statement, after in zip(definition.body, following, strict=True):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            value = kind[statement.targets[0].id].value
            meaning = value.replace("_", " ").capitalize() + "."
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                meaning = " ".join(str(after.value.value).split()).replace("``", "`")
            yield f"| `{value}` | {meaning} |"


REGIONS: dict[str, Callable[[], str]] = {
    "audit events": audit_events,
    "revoke reasons": revoke_reasons,
    "verifier events": verifier_events,
}
