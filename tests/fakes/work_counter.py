"""Counts what a call does before it answers: time measured by a clock would prove less."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest

from authkit_issuer.ephemeral.memory import MemoryStore
from authkit_issuer.service import Service
from authkit_issuer.store.connection import ConnectionStore
from fakes.users import finish_background

_DATABASE = ("fetch", "fetch_one", "execute", "begin")
_STORE = ("get", "set", "delete", "take", "take_if", "replace_if", "incr", "admit")


@dataclass(unsafe_hash=True)
class Work:
    """What a call did: the passwords it hashed, their cost, and every step in order."""

    hashes: int = 0
    cost: int = 0
    steps: tuple[tuple[str, str], ...] = ()
    """Operation and SQL text for the database; for the store operation and kind of the key, or how many."""

    @property
    def queries(self) -> tuple[tuple[str, str], ...]:
        """The steps in the database."""
        return tuple(step for step in self.steps if step[0] in _DATABASE)


class WorkCounter:
    """Counts the foreground; what starts in the background meanwhile is held back until ``finish``."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service = service
        self._steps: list[tuple[str, str]] = []
        self._held: list[Callable[[], Awaitable[None]]] = []
        self._holding = False
        # Workers of the service, which began before, ask the database whenever it suits them.
        self._counting = ContextVar("counting", default=False)
        for name in _DATABASE:
            # The store of the pool hands every statement to that of a connection, as a transaction does.
            self._follow(monkeypatch, ConnectionStore, name, lambda args: args[0].sql if args else "")
        for name in _STORE:
            self._follow(monkeypatch, MemoryStore, name, lambda args: args[0].partition(":")[0])
        self._follow(monkeypatch, MemoryStore, "get_many", lambda args: str(len(args[0])))
        start = service.rt.background.start

        def hold(work: Callable[[], Awaitable[None]], *, name: str) -> None:
            if self._holding:
                self._held.append(work)
            else:
                start(work, name=name)

        monkeypatch.setattr(service.rt.background, "start", hold)

    def _follow(
        self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, label: Callable[[Any], str]
    ) -> None:
        original = getattr(owner, name)

        def followed(store: Any, *args: Any, **options: Any) -> Any:
            if self._counting.get():
                self._steps.append((name, label(args)))
            return original(store, *args, **options)

        monkeypatch.setattr(owner, name, followed)

    @asynccontextmanager
    async def foreground(self) -> AsyncIterator[Work]:
        """Yield what holds, after the block, the work of the block."""
        await finish_background(self.service)
        hasher, work = self.service.rt.hasher, Work()
        self._steps.clear()
        computed, spent = hasher.computed, hasher.spent
        self._holding = True
        token = self._counting.set(True)
        try:
            yield work
        finally:
            self._counting.reset(token)
            self._holding = False
            work.hashes, work.cost = hasher.computed - computed, hasher.spent - spent
            work.steps = tuple(self._steps)

    async def finish(self) -> None:
        """Do what was held back, and wait for the rest of the background."""
        held, self._held = self._held, []
        for work in held:
            await work()
        await finish_background(self.service)
