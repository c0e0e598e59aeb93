"""Lanes: a bounded number of threads for costly work, with a queue that is fair and honest about being full.

Work is admitted by lane and by memory. Whoever finds no room waits in a queue of its client; the queues take
turns, so that one busy address cannot keep the others out. Known callers wait in a line of their own, which
strangers cannot fill, and one lane's share is theirs: nobody's flood keeps them out. A lane is held until its
thread ends, whether or not anybody still waits for the result: a caller that hangs up frees no core.
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
    known: bool
    memory_kib: int
    since: float
    admitted: asyncio.Future[None]


class _Line:
    """Those who wait, by client; the clients take turns."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def waiting_of(self, client: str) -> int:
        return len(self._queues.get(client, ()))

    def join(self, waiter: _Waiter) -> None:
        self._queues.setdefault(waiter.client, deque()).append(waiter)

    def first(self) -> _Waiter | None:
        return next(iter(self._queues.values()))[0] if self._queues else None

    def pop(self) -> None:
        """Take the first one out; its client goes to the back."""
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
        """Start the threads; ``queue`` strangers and as many known callers may wait ``deadline`` seconds."""
        self.count = count
        self._budget = memory_kib
        self._queue_limit = queue
        self._deadline = deadline
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="authkit-hash")
        self._strangers, self._known = _Line(), _Line()
        self._running = 0
        self._known_running = 0
        self._strangers_turn = False
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
        return len(self._strangers) + len(self._known)

    async def run(
        self,
        work: Callable[[], T],
        *,
        memory_kib: int,
        client: str = "",
        known: bool = False,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Return the result of the work, run in a lane.

        ``client`` tells whoever asks from others, such as by the network prefix: of one client at most two
        callers may wait. ``known`` callers have a line and a share of their own, and when that line is full
        they are as good as strangers.
        ``before`` runs once a lane is there, so that a try is counted only when it is really looked at.
        Raises ``ServerBusy`` when there is no room to wait or the wait is too long, and what ``before``
        raises.
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
        # Shielded: cancelling the caller must not free the lane while its thread still burns.
        return await asyncio.shield(running)

    async def _admit(self, memory_kib: int, client: str, *, known: bool) -> bool:
        """Wait for a lane; returns whether it is of the share of known callers."""
        if not self._waiting and self._fits(memory_kib):
            self._take(memory_kib, known=known)
            return known
        known = known and len(self._known) < self._queue_limit
        line = self._known if known else self._strangers
        crowded = client and line.waiting_of(client) >= WAITING_PER_CLIENT
        if crowded or len(line) >= self._queue_limit:
            raise self._busy()
        loop = asyncio.get_running_loop()
        waiter = _Waiter(client, known, memory_kib, loop.time(), loop.create_future())
        line.join(waiter)
        self._dispatch()
        try:
            async with asyncio.timeout(self._deadline):
                await waiter.admitted
        except TimeoutError as error:
            self._leave(waiter)
            raise self._busy() from error
        except BaseException:
            self._leave(waiter)
            raise
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
        """Let in whose turn it is. Who does not fit yet is waited for, else heavy work would never run."""
        while line := self._next_line():
            waiter = line.first()
            assert waiter is not None  # noqa: S101 - a line that is next has somebody
            gone = waiter.admitted.done()  # cancelled, and its task has not run since
            if not gone and not self._fits(waiter.memory_kib):
                return
            line.pop()
            if not gone:
                self._strangers_turn = waiter.known
                self._take(waiter.memory_kib, known=waiter.known)
                self._note_wait(waiter)
                waiter.admitted.set_result(None)

    def _next_line(self) -> _Line | None:
        """Return the line whose turn it is, None when nobody waits.

        A known caller goes first while no other one runs, unless the last one that was let in was known too:
        then strangers have their turn, so that neither of the two can keep the other waiting.
        """
        if not self._known:
            return self._strangers or None
        if not self._strangers or not (self._known_running or self._strangers_turn):
            return self._known
        return self._strangers

    def _note_wait(self, waiter: _Waiter) -> None:
        wait = asyncio.get_running_loop().time() - waiter.since
        self._waited += wait
        self._longest = max(self._longest, wait)

    def _leave(self, waiter: _Waiter) -> None:
        if waiter.admitted.done() and not waiter.admitted.cancelled():
            # Let in at the very moment of giving up.
            self._release(waiter.memory_kib, known=waiter.known)
            return
        (self._known if waiter.known else self._strangers).leave(waiter)
        self._dispatch()

    def _busy(self) -> errors.ServerBusy:
        self._refused += 1
        return errors.ServerBusy(retry_after=self._deadline)

    def close(self) -> None:
        """Let the threads go; work that has started is finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)
