"""The Runtime: the only thing a capability receives.

``rt.transaction()`` yields another Runtime whose store is one connection and whose deliveries wait for the
commit of the outermost transaction. A capability reaches a sibling by constructing it over that Runtime:
``Users(tx).create(...)``. Inside a transaction another one is a savepoint: when it fails, its writes and its
deliveries are dropped and nothing else.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from authkit_issuer import cancellation
from authkit_issuer.config import Config
from authkit_issuer.errors import NotJoinable, StorageNotConfigured, Unavailable
from authkit_issuer.federation import IdentityProvider
from authkit_issuer.hooks import Hooks
from authkit_issuer.keys import KeySource
from authkit_issuer.ports import (
    BreachCheck,
    Clock,
    EmailSender,
    EntitlementsProvider,
    EphemeralStore,
    RandomBytes,
    Senders,
    SendFailure,
    SMSSender,
)
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.security.access_token_signer import AccessTokenSigner
from authkit_issuer.security.hashing import PasswordHasher
from authkit_issuer.security.own_tokens import OwnTokens
from authkit_issuer.store.batched import BatchedStatements
from authkit_issuer.store.connection import Connection, Store
from authkit_issuer.store.host_transaction import COMMITTED, IN_PROGRESS, STATUS, joined
from authkit_issuer.store.postgres import NoStore
from authkit_issuer.store.query import Query

Row = TypeVar("Row")
Delivery = Callable[[], Awaitable[None]]

MAX_POSTPONED = 1000
"""Work that waits for a later try, such as messages of a mail server that is away."""
FIRST_LOOK, LONGEST_LOOK = 0.05, 1.0
"""Seconds after which the end of a host's transaction is looked for, and between two looks at most."""

logger = logging.getLogger("authkit.background")


class Background:
    """Work that runs beside the requests: tracked, logged when it fails, drained on close."""

    def __init__(self) -> None:
        """Start with nothing to do."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._postponed: dict[object, asyncio.TimerHandle] = {}
        self._closing = False
        self.failed: Counter[str] = Counter()
        """How often work of each name failed."""

    def start(self, work: Delivery, *, name: str) -> None:
        """Run the work soon; its failure is logged by name and counted, never raised."""
        task = asyncio.create_task(self._run(work, name), name=f"authkit {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def postpone(self, work: Delivery, seconds: float, *, name: str) -> bool:
        """Run the work after some seconds; False if ``MAX_POSTPONED`` wait already, or the service closes."""
        if self._closing or len(self._postponed) >= MAX_POSTPONED:
            return False
        ticket = object()

        def begin() -> None:
            del self._postponed[ticket]
            self.start(work, name=name)

        self._postponed[ticket] = asyncio.get_running_loop().call_later(seconds, begin)
        return True

    @property
    def failures(self) -> int:
        """How often work failed."""
        return self.failed.total()

    async def _run(self, work: Delivery, name: str) -> None:
        try:
            with cancellation.as_failure():
                await work()
        except Exception as error:  # noqa: BLE001 - the boundary of a background task: there is no caller to raise to
            self.failed[name] += 1
            logger.error("background work %s failed: %s", name, safe_text(error))  # noqa: TRY400

    async def drain(self, *, timeout: float) -> None:  # noqa: ASYNC109 - the deadline belongs to closing
        """Wait for the running work at most ``timeout`` seconds, then cancel what is left."""
        end = asyncio.get_running_loop().time() + timeout
        late: set[asyncio.Task[None]] = set()
        while self._tasks and not late:
            left = end - asyncio.get_running_loop().time()
            _, late = await asyncio.wait(set(self._tasks), timeout=max(0.0, left))
            await asyncio.sleep(0)  # for what ended work has started
        for task in late:
            task.cancel()
            name = task.get_name().removeprefix("authkit ")
            self.failed[name] += 1
            logger.error("background work %s failed: the service closed before it was done", name)
        await asyncio.gather(*late, return_exceptions=True)

    def drop_postponed(self) -> None:
        """Give up what waits for a later try, and postpone nothing more: the service closes."""
        self._closing = True
        for handle in self._postponed.values():
            handle.cancel()
        if self._postponed:
            self.failed["message sent again"] += len(self._postponed)
            logger.error("%d messages were waiting to be sent again", len(self._postponed))
        self._postponed.clear()


def safe_text(error: Exception) -> str:
    """Return what may be logged of an error of a sender: its class, and the text of a ``SendFailure``.

    Any other text may quote the address or the code that the sender was given.
    """
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, SendFailure) else kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Configuration, storage, keys, senders and time, as seen from inside or outside a transaction."""

    config: Config
    clock: Clock
    random_bytes: RandomBytes
    store: Store
    replica: Store
    """Where reads may be a moment old; the same store without a replica."""
    ephemeral: EphemeralStore
    keys: KeySource
    access_tokens: AccessTokenSigner
    own_tokens: OwnTokens
    hasher: PasswordHasher
    background: Background
    batched: BatchedStatements
    exchanges: WeakValueDictionary[tuple[str, int], asyncio.Event] = field(
        default_factory=WeakValueDictionary[tuple[str, int], asyncio.Event]
    )
    """The refresh tokens that are being exchanged, by session and generation; set once one is replaced."""
    senders: Senders = field(default_factory=Senders)
    identity: Mapping[str, IdentityProvider] = field(default_factory=dict[str, IdentityProvider])
    """External login providers by name."""
    entitlements_provider: EntitlementsProvider | None = None
    breach_check: BreachCheck | None = None
    failures: Counter[str] = field(default_factory=Counter[str])
    """How often parts of the host failed in this process, by name: ``entitlements``, ``sink <name>``."""
    hooks: Hooks = field(default_factory=Hooks)
    """The host's functions that receive events in this process."""
    sinks: tuple[str, ...] = ()
    """Names of the sinks that get a row in the outbox with every event."""
    telemetry: Telemetry | None = None
    """What receives the numbers and spans of this service, or None."""
    wake_outbox: Callable[[], None] = lambda: None
    wake_webhooks: Callable[[], None] = lambda: None
    report_unused_sms: Callable[..., Awaitable[object]] | None = None
    """Records that few of the codes that were sent are used; None without storage."""
    waiting: list[Delivery] | None = None
    """Deliveries that wait for the commit; None outside of a transaction."""
    host: HostDeliveries | None = None
    """What waits for the host's own commit, inside a transaction of the host."""

    @property
    def email_sender(self) -> EmailSender | None:
        """What sends mails, or None."""
        return self.senders.email

    @property
    def sms_sender(self) -> SMSSender | None:
        """What sends SMS messages, or None."""
        return self.senders.sms

    @property
    def in_transaction(self) -> bool:
        """True if the queries of this Runtime join a transaction."""
        return self.waiting is not None

    @property
    def has_storage(self) -> bool:
        """True if the service was opened with a database."""
        return not isinstance(self.store, NoStore)

    def stale(self) -> Runtime:
        """Return a Runtime whose reads may be a moment old: for lists that people read, and no decision."""
        if self.in_transaction:
            return self
        return dataclasses.replace(self, store=self.replica)

    async def maybe(self, query: Query[Row], *args: object) -> Row | None:
        """Return the first row, or None when there is none."""
        return await self.store.fetch_one(query, args)

    async def one(self, query: Query[Row], *args: object) -> Row:
        """Return the row of a query that always has one."""
        row = await self.store.fetch_one(query, args)
        if row is None:
            raise LookupError("the query returned no row")
        return row

    async def all(self, query: Query[Row], *args: object) -> list[Row]:
        """Return every row."""
        return await self.store.fetch(query, args)

    async def execute(self, query: Query[Any], *args: object) -> int:
        """Run a statement and return how many rows it touched."""
        return await self.store.execute(query, args)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Runtime, None]:
        """Open a transaction (a savepoint inside one) and yield the Runtime that works in it."""
        waiting: list[Delivery] = []
        async with self.store.begin() as store:
            yield dataclasses.replace(self, store=store, waiting=waiting)
        if self.waiting is not None:
            self.waiting.extend(waiting)
            return
        await run_each(waiting)

    @asynccontextmanager
    async def join(self, connection: Connection) -> AsyncGenerator[Runtime, None]:
        """Open a savepoint in the host's open transaction and yield the Runtime that works in it.

        Deliveries wait for the host's commit, and are dropped with its rollback.
        """
        if not self.has_storage:
            raise StorageNotConfigured
        self.refuse_joining("transaction(connection=...)")
        found, transaction = await joined(connection, self.config.database_schema)
        waiting: list[Delivery] = []
        host = HostDeliveries(self, transaction.number)
        async with found.begin() as store:
            yield dataclasses.replace(self, store=store, waiting=waiting, host=host)
        host.add(waiting)

    async def purge(self, query: Query[int], older_than: float, *more: object, batch: int) -> int:
        """Run a statement that deletes up to ``batch`` rows until fewer are left; return how many went.

        Its parameters are the age in seconds, the batch, and ``more``.
        """
        total = 0
        while True:
            gone = await self.one(query, older_than, batch, *more)
            total += gone
            if gone < batch:
                return total

    async def after_commit(self, delivery: Delivery) -> None:
        """Run the delivery once the outermost transaction has committed; right away outside of one."""
        if self.waiting is None:
            await delivery()
        else:
            self.waiting.append(delivery)

    async def start_after_commit(self, work: Delivery, *, name: str) -> None:
        """Run the work beside the requests once the outermost transaction has committed."""

        async def start() -> None:
            self.background.start(work, name=name)

        await self.after_commit(start)

    def refuse_joining(self, method: str) -> None:
        """Raise ``NotJoinable`` inside a transaction.

        For methods that leave a mark when they refuse (a rollback would wipe it) or that hash a password
        (a connection would be held meanwhile).
        """
        if self.in_transaction:
            raise NotJoinable(f"{method} cannot run inside a transaction")


class HostDeliveries:
    """Deliveries that wait for the commit of a host's transaction, which the server is asked about."""

    def __init__(self, rt: Runtime, number: str) -> None:
        """Wait for the transaction of this number; ``rt`` is outside of it."""
        self._rt = rt
        self._number = number
        self._waiting: list[Delivery] = []

    def add(self, waiting: list[Delivery]) -> None:
        """Keep deliveries, and watch for the end of the transaction beside the requests."""
        self._waiting += waiting
        if waiting:
            self._rt.background.start(self._watch, name="deliveries of a host's transaction")

    async def deliver(self) -> None:
        """Deliver after a commit, drop everything after a rollback, once; raises the first failure.

        Raises:
            NotJoinable: The transaction is still open.
        """
        if await self._is_open():
            raise NotJoinable("deliver() came before the end of the host's transaction: commit it first")

    async def _is_open(self) -> bool:
        status = await self._rt.one(STATUS, self._number)
        if status == IN_PROGRESS:
            return True
        waiting, self._waiting = self._waiting, []
        if status == COMMITTED:
            await run_each(waiting)
        return False

    async def _watch(self) -> None:
        pause = FIRST_LOOK
        while self._waiting:
            await asyncio.sleep(pause)
            pause = min(LONGEST_LOOK, 2 * pause)
            try:
                ended = not self._waiting or not await self._is_open()
            except Unavailable:
                continue
            if ended:
                return


async def run_each(works: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Run every work in order, then raise the first failure: one must not cost another, or undo a commit."""
    failed: list[Exception] = []
    for work in works:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - raised below, after the others had their turn
            failed.append(error)
    if failed:
        raise failed[0]
