"""The verifier without asyncio: the same rules, for threads, WSGI and scripts."""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import threading
from asyncio.events import (  # what asyncio has for the authors of event loops
    _get_running_loop,  # pyright: ignore[reportPrivateUsage]
    _set_running_loop,  # pyright: ignore[reportPrivateUsage]
)
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from authkit_verify._jwks.refresher import NoEventLoop
from authkit_verify._policy.proof.certificates import CertificateHeader
from authkit_verify._policy.proof.dpop import DPoP
from authkit_verify._policy.verified_claims import Claims
from authkit_verify._telemetry.counters import Counters
from authkit_verify._telemetry.events import Listener
from authkit_verify._verify.explain.explanation import Explanation
from authkit_verify._verify.health import Health
from authkit_verify._verify.issuer_loader import IssuerLoader
from authkit_verify._verify.verifier import Verified, Verifier
from authkit_verify.config import AcceptConfig, IssuerAccept
from authkit_verify.config.http_client import HttpClient

T = TypeVar("T")


class SyncVerifier:
    """Verifies access tokens of the configured issuers in any number of threads, without asyncio.

    A token that was verified before is answered in the calling thread. Everything else runs on an event loop
    in one daemon thread, which the first such call starts, and which also refreshes keys in the background. A
    process that was forked starts a thread of its own.

    Calls block. In a coroutine, in ``on_event`` and in records that are asked (``EnrichmentSource``) use
    ``Verifier``. Tokens that are bound to a key or a certificate are refused here, where no proof comes with
    them; ``authkit_verify.wsgi`` and ``authkit_verify.django`` read the proofs of requests.

    Args:
        config: The accepted issuers and the rules for their tokens; one ``IssuerAccept`` serves as well.
        http_client: As for ``Verifier``; it is used on that event loop alone. Default None: one of httpx.
        clock: As for ``Verifier``. Default None.
        cache_entries: As for ``Verifier``. Default 32768.
        cache_bytes: As for ``Verifier``. Default 96 MiB.
        on_event: As for ``Verifier``; it may be called in any of the threads. Default None.
        dpop: As for ``Verifier``. Default None.
        certificate_header: As for ``Verifier``. Default None.
        issuer_loader: As for ``Verifier``: a coroutine function, which runs on that event loop. Default None.
        loader_ttl: As for ``Verifier``. Default 300.
        max_loaded: As for ``Verifier``. Default 1000.
    """

    def __init__(
        self,
        config: AcceptConfig | IssuerAccept,
        http_client: HttpClient | None = None,
        clock: Callable[[], float] | None = None,
        *,
        cache_entries: int = 32_768,
        cache_bytes: int = 96 * 1024 * 1024,
        on_event: Listener | None = None,
        dpop: DPoP | None = None,
        certificate_header: CertificateHeader | None = None,
        issuer_loader: IssuerLoader | None = None,
        loader_ttl: float = 300.0,
        max_loaded: int = 1000,
    ) -> None:
        self.asynchronous = Verifier(
            config,
            http_client,
            clock,
            cache_entries=cache_entries,
            cache_bytes=cache_bytes,
            on_event=on_event,
            dpop=dpop,
            certificate_header=certificate_header,
            issuer_loader=issuer_loader,
            loader_ttl=loader_ttl,
            max_loaded=max_loaded,
        )
        """The verifier that does the work."""
        self.config = self.asynchronous.config
        self._loop = _LoopThread()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()

    @property
    def loads_issuers(self) -> bool:
        """True if there is an ``issuer_loader``, so that tokens of further issuers may be accepted."""
        return self.asynchronous.loads_issuers

    def verify(self, token: str) -> Claims:
        """Return the claims of a genuine and valid token. Raises TokenError, and no other exception."""
        return self.authenticate(token).claims

    def authenticate(self, token: str) -> Verified:
        """Return the claims of a token with the current state of the keys. Raises TokenError."""
        return self.recall(token) or self.run(self.asynchronous.authenticate(token))

    def recall(self, token: str) -> Verified | None:
        """Return what ``authenticate`` would for a cached token; None for any other token. Never waits."""
        try:
            return self.asynchronous.recall(token)
        except NoEventLoop:
            return None

    def explain(self, token: str) -> Explanation:
        """Return the result of every check, as ``Verifier.explain`` does."""
        return self.run(self.asynchronous.explain(token))

    def warm(self) -> Health:
        """Fetch the keys of every issuer now and return their state. An unreachable issuer does not raise."""
        return self.run(self.asynchronous.warm())

    def health(self) -> Health:
        """Return the state of every issuer's keys, without any I/O."""
        return self.asynchronous.health()

    def counters(self) -> Counters:
        """Return a copy of the counters since the verifier was made; parallel threads may lose a few."""
        return self.asynchronous.counters()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop of this verifier and return its result."""
        return self._loop.run(work)

    async def run_async(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop of this verifier, and await its result on any other one."""
        return await asyncio.wrap_future(self._loop.submit(work))

    def close(self) -> None:
        """Cancel background fetches, let calls in progress end, and end the thread.

        A later call starts another one.
        """
        self._loop.close(self.asynchronous.aclose)


class _LoopThread:
    """An event loop in a daemon thread of this process, started by the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a coroutine, run on the loop."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError(
                "a SyncVerifier is called on its own event loop: await its asynchronous verifier"
            )
        return self.submit(work).result()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop and return its future."""
        if self._process != os.getpid():
            self._forget()
        with self._lock:  # submitted before a close begins, or to the next loop
            try:
                loop = self._started()
            except RuntimeError:  # the thread cannot be started
                work.close()
                raise
            return asyncio.run_coroutine_threadsafe(work, loop)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``last`` on the loop, let the calls in progress end, then end the loop and its thread."""
        if self._process != os.getpid():
            self._forget()
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_finished(last), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = _new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="authkit-verifier", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # at a limit of the system: no later call may wait for this loop
                loop.close()
                raise
            self._loop, self._thread = loop, thread
        return self._loop

    def _forget(self) -> None:
        """Begin anew after a fork: it has the parent's lock, perhaps held, and loop, but not its thread."""
        with _forking:
            if self._process != os.getpid():
                self._lock, self._loop, self._thread = threading.Lock(), None, None
                self._process = os.getpid()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that lets go of its thread while it waits, if gevent lets greenlets share one.

    A loop seemed to run in all of them: Django's ORM refused to work, and none could run a coroutine.
    """
    patches = sys.modules.get("gevent.monkey")
    if patches is None or not patches.is_module_patched("threading"):
        return asyncio.new_event_loop()

    class Selector(selectors.DefaultSelector):  # here, since gevent replaces the default one
        theirs: asyncio.AbstractEventLoop | None = None  # that of another greenlet

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            ours, theirs = _get_running_loop(), self.theirs
            _set_running_loop(theirs if theirs is not None and theirs.is_running() else None)
            try:
                return super().select(timeout)
            finally:
                self.theirs = _get_running_loop()
                _set_running_loop(ours)

    class Loop(asyncio.SelectorEventLoop):
        def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
            _set_running_loop(None)  # the start of a thread lets go of this one, too
            try:
                return super().run_in_executor(executor, func, *args)
            finally:
                _set_running_loop(self)

    return Loop(Selector())


_forking = threading.Lock()
if hasattr(os, "register_at_fork"):  # the lock must be free in the child, whatever other threads were doing
    os.register_at_fork(
        before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_forking.release
    )


async def _finished(last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await last()
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
