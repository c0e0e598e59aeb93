"""What the ephemeral store returned, read: bytes that this service cannot have written are its failure.

Another program may write below ``key_prefix``, or another release of this one. To take that for "absent" or
"zero" would be an answer, and an unexpected exception would be a defect.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from authkit_issuer import errors

Value = TypeVar("Value")


def text(stored: bytes | None) -> str:
    """Return the stored text; ``""`` without one.

    Raises:
        EphemeralStoreUnavailable: It is none.
    """
    with reading("text"):
        found = "" if stored is None else stored.decode("ascii")
        if not found.isprintable():
            raise ValueError
        return found


def count(stored: bytes | None) -> int:
    """Return the stored count; 0 without one.

    Raises:
        EphemeralStoreUnavailable: It is none.
    """
    with reading("count"):
        return 0 if stored is None else int(stored)


def moment(stored: bytes) -> float:
    """Return the stored time in Unix seconds.

    Raises:
        EphemeralStoreUnavailable: It is none.
    """
    with reading("time"):
        found = float(stored)
        if not math.isfinite(found):
            raise ValueError
        return found


def record(stored: bytes, kind: type[Value]) -> Value:
    """Return the stored record of this kind.

    Raises:
        EphemeralStoreUnavailable: It is none.
    """
    with reading("record"):
        return msgspec.json.decode(stored, type=kind)


@contextmanager
def reading(what: str) -> Generator[None]:
    """Make a failure to read ``what``, a kind of value, that of the store."""
    try:
        yield
    except (ValueError, TypeError, KeyError, msgspec.MsgspecError) as error:
        # Not chained, and the class alone: the text may quote the value.
        reason = f"another program wrote to it: a key holds no {what} ({type(error).__name__})"
        raise errors.EphemeralStoreUnavailable().because(reason) from None
