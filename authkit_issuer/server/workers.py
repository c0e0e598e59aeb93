"""Several processes on one socket: forked by a parent that replaces what ends, and hands signals on.

The parent answers no request and has no loop: a fork of it inherits no thread and no connection.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from authkit_issuer.config import Config
from authkit_issuer.errors import ConfigError, StartupError
from authkit_issuer.server import process
from authkit_issuer.server.options import ServeOptions
from authkit_issuer.server.signals import STOP, Signals
from authkit_issuer.server.worker_link import FAILED, READY, WorkerEnd

if TYPE_CHECKING:
    from authkit_issuer.server.metrics import Metrics

LONGEST_PAUSE = 30.0
"""Seconds between the end of a worker and the next try, at most."""
STABLE = 10.0
"""Seconds after which a worker that answers requests counts as a success."""
MAX_FAILURES = 8
"""Failures in a row after which the parent gives up, if no worker is stable."""
PATIENCE = 30.0
"""Seconds without a sign of life after which a worker is killed."""
START = 300.0
"""Seconds that a worker may take until it answers requests."""
LATE = 30.0
"""Seconds beyond the drain and the running requests after which a stopping worker is killed."""

_HELD = {*STOP, signal.SIGCHLD}

Work = Callable[[socket.socket, int], None]
"""What a worker does with its end of the link and the number of its place, from 0 on."""

logger = logging.getLogger("authkit.server")


@dataclass(slots=True, kw_only=True)
class _Worker:
    pid: int
    place: int
    link: socket.socket
    heard: float
    """When it was forked, or last gave a sign of life."""
    ready_since: float | None = None
    said: bytearray = field(default_factory=bytearray)


def run_workers(
    config: Config,
    options: ServeOptions,
    listener: socket.socket,
    signals: Signals,
    *,
    metrics: Metrics | None = None,
    ready: Callable[[], None],
) -> None:
    """Run ``options.workers`` processes that answer requests on the socket, until ``signals`` stop them.

    Args:
        config: The configuration of each.
        options: How many there are, how they keep connections, and how they stop.
        listener: The listening socket.
        signals: What stops the parent.
        metrics: What serves the numbers of every worker; None to measure nothing.
        ready: Called once every worker answers requests.

    Raises:
        StartupError: A worker could not start at first, or none has lived for long since.
    """
    work = partial(_work, config, options, listener, metrics)
    patience = options.drain_delay + options.graceful + LATE
    ended = metrics.vacate if metrics is not None else None
    parent = Workers(options.workers, work, patience=patience, ended=ended)
    signals.stop = parent.to
    parent.run(ready)


def _work(  # noqa: PLR0917 - what every worker gets, and what is one worker's own
    config: Config,
    options: ServeOptions,
    listener: socket.socket,
    metrics: Metrics | None,
    link: socket.socket,
    place: int,
) -> None:
    """Be one worker."""
    with Signals(once=True) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        end = WorkerEnd(link, signals, last=2 if options.drain_delay else 1)
        try:
            own = metrics.of_worker(place) if metrics is not None else None
            process.run(config, options, listener, signals, metrics=own, begin=end.begin, ready=end.ready)
        except (ConfigError, StartupError) as error:
            end.failed(str(error))
            raise


class Workers:
    """The parent of the workers."""

    def __init__(
        self, count: int, work: Work, *, patience: float, ended: Callable[[int], None] | None = None
    ) -> None:
        """Prepare ``count`` workers; one that stops has ``patience`` seconds before it is killed.

        ``ended`` is called with the place of each worker that has ended.
        """
        self._count = count
        self._ended = ended
        self._work = work
        self._patience = patience
        self._running: dict[int, _Worker] = {}
        self._step = 0
        self._deadline: float | None = None
        self._announced = False
        self._failures = 0
        self._next_start = 0.0
        self._reason = ""

    def to(self, step: int) -> None:
        """Hand a step of stopping on, soon; a signal handler calls this."""
        self._step = max(self._step, step)

    def run(self, ready: Callable[[], None]) -> None:
        """Keep the workers running until each has ended after ``to``."""
        gc.freeze()  # a collection in a worker would copy every page
        with selectors.DefaultSelector() as selector, _awake(selector):
            try:
                sent = 0
                while self._running or not self._step:
                    if self._step > sent:
                        sent = self._step
                        self._order(sent)
                    self._start_missing(selector)
                    self._hear(selector)
                    self._reap(selector)
                    self._kill_silent()
                    if not self._announced and self._all_ready():
                        self._announced = True
                        ready()
            finally:
                self._end_all()

    def _all_ready(self) -> bool:
        ready = [worker for worker in self._running.values() if worker.ready_since is not None]
        return len(ready) == self._count

    def _start_missing(self, selector: selectors.BaseSelector) -> None:
        if time.monotonic() < self._next_start:
            return
        while len(self._running) < self._count and not self._step:
            place = min(set(range(self._count)) - {worker.place for worker in self._running.values()})
            try:
                self._start(place, selector)
            except OSError as error:
                # No process or no descriptor is left, perhaps for a moment: the others answer on.
                self._reason = f"A worker cannot be started: {(error.strerror or str(error)).lower()}."
                logger.error("%s It is tried again in %g s", self._reason, self._next_try(stable=False))  # noqa: TRY400
                return

    def _start(self, place: int, selector: selectors.BaseSelector) -> None:
        with ExitStack() as opened:
            ours, theirs = socket.socketpair()
            opened.callback(ours.close)
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
            try:
                pid = os.fork()
                if pid == 0:
                    ours.close()
                    self._become_worker(theirs, place, selector)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                theirs.close()
            opened.pop_all()
        ours.setblocking(False)
        self._running[pid] = _Worker(pid=pid, place=place, link=ours, heard=time.monotonic())
        selector.register(ours, selectors.EVENT_READ, self._running[pid])

    def _become_worker(self, link: socket.socket, place: int, selector: selectors.BaseSelector) -> NoReturn:
        """Do the work, and end: nothing that the parent began is this process's to finish."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            selector.close()
            for other in self._running.values():
                other.link.close()  # or that worker would not notice the end of the parent
            self._work(link, place)
            status = 0
        except (ConfigError, StartupError):
            pass  # the parent says it
        except BaseException:
            logger.exception("worker %d failed", os.getpid())
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _hear(self, selector: selectors.BaseSelector) -> None:
        for key, _ in selector.select(timeout=self._pause()):
            worker = key.data
            if worker is None:
                _drained(key.fileobj)
                continue
            said = _drained(key.fileobj)
            if not said:
                selector.unregister(key.fileobj)
                continue
            worker.heard = time.monotonic()
            if worker.ready_since is None:
                worker.said += said
                worker.ready_since = worker.heard if said.startswith(READY) else None

    def _pause(self) -> float:
        """Return how long nothing has to be done unless a signal or a worker says so."""
        missing = len(self._running) < self._count and not self._step
        return max(0.01, min(1.0, self._next_start - time.monotonic())) if missing else 1.0

    def _reap(self, selector: selectors.BaseSelector) -> None:
        for worker in list(self._running.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if not pid:
                continue
            del self._running[worker.pid]
            if worker.ready_since is None:
                worker.said += _drained(worker.link)
            with suppress(KeyError):
                selector.unregister(worker.link)
            worker.link.close()
            if self._ended is not None:
                self._ended(worker.place)
            if not self._step:
                self._note_end(worker, os.waitstatus_to_exitcode(status))

    def _note_end(self, worker: _Worker, status: int) -> None:
        """Decide when another worker takes the place of one that ended by itself."""
        _, failed, reason = bytes(worker.said).partition(FAILED)
        how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self._reason = reason.decode(errors="replace") if failed else f"A worker {how}."
        pause = self._next_try(stable=_is_stable(worker, time.monotonic()))
        because = f" ({self._reason})" if failed else ""
        logger.error("worker %d %s%s; another one starts in %g s", worker.pid, how, because, pause)

    def _next_try(self, *, stable: bool) -> float:
        """Return the seconds until the next start, after the end of a ``stable`` worker or a failure.

        Raises:
            StartupError: There is no next start; ``_reason`` says why.
        """
        if not self._announced:
            raise StartupError(self._reason)
        now = time.monotonic()
        self._failures = 0 if stable else self._failures + 1
        others_live = any(_is_stable(other, now) for other in self._running.values())
        if self._failures >= MAX_FAILURES and not others_live:
            raise StartupError(f"No worker lives for long, after {self._failures} tries: {self._reason}")
        pause = min(LONGEST_PAUSE, 2.0 ** (self._failures - 2)) if self._failures > 1 else 0.0
        self._next_start = now + pause
        return pause

    def _kill_silent(self) -> None:
        """Kill workers whose loop does not run, or that do not stop."""
        now = time.monotonic()
        late = self._deadline is not None and now > self._deadline
        for worker in self._running.values():
            patience = START if worker.ready_since is None else PATIENCE
            if late or now - worker.heard > patience:
                what = "does not stop" if late else f"has not answered for {patience:g} s"
                logger.error("worker %d %s: it is killed", worker.pid, what)
                worker.heard = now
                os.kill(worker.pid, signal.SIGKILL)
        if late:
            self._deadline = now + LATE

    def _order(self, step: int) -> None:
        self._deadline = self._deadline or time.monotonic() + self._patience
        for worker in self._running.values():
            with suppress(OSError):
                worker.link.send(bytes([step]))

    def _end_all(self) -> None:
        """Stop what still runs after a failure: closed links are an order, too."""
        deadline = time.monotonic() + self._patience
        for worker in self._running.values():
            worker.link.close()
        while self._running:
            for pid in list(self._running):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._running[pid]
                elif time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def _is_stable(worker: _Worker, now: float) -> bool:
    return worker.ready_since is not None and now - worker.ready_since > STABLE


@contextmanager
def _awake(selector: selectors.BaseSelector) -> Generator[None]:
    """End the waiting of a selector with every signal, that of an ended child too."""
    reading, writing = socket.socketpair()
    with reading, writing:
        for end in (reading, writing):
            end.setblocking(False)
        selector.register(reading, selectors.EVENT_READ, None)
        before = signal.signal(signal.SIGCHLD, _wake)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, before)


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: a signal without a handler would not reach the selector."""


def _drained(link: object) -> bytes:
    """Return what can be read at once; empty at the end of the link, or if nothing is there."""
    assert isinstance(link, socket.socket)  # noqa: S101 - nothing else is registered
    said = b""
    with suppress(OSError):
        while piece := link.recv(4096):
            said += piece
    return said
