"""Verify JWT access tokens from many issuers in any ASGI application."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authkit_verify._asgi.library import *  # noqa: F403 - the package has the same public names
    from authkit_verify._asgi.library import __all__ as __all__

# Every import of a module below runs this one first, and the commands of the issuer need none of the names.


def __getattr__(name: str) -> object:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    # Kept, so that the next use is a plain attribute.
    found = globals()[name] = getattr(import_module(f"{__name__}._asgi.library"), name)
    return found


def __dir__() -> list[str]:
    return list(import_module(f"{__name__}._asgi.library").__all__)
