"""A pool of threads for password hashing, with a bounded queue that is fair between clients.

Work starts when a thread and enough memory are free. Callers that find neither wait in a queue of their
client, and the clients take turns, so that one busy address cannot keep the others out. One address, such as
that of an office, may fill the queue: in a full one, a newcomer takes the place of the newest caller of the
client that has the most. Known devices have a queue of their own, which unknown clients cannot fill, and a
share of one thread. A thread stays taken until its work ends, even after the caller has hung up: hanging up
frees no core.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from authkit_issuer import errors

ALONE_KIB = 64 * 1024
"""Work that needs more memory than this runs while nothing else does."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HashingLoad:
    """How busy the hashing threads of this process are. Times are seconds; counts are since the start."""

    lanes: int
    """Threads of the pool: how many hashes can run at once."""
    running: int
    waiting: int
    memory_kib: int
    """Memory that the running hashes use."""
    computed: int
    refused: int
    """Calls refused with ``ServerBusy``: the queue was full, or the wait too long."""
    waited: float
    """How long all callers together waited for a thread."""
    longest_wait: float


@dataclass(slots=True, eq=False)
class _Waiter:
    client: str
    known: bool
    memory_kib: int
    since: float
    admitted: asyncio.Future[bool]
    """True once a thread is free; False if another client's caller takes the place."""


class _FairQueue:
    """Waiting callers by client; the clients take turns (round robin)."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def waiting_of(self, client: str) -> int:
        return len(self._queues.get(client, ()))

    def make_room(self, client: str) -> bool:
        """Refuse the newest waiter of the client with the most, if that is at least two more than this one's.

        A smaller difference would only change which of two equals waits.
        """
        longest = max(self._queues, key=self.waiting_of, default=client)
        if self.waiting_of(longest) < self.waiting_of(client) + 2:
            return False
        newest = self._queues[longest].pop()
        if not newest.admitted.done():
            newest.admitted.set_result(False)
        return True

    def join(self, waiter: _Waiter) -> None:
        self._queues.setdefault(waiter.client, deque()).append(waiter)

    def first(self) -> _Waiter | None:
        return next(iter(self._queues.values()))[0] if self._queues else None

    def pop(self) -> None:
        """Remove the first waiter; its client goes to the back."""
        client, queue = next(iter(self._queues.items()))
        queue.popleft()
        if queue:
            self._queues.move_to_end(client)
        else:
            del self._queues[client]

    def leave(self, waiter: _Waiter) -> None:
        queue = self._queues.get(waiter.client)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[waiter.client]


class HashingPool:
    """Runs work in threads, at most ``count`` at once and within ``memory_kib``."""

    def __init__(self, *, count: int, memory_kib: int, queue: int, deadline: float) -> None:
        """Start the threads.

        Args:
            count: How many threads there are.
            memory_kib: How much memory the running work may use together.
            queue: How many unknown clients may wait, and as many known devices beside them.
            deadline: For how many seconds a caller may wait.
        """
        self.count = count
        self._budget = memory_kib
        self._queue_limit = queue
        self._deadline = deadline
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="authkit-hash")
        self._unknown, self._known = _FairQueue(), _FairQueue()
        self._running = 0
        self._known_running = 0
        self._unknown_next = False
        self._memory = 0
        self._alone = False
        self._computed = 0
        self._refused = 0
        self._waited = 0.0
        self._longest = 0.0

    @property
    def load(self) -> HashingLoad:
        """How busy the threads are now."""
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
        return len(self._unknown) + len(self._known)

    async def run(
        self,
        work: Callable[[], T],
        *,
        memory_kib: int,
        client: str = "",
        known: bool = False,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Return the result of the work, run in a thread.

        Args:
            work: What to compute.
            memory_kib: How much memory it needs.
            client: What tells callers apart, such as a network prefix; they share a full queue evenly.
            known: True for a known device, which has its own queue and share of the threads. When that queue
                is full, the caller waits with the unknown clients.
            before: Runs once a thread is free, so that a try is counted only if its password is checked.

        Raises:
            ServerBusy: There is no room to wait, or the wait was too long.
        """
        known = await self._admit(memory_kib, client, known=known)
        try:
            if before is not None:
                await before()
            running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        except BaseException:
            self._release(memory_kib, known=known)
            raise
        self._computed += 1
        running.add_done_callback(lambda _: self._release(memory_kib, known=known))
        # Shielded: cancelling the caller must not count the thread as free while it still computes.
        return await asyncio.shield(running)

    async def _admit(self, memory_kib: int, client: str, *, known: bool) -> bool:
        """Wait for a thread; True if it counts towards the share of known devices."""
        if not self._waiting and self._fits(memory_kib):
            self._take(memory_kib, known=known)
            return known
        known = known and (len(self._known) < self._queue_limit or self._known.make_room(client))
        queue = self._known if known else self._unknown
        if len(queue) >= self._queue_limit and not queue.make_room(client):
            raise self._busy()
        loop = asyncio.get_running_loop()
        waiter = _Waiter(client, known, memory_kib, loop.time(), loop.create_future())
        queue.join(waiter)
        self._dispatch()
        try:
            async with asyncio.timeout(self._deadline):
                admitted = await waiter.admitted
        except TimeoutError as error:
            self._leave(waiter)
            raise self._busy() from error
        except BaseException:
            self._leave(waiter)
            raise
        if not admitted:
            raise self._busy()
        return known

    def _fits(self, memory_kib: int) -> bool:
        if self._running == 0:
            return True
        if self._alone or memory_kib > ALONE_KIB or self._running >= self.count:
            return False
        return self._memory + memory_kib <= self._budget

    def _take(self, memory_kib: int, *, known: bool) -> None:
        self._running += 1
        self._known_running += known
        self._memory += memory_kib
        self._alone = memory_kib > ALONE_KIB

    def _release(self, memory_kib: int, *, known: bool) -> None:
        self._running -= 1
        self._known_running -= known
        self._memory -= memory_kib
        self._alone = False
        self._dispatch()

    def _dispatch(self) -> None:
        """Admit waiters in turn.

        A waiter that does not fit yet holds up those behind it: otherwise heavy work would never run.
        """
        while queue := self._next_queue():
            waiter = queue.first()
            assert waiter is not None  # noqa: S101 - the next queue is not empty
            gone = waiter.admitted.done()  # cancelled, and its task has not run since
            if not gone and not self._fits(waiter.memory_kib):
                return
            queue.pop()
            if not gone:
                self._unknown_next = waiter.known
                self._take(waiter.memory_kib, known=waiter.known)
                self._note_wait(waiter)
                waiter.admitted.set_result(True)

    def _next_queue(self) -> _FairQueue | None:
        """The queue whose turn it is, or None when both are empty.

        A known device goes first while no other one runs, unless the last waiter admitted was known too: then
        it is the turn of the unknown clients. So neither queue can starve the other.
        """
        if not self._known:
            return self._unknown or None
        if not self._unknown or not (self._known_running or self._unknown_next):
            return self._known
        return self._unknown

    def _note_wait(self, waiter: _Waiter) -> None:
        wait = asyncio.get_running_loop().time() - waiter.since
        self._waited += wait
        self._longest = max(self._longest, wait)

    def _leave(self, waiter: _Waiter) -> None:
        if waiter.admitted.done() and not waiter.admitted.cancelled():
            if waiter.admitted.result():
                # Admitted at the very moment of giving up.
                self._release(waiter.memory_kib, known=waiter.known)
            return
        (self._known if waiter.known else self._unknown).leave(waiter)
        self._dispatch()

    def _busy(self) -> errors.ServerBusy:
        self._refused += 1
        return errors.ServerBusy(retry_after=self._deadline)

    def close(self) -> None:
        """Shut the threads down; work that has started is finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)
