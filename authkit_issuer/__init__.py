"""The issuer as a library: accounts, sessions and access tokens over PostgreSQL.

``Service`` is the whole of it; refusals are the classes of ``authkit_issuer.errors``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authkit_issuer.library import *  # noqa: F403 - the package has the same public names
    from authkit_issuer.library import __all__ as __all__

# Every import of a module below runs this one first. The library is half of the start of a process, and most
# commands need none of it.


def __getattr__(name: str) -> object:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    # Kept, so that the next use is a plain attribute.
    found = globals()[name] = getattr(import_module(f"{__name__}.library"), name)
    return found


def __dir__() -> list[str]:
    return list(import_module(f"{__name__}.library").__all__)
