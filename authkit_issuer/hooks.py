"""Functions of the host that receive events in this process, after the commit.

A hook is a convenience: what waits for it is lost with the process. Sinks and webhooks receive every
event, at least once. Each hook has a queue of its own: a slow one
delays neither a request nor another hook.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from authkit_issuer import cancellation
from authkit_issuer.errors.causes import cause
from authkit_issuer.event_types import AuthSessionEvent, SessionEventType

EVERY = "*"
"""In place of a type of events: all of them."""
TIMEOUT = 30.0
"""Seconds that a hook has for one event."""
WAITING = 1000
"""Events that may wait for one hook; further ones are dropped and counted."""

Hook = Callable[[AuthSessionEvent], Awaitable[None]]
ReadEvents = Callable[[Sequence[int]], Awaitable[list[AuthSessionEvent]]]

logger = logging.getLogger("authkit.hooks")


class Hooks:
    """The hooks of one service."""

    def __init__(self) -> None:
        """Start without hooks."""
        self.failures = Counter[str]()
        """How often each hook failed or an event was dropped."""
        self._hooks: list[_Queue] = []
        self._unread: list[int] = []
        self._reading: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        """True if there is a hook."""
        return bool(self._hooks)

    def add(self, event: str, hook: Hook) -> None:
        """Call ``hook`` with every event of a type from now on; raises ``ValueError`` for an unknown type."""
        if event != EVERY and event not in set(SessionEventType):
            raise ValueError(f"there is no event type {event!r}: use one of SessionEventType, or '*'")
        self._hooks.append(_Queue(event, hook, self.failures))

    def take(self, event_ids: Sequence[int], read: ReadEvents) -> None:
        """Read committed events beside the requests, and queue them."""
        self._unread += event_ids
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(read), name="authkit hooks")

    async def _read(self, read: ReadEvents) -> None:
        """Read what was committed, in that order, until nothing is left."""
        while self._unread:
            taken, self._unread = self._unread[:WAITING], self._unread[WAITING:]
            try:
                found = {event.id: event for event in await read(taken)}
            except Exception as error:  # noqa: BLE001 - the boundary of a background task
                self.failures["hooks"] += len(taken)
                logger.error("events for hooks were not read: %s", cause(error))  # noqa: TRY400
                continue
            for event in (found[event_id] for event_id in taken if event_id in found):
                for queue in self._hooks:
                    queue.put(event)

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - the deadline belongs to closing
        """Wait for what is queued at most ``timeout`` seconds, then give up."""
        try:
            async with asyncio.timeout(timeout):
                if self._reading is not None:
                    await self._reading
                for queue in self._hooks:
                    await queue.emptied()
        except TimeoutError:
            logger.error("events for hooks were dropped: the service closed")  # noqa: TRY400
        for queue in self._hooks:
            queue.stop()


class _Queue:
    """One hook, the events that wait for it, and the task that calls it."""

    def __init__(self, event: str, hook: Hook, failures: Counter[str]) -> None:
        self._event = event
        self._hook = hook
        self._name = f"hook {getattr(hook, '__name__', type(hook).__name__)}"
        self._failures = failures
        self._waiting: asyncio.Queue[AuthSessionEvent] = asyncio.Queue(WAITING)
        self._task: asyncio.Task[None] | None = None

    def put(self, event: AuthSessionEvent) -> None:
        if self._event not in {EVERY, event.event}:
            return
        if self._waiting.full():
            self._fail("dropped an event: too many wait for it")
            return
        self._waiting.put_nowait(event)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"authkit {self._name}")

    async def _run(self) -> None:
        while True:
            event = await self._waiting.get()
            try:
                with cancellation.as_failure():
                    async with asyncio.timeout(TIMEOUT):
                        await self._hook(event)
            except Exception as error:  # noqa: BLE001 - a hook may raise anything; the next event is its next chance
                self._fail(f"failed: {type(error).__name__}")
            finally:
                self._waiting.task_done()

    def _fail(self, what: str) -> None:
        self._failures[self._name] += 1
        logger.error("%s %s", self._name, what)

    async def emptied(self) -> None:
        await self._waiting.join()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
