"""An ephemeral store with a ``Telemetry``: each call is counted, timed, and a span."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from authkit_issuer import errors
from authkit_issuer.ports import EphemeralStore
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.telemetry import measurements as names

_CALLS = [
    name
    for name, value in vars(EphemeralStore).items()
    if inspect.iscoroutinefunction(value) and name != "aclose"
]
"""The methods that ask the store."""


def measured(store: EphemeralStore, telemetry: Telemetry) -> EphemeralStore:
    """Return the store with every call measured."""
    return cast("EphemeralStore", _Measured(store, telemetry))


class _Measured:
    def __init__(self, store: EphemeralStore, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._system = store.mode
        self.mode = store.mode
        self.aclose = store.aclose
        for call in _CALLS:
            setattr(self, call, partial(self._call, call, getattr(store, call)))

    async def _call(
        self, name: str, call: Callable[..., Awaitable[object]], *args: Any, **options: Any
    ) -> object:
        began = time.perf_counter()
        attributes: dict[str, str | int] = {"db.system.name": self._system, "db.operation.name": name}
        with self._telemetry.span(f"{self._system} {name}", "client", attributes):
            try:
                return await call(*args, **options)
            except errors.Unavailable as error:
                cause = type(error.__cause__ or error).__name__
                self._telemetry.count(names.EPHEMERAL_FAILURES.name, cause=cause)
                raise
            finally:
                self._telemetry.observe(names.EPHEMERAL_CALLS.name, time.perf_counter() - began)
