"""Statements that concurrent callers share as one batch.

Few callers each send the single statement at once: the server works on them side by side. With many, a caller
waits while statements are in flight; the next batch is one statement over arrays, which costs the server
little more than one of them would. The batch skips rows that another transaction has locked, and so never
waits for a lock; a caller it did not serve, for that or for any other reason, runs the single statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from authkit_issuer.errors import AuthError
from authkit_issuer.store.connection import Store
from authkit_issuer.store.query import Query

Row = TypeVar("Row")

BATCH_SIZE = 128
"""Callers per batch, at most."""
BATCH_ABOVE, BATCH_BELOW = 24, 8
"""Batching begins above the first number of concurrent callers, and goes on until the second is reached."""
MAX_IN_FLIGHT = 2
"""Batches in flight at a time: one on the server, one in this process."""
MAX_DELAY = 0.02
"""Seconds after which a batch is sent although the one before it has not returned."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchedQuery(Generic[Row]):
    """One statement in two forms, for one caller and for many.

    ``one`` takes a caller's own arguments and then the common ones, ``many`` an array of each of the own
    arguments and then the common ones. ``key`` names the row a caller wants by its first argument.
    """

    one: Query[Row]
    many: Query[Row]
    key: Callable[[Row], str]


@dataclass(slots=True, eq=False)
class _Caller:
    own: tuple[object, ...]
    result: asyncio.Future[Any]


class BatchedStatements:
    """The batched statements of one service. Only for statements outside of any transaction."""

    def __init__(self, store: Store) -> None:
        """Take the store whose connections the statements run on."""
        self.store = store
        self._batchers: dict[tuple[Any, tuple[object, ...]], _Batcher] = {}

    async def maybe(
        self, query: BatchedQuery[Row], own: tuple[object, ...], common: tuple[object, ...]
    ) -> Row | None:
        """Return the caller's row, or None when there is none; raises as the store does."""
        batcher = self._batchers.get((query, common))
        if batcher is None:
            batcher = self._batchers[query, common] = _Batcher(self.store, query, common)
        row: Row | None = await batcher.run(own)
        return row


class _Batcher:
    """All callers of one statement with the same common arguments."""

    def __init__(self, store: Store, query: BatchedQuery[Any], common: tuple[object, ...]) -> None:
        self._store = store
        self._query = query
        self._common = common
        self._callers = 0
        self._batching = False
        self._in_flight = 0
        self._waiting: dict[object, _Caller] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, own: tuple[object, ...]) -> Any:
        self._callers += 1
        try:
            # Two bounds: between them a shrinking crowd goes on batching, and a growing one does not begin.
            self._batching = self._callers > (BATCH_BELOW if self._batching else BATCH_ABOVE)
            if not self._batching or self._in_flight < MAX_IN_FLIGHT:
                return await self._counted(own)
            return await self._batched(own)
        finally:
            self._callers -= 1

    async def _batched(self, own: tuple[object, ...]) -> Any:
        if own[0] in self._waiting:
            # One statement cannot serve two callers of one row; the second would read what the first left.
            return await self._single(own)
        waiting = _Caller(own, asyncio.get_running_loop().create_future())
        self._waiting[own[0]] = waiting
        if len(self._waiting) >= BATCH_SIZE:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MAX_DELAY, self._flush)
        row = await waiting.result
        return row if row is not None else await self._single(own)

    async def _counted(self, own: tuple[object, ...]) -> Any:
        self._in_flight += 1
        try:
            return await self._single(own)
        finally:
            self._returned()

    async def _single(self, own: tuple[object, ...]) -> Any:
        return await self._store.fetch_one(self._query.one, (*own, *self._common))

    def _returned(self) -> None:
        self._in_flight -= 1
        if self._in_flight < MAX_IN_FLIGHT:
            self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # A caller that was cancelled while it waited is left out.
        batch = [waiting for waiting in self._waiting.values() if not waiting.result.done()]
        self._waiting = {}
        if batch:
            self._in_flight += 1
            task = asyncio.get_running_loop().create_task(self._run_batch(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_batch(self, batch: list[_Caller]) -> None:
        try:
            columns = [list(column) for column in zip(*(waiting.own for waiting in batch), strict=True)]
            rows = await self._store.fetch(self._query.many, (*columns, *self._common))
            by_key = {self._query.key(row): row for row in rows}
            for waiting in batch:
                if not waiting.result.done():
                    waiting.result.set_result(by_key.get(str(waiting.own[0])))
        except Exception as error:  # noqa: BLE001 - raised again in every caller, or in the one it is due to
            for waiting in batch:
                if waiting.result.done():
                    continue
                if isinstance(error, AuthError):
                    waiting.result.set_exception(error)
                else:
                    # A bad value of one caller must not fail the others: each runs the single statement.
                    waiting.result.set_result(None)
        finally:
            for waiting in batch:
                waiting.result.cancel()  # of use only when this task itself was cancelled
            self._returned()
