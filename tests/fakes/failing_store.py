"""A store of one-time records that fails at a chosen call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from authkit_issuer.errors import EphemeralStoreUnavailable
from authkit_issuer.ports import EphemeralStore
from fakes.connection_killer import Armed


class FailingStore(Armed):
    """Fails the n-th call since it was armed: before it does anything, or after, when its answer is lost."""

    mode = "memory"

    def __init__(self, store: EphemeralStore) -> None:
        super().__init__()
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(self._store, name)

        async def call(*args: Any, **options: Any) -> Any:
            self.steps += 1
            mine = self.target == self.steps
            self.struck = self.struck or mine
            if mine and self.moment == "before":
                raise EphemeralStoreUnavailable
            result = await real(*args, **options)
            if mine:
                raise EphemeralStoreUnavailable
            return result

        return call
