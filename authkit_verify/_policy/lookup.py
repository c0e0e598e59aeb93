"""Answers of a function of the host, asked once per key and time, however many requests need one of them."""

from __future__ import annotations

import asyncio
import logging
import operator
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec
from cachetools import TTLCache

from authkit_verify._jwks.key_set_cache import Clock, changing
from authkit_verify.errors import TokenError

log = logging.getLogger("authkit_verify")

T = TypeVar("T")

TIMEOUT = 2.0
"""Seconds to wait for an answer."""
NEGATIVE_TTL = 10.0
"""Seconds a refusal is kept."""
NEGATIVE_SIZE = 10_000
"""Refusals that are kept, apart from the other answers: however many there are, they evict none of those."""
MAX_ASKING = 100
"""Questions about unknown keys at one time; a request with one more is refused."""


class Answer(msgspec.Struct, Generic[T]):
    """An answer that accepts a key, and until when it holds."""

    value: T
    until: float


class Lookup(Generic[T]):
    """Asks a function of the host, and keeps its answers.

    Args:
        ask: Returns what is accepted, or None to refuse the key. Any exception refuses the request as an
            outage, and keeps nothing.
        setting: The name of the function for the log.
        clock: Returns seconds and never goes back.
        ttl: Seconds an answer is kept.
        most: Answers that are kept; the least recently used ones go.
        most_setting: The name of ``most`` for the log, which says once that an answer went for it. Default
            None: nothing is logged.
        same: True for a new value that means no change: the old object stays. Default: equality.
        drop: Awaited with each value that is out of use. Default None.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[T | None]],
        *,
        setting: str,
        clock: Clock,
        ttl: float,
        most: int,
        most_setting: str | None = None,
        same: Callable[[T, T], bool] = operator.eq,
        drop: Callable[[T], Awaitable[None]] | None = None,
    ) -> None:
        self._ask = ask
        self._setting = setting
        self._clock = clock
        self._ttl = ttl
        self._most = most
        self._most_setting = most_setting
        self._was_full = False
        self._same = same
        self._drop = drop
        self._removals = 0
        self._held: OrderedDict[str, Answer[T]] = OrderedDict()
        self._refused: TTLCache[str, None] = TTLCache(NEGATIVE_SIZE, NEGATIVE_TTL, timer=clock)
        self._asking: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Task[Answer[T] | None]] = {}
        self._logged: str | None = None

    def held(self) -> dict[str, T]:
        """Return the values that are kept, by key."""
        with changing:
            return {key: answer.value for key, answer in self._held.items()}

    def pop(self, key: str) -> T | None:
        """Forget the answer for a key and return its value; a question that is running is asked anew."""
        with changing:
            self._removals += 1
            known = self._held.pop(key, None)
            return None if known is None else known.value

    async def find(self, key: str) -> Answer[T] | None:
        """Return the answer for a key; None if it is refused.

        Raises TokenError ``issuer_check_unavailable`` if the function fails or does not answer in time.
        """
        with changing:
            known = self._held.get(key)
            if known is not None and self._clock() < known.until:
                self._held.move_to_end(key)
                return known
            if known is None and key in self._refused:
                return None
        task = self._started(key, is_known=known is not None)
        # asyncio.wait leaves the task alone when a waiter is cancelled: the others still get its answer.
        await asyncio.wait({task})
        if task.cancelled() or task.exception() is not None:
            raise _unavailable()
        return task.result()

    def _started(self, key: str, *, is_known: bool) -> asyncio.Task[Answer[T] | None]:
        loop = asyncio.get_running_loop()
        task = self._asking.get((loop, key))
        if task is not None:
            return task
        for place in [place for place in list(self._asking) if place[0].is_closed()]:
            self._asking.pop(place, None)  # its task never ends
        if not is_known and len(self._asking) >= MAX_ASKING:
            raise _unavailable()
        task = self._asking[loop, key] = loop.create_task(self._answer(key))
        task.add_done_callback(lambda done: self._forget((loop, key), done))
        return task

    def _forget(
        self, place: tuple[asyncio.AbstractEventLoop, str], done: asyncio.Task[Answer[T] | None]
    ) -> None:
        self._asking.pop(place, None)
        if not done.cancelled():
            done.exception()  # looked at even if all waiters were cancelled, or asyncio logs it again

    async def _answer(self, key: str) -> Answer[T] | None:
        try:
            async with asyncio.timeout(TIMEOUT):
                value, asked_at = await self._ask_anew(key)
        except Exception as error:
            self._log(error)
            raise
        self._logged = None
        answer, out_of_use = self._keep(key, value, asked_at)
        self._log_full()
        for one in out_of_use:
            if self._drop is not None:
                await self._drop(one)
        return answer

    async def _ask_anew(self, key: str) -> tuple[T | None, float]:
        """Return an answer that is newer than every removal, and when it was asked for."""
        while True:
            removals, asked_at = self._removals, self._clock()
            value = await self._ask(key)
            if removals == self._removals:
                return value, asked_at

    def _keep(self, key: str, value: T | None, asked_at: float) -> tuple[Answer[T] | None, list[T]]:
        """Keep an answer; return it, and the values that it puts out of use."""
        with changing:
            known = self._held.pop(key, None)
            if value is None:
                self._refused[key] = None
                return None, [] if known is None else [known.value]
            until = asked_at + self._ttl  # the function may have looked at any moment after it
            if known is not None and self._same(
                known.value, value
            ):  # stays the same object, with all that it holds
                known.until = until
                self._held[key] = known
                return known, []
            self._refused.pop(key, None)
            answer = self._held[key] = Answer(value, until)
            out_of_use = [] if known is None else [known.value]
            while len(self._held) > self._most:
                out_of_use.append(self._held.popitem(last=False)[1].value)
                self._was_full = True
            return answer, out_of_use

    def _log_full(self) -> None:
        if self._was_full and self._most_setting is not None:
            log.warning(
                "%s has returned more than %d; the least recently used go, and it is asked about them again. "
                "Set a higher %s if all of them are in use.", self._setting, self._most, self._most_setting,
            )  # fmt: skip
            self._most_setting = None

    def _log(self, error: Exception) -> None:
        # One line for each cause: an outage must not bury the rest of the log.
        cause = type(error).__name__
        level = logging.DEBUG if self._logged == cause else logging.WARNING
        self._logged = cause
        log.log(level, "%s failed; tokens that need its answer get 503", self._setting, exc_info=error)


def _unavailable() -> TokenError:
    return TokenError("issuer_check_unavailable", "the token's issuer cannot be checked right now")
