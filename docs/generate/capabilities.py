"""The Python reference of the issuer: the capabilities of ``Service``, and the other public classes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import get_type_hints

import authkit_issuer
from authkit_issuer import Service

_MANUAL = {"Service", "Config"}
"""Classes with a section of their own on the page."""


def capabilities() -> str:
    """Return a section for each field of ``Service`` that has methods for hosts."""
    hints = get_type_hints(Service, localns=_names_of_types())
    fields = {entry.name: hints[entry.name] for entry in dataclasses.fields(Service)}
    shown = {name: kind for name, kind in fields.items() if ".domains." in getattr(kind, "__module__", "")}
    return "\n\n".join("\n".join(_section(name, kind)) for name, kind in shown.items())


def _names_of_types() -> dict[str, object]:
    """Return what ``Service`` imports for type checkers alone."""
    return {"Self": object, "httpx": object}


def _section(name: str, kind: type) -> Iterator[str]:
    yield f"### service.{name}\n"
    yield f"```{{eval-rst}}\n.. autoclass:: {kind.__module__}.{kind.__qualname__}"
    yield "   :members:\n   :exclude-members: rt\n   :no-index:\n```"


def classes() -> str:
    """Return the other public classes of the package, by name."""
    names = [
        name
        for name in sorted(authkit_issuer.__all__)
        if inspect.isclass(getattr(authkit_issuer, name)) and name not in _MANUAL
    ]
    blocks = [f".. autoclass:: authkit_issuer.{name}\n   :members:\n   :no-index:" for name in names]
    return "```{eval-rst}\n" + "\n\n".join(blocks) + "\n```"


REGIONS: dict[str, Callable[[], str]] = {"capabilities": capabilities, "issuer classes": classes}
