"""Lanes: a bounded number of threads for costly work, with a queue that is fair and honest about being full.

Work is admitted by lane and by memory. Whoever finds no room waits in a queue of its client prefix; the
queues take turns, so that one busy address cannot keep the others out. A lane is held until its thread ends,
whether or not anybody still waits for the result: a caller that hangs up frees no core.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from authkit_issuer import errors

WAITING_PER_CLIENT = 2
ALONE_KIB = 64 * 1024
"""Work that needs more memory than this runs while nothing else does."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HashingLoad:
    """How busy the hashing lanes of this process are. Times are seconds; counts are since the start."""

    lanes: int
    running: int
    waiting: int
    memory_kib: int
    """Memory that the running hashes use."""
    computed: int
    refused: int
    """Callers that were told to come back: the queue was full, or the wait too long."""
    waited: float
    """How long all callers together waited for a lane."""
    longest_wait: float


@dataclass(slots=True, eq=False)
class _Waiter:
    client: str
    memory_kib: int
    since: float
    admitted: asyncio.Future[None]


class Lanes:
    """Runs work in threads, at most ``count`` at once and within ``memory_kib``."""

    def __init__(self, *, count: int, memory_kib: int, queue: int, deadline: float) -> None:
        """Start the threads; ``queue`` callers may wait, each at most ``deadline`` seconds."""
        self.count = count
        self._budget = memory_kib
        self._queue_limit = queue
        self._deadline = deadline
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="authkit-hash")
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._running = 0
        self._memory = 0
        self._alone = False
        self._computed = 0
        self._refused = 0
        self._waited = 0.0
        self._longest = 0.0

    @property
    def load(self) -> HashingLoad:
        """How busy the lanes are now."""
        return HashingLoad(
            lanes=self.count,
            running=self._running,
            waiting=self._waiting,
            memory_kib=self._memory,
            computed=self._computed,
            refused=self._refused,
            waited=self._waited,
            longest_wait=self._longest,
        )

    @property
    def _waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    async def run(
        self,
        work: Callable[[], T],
        *,
        memory_kib: int,
        client: str = "",
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Return the result of the work, run in a lane.

        ``client`` is the network prefix of whoever asks: of a known one at most two callers may wait.
        ``before`` runs once a lane is there, so that a try is counted only when it is really looked at.
        Raises ``ServerBusy`` when there is no room to wait or the wait is too long, and what ``before``
        raises.
        """
        await self._admit(memory_kib, client)
        try:
            if before is not None:
                await before()
            running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        except BaseException:
            self._release(memory_kib)
            raise
        self._computed += 1
        running.add_done_callback(lambda _: self._release(memory_kib))
        # Shielded: cancelling the caller must not free the lane while its thread still burns.
        return await asyncio.shield(running)

    async def _admit(self, memory_kib: int, client: str) -> None:
        if not self._queues and self._fits(memory_kib):
            self._take(memory_kib)
            return
        mine = len(self._queues.get(client, ())) if client else 0
        if mine >= WAITING_PER_CLIENT or self._waiting >= self._queue_limit:
            raise self._busy()
        loop = asyncio.get_running_loop()
        waiter = _Waiter(client, memory_kib, loop.time(), loop.create_future())
        self._queues.setdefault(client, deque()).append(waiter)
        try:
            async with asyncio.timeout(self._deadline):
                await waiter.admitted
        except TimeoutError as error:
            self._leave(waiter)
            raise self._busy() from error
        except BaseException:
            self._leave(waiter)
            raise

    def _fits(self, memory_kib: int) -> bool:
        if self._running == 0:
            return True
        if self._alone or memory_kib > ALONE_KIB or self._running >= self.count:
            return False
        return self._memory + memory_kib <= self._budget

    def _take(self, memory_kib: int) -> None:
        self._running += 1
        self._memory += memory_kib
        self._alone = memory_kib > ALONE_KIB

    def _release(self, memory_kib: int) -> None:
        self._running -= 1
        self._memory -= memory_kib
        self._alone = False
        self._dispatch()

    def _dispatch(self) -> None:
        """Let in whose turn it is. Who does not fit yet is waited for, else heavy work would never run."""
        while self._queues:
            client, queue = next(iter(self._queues.items()))
            waiter = queue[0]
            gone = waiter.admitted.done()  # cancelled, and its task has not run since
            if not gone and not self._fits(waiter.memory_kib):
                return
            queue.popleft()
            if queue:
                self._queues.move_to_end(client)
            else:
                del self._queues[client]
            if not gone:
                self._take(waiter.memory_kib)
                self._note_wait(waiter)
                waiter.admitted.set_result(None)

    def _note_wait(self, waiter: _Waiter) -> None:
        wait = asyncio.get_running_loop().time() - waiter.since
        self._waited += wait
        self._longest = max(self._longest, wait)

    def _leave(self, waiter: _Waiter) -> None:
        if waiter.admitted.done() and not waiter.admitted.cancelled():
            # Let in at the very moment of giving up.
            self._release(waiter.memory_kib)
            return
        queue = self._queues.get(waiter.client)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[waiter.client]
        self._dispatch()

    def _busy(self) -> errors.ServerBusy:
        self._refused += 1
        return errors.ServerBusy(retry_after=self._deadline)

    def close(self) -> None:
        """Let the threads go; work that has started is finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)
