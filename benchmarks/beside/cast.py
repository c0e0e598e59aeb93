"""The servers of a run, and the rounds in which all of them take turns at one action."""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from beside.contenders import AUTHKIT, OWN_LOGIN, Contender, protected_by
from beside.conversation import Asking, volley
from beside.processes import Process
from beside.rounds import Times, ratio

CONNECTIONS = (1, 16, 64)
NO_PEERS = (AUTHKIT, "floors", "verifier")
"""A failure of one of these ends the run; a peer is left out."""


def connections(action: str) -> tuple[int, ...]:
    """Return how many connections ask at once; a hash of a fifth of a second makes more of them pointless."""
    return (1,) if action == OWN_LOGIN else CONNECTIONS


@dataclass(slots=True)
class Turns:
    """The results of the candidates at one action with as many connections, one number per round."""

    rates: Times = field(default_factory=dict)
    costs: Times = field(default_factory=dict)

    def add(self, name: str, rate: float, cost: float) -> None:
        self.rates.setdefault(name, []).append(rate)
        self.costs.setdefault(name, []).append(cost)

    def keep(self, names: Sequence[str]) -> None:
        """Forget the candidates that failed in a later round."""
        self.rates = {name: self.rates[name] for name in names}
        self.costs = {name: self.costs[name] for name in names}

    def cost(self, name: str) -> float:
        return statistics.median(self.costs[name])

    def rate(self, name: str) -> float:
        return statistics.median(self.rates[name])

    def cheaper(self, name: str, than: str) -> float:
        """Return how many times less processor time one takes than another; 0 where it is unknown."""
        return ratio(self.costs[than], self.costs[name]) if min(self.costs[name]) > 0 else 0.0

    def faster(self, name: str, than: str) -> float:
        """Return how many times more requests per second one answers than another."""
        return ratio(self.rates[name], self.rates[than])


Results = dict[str, dict[int, Turns]]
"""By action and number of connections."""


@dataclass(slots=True)
class Start:
    """What the starts of a server took, and its memory."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    fresh: float = 0.0
    loaded: float = 0.0

    def add(self, process: Process) -> None:
        self.seconds.append(process.seconds)
        self.cpu.append(process.start_cpu)
        self.fresh = process.memory()


class Cast:
    """The running servers and what they are asked."""

    def __init__(self, folder: Path, absent: dict[str, str]) -> None:
        self.starts: dict[str, Start] = {}
        self._folder, self._absent = folder, absent
        self._running: dict[str, tuple[Contender, Process]] = {}

    @contextmanager
    def running(self, contenders: Sequence[Contender], starts: int) -> Iterator[None]:
        """Start all servers, several times in turn; those of the last time run while the block runs."""
        for _ in range(starts - 1):
            with self._once(contenders):
                pass
        with self._once(contenders):
            yield
            for name, (_, process) in self._running.items():
                self.starts[name].loaded = process.memory()

    @contextmanager
    def _once(self, contenders: Sequence[Contender]) -> Iterator[None]:
        with ExitStack() as stack:
            for contender in contenders:
                self._start(contender, stack)
                if contender.name == AUTHKIT:
                    self._start(protected_by(self._running[AUTHKIT][1]), stack)
            try:
                yield
            finally:
                self._running.clear()

    def _start(self, contender: Contender, stack: ExitStack) -> None:
        if contender.name in self._absent:
            return
        try:
            process = contender.start(self._folder)
        except RuntimeError as error:
            self._leave_out(contender.name, error)
            return
        stack.callback(process.stop)
        self._running[contender.name] = (contender, process)
        self.starts.setdefault(contender.name, Start()).add(process)

    def _leave_out(self, name: str, error: Exception) -> None:
        if name in NO_PEERS or name.startswith(AUTHKIT):
            raise error
        self._absent[name] = str(error)

    async def play(
        self,
        actions: Sequence[str],
        rounds: int,
        seconds: float,
        *,
        counts: Callable[[str], tuple[int, ...]] = connections,
    ) -> Results:
        """Let the candidates take turns at each action, after one round that is not counted."""
        parts = await self._parts()
        found: Results = {action: {count: Turns() for count in counts(action)} for action in actions}
        for number in range(rounds + 1):
            print(f"round {number} of {rounds}: {', '.join(actions)}", file=sys.stderr)
            for action, count in ((each, count) for each in actions for count in counts(each)):
                names = [name for each, name in parts if each == action]
                for name in random.sample(names, len(names)):
                    process, asking = parts[action, name]
                    try:
                        rate, cpu = await volley(process, asking[:count], seconds)
                    except OSError as error:
                        self._fail(action, name, error)
                        del parts[action, name]
                        continue
                    if number:
                        found[action][count].add(name, rate, cpu)
        for action, by_connections in found.items():
            for turns in by_connections.values():
                turns.keep([name for each, name in parts if each == action])
        return found

    def _fail(self, action: str, name: str, error: Exception) -> None:
        if name.startswith((AUTHKIT, "floor")):
            raise error
        self._absent[f"{name}, {action}"] = str(error)

    async def _parts(self) -> dict[tuple[str, str], tuple[Process, list[Asking]]]:
        parts: dict[tuple[str, str], tuple[Process, list[Asking]]] = {}
        for name, (contender, process) in self._running.items():
            try:
                found = await contender.parts(process.port)
            except (OSError, KeyError, TypeError) as error:
                self._leave_out(name, error)
                continue
            parts |= {part: (process, asking) for part, asking in found.items()}
        return parts
