"""A Cluster: each key belongs to one of 16,384 slots, and each slot to one master.

Every command and script of the store has one key, so no key needs a hash tag. A node that does not serve a
slot names the one that does (``MOVED``, ``ASK``) and runs nothing: such a command is sent to the other one.
"""

from __future__ import annotations

import asyncio
import binascii
import itertools
from collections.abc import Sequence
from typing import Any

from authkit_issuer.ephemeral.redis.address import Address, Node
from authkit_issuer.ephemeral.redis.connection import Access, connect
from authkit_issuer.ephemeral.redis.failures import Disconnected, RedisFailure, Refusal
from authkit_issuer.ephemeral.redis.servers import Link, Word

SLOTS = 16_384
MAX_REDIRECTS = 4
REFRESH_PAUSE = 0.1
"""Seconds between two questions for the map of slots."""
_MOVES = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING"})
"""Refusals after which the slot may have another master."""


class Cluster:
    """The masters of a Cluster, and the slots of each."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Keep the first nodes to ask; nothing is sent yet."""
        self._first = address.nodes
        self._access = Access(timeout=timeout, login=address.login, tls=address.tls)
        self._links = {node: self._link(node) for node in address.nodes}
        self._owners: dict[int, Node] = {}
        self._stale = True
        self._refreshed_at = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    async def execute(self, key: str, *command: Word) -> Any:
        """See ``Servers``."""
        if self._stale:
            await self._refresh()
        slot = slot_of(key)
        node, asking = self._owner(slot), False
        for _ in range(MAX_REDIRECTS):
            try:
                return await self._links[node].execute(*command, asking=asking)
            except Disconnected:
                self._stale = True
                raise
            except Refusal as refusal:
                target = refusal.moved_to
                self._stale |= refusal.cause in _MOVES
                if target is None:
                    raise
                node, asking = Node(target[0] or node.host, target[1]), refusal.cause == "ASK"
                self._links.setdefault(node, self._link(node))
                if not asking:
                    self._owners[slot], self._stale = node, True
        raise Disconnected(f"the Cluster redirects slot {slot} without end")

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See ``Servers``: the keys may be those of several masters."""
        return list(await asyncio.gather(*(self.execute(key, "GET", key) for key in keys)))

    async def masters(self) -> Sequence[Link]:
        """See ``Servers``."""
        if self._stale:
            await self._refresh()
        return [self._links[node] for node in dict.fromkeys(self._owners.values())]

    async def probe_keys(self, prefix: str) -> Sequence[str]:
        """See ``Servers``: one key for each master."""
        if self._stale:
            await self._refresh()
        if len(self._owners) < SLOTS:
            self._stale = True
            raise Disconnected("a slot of the Cluster has no master")
        masters, keys = set(self._owners.values()), dict[Node, str]()
        for number in itertools.count():
            key = f"{prefix}{number}"
            keys.setdefault(self._owners[slot_of(key)], key)
            if len(keys) == len(masters):
                break
        return list(keys.values())

    async def aclose(self) -> None:
        """See ``Servers``."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        for link in tuple(self._links.values()):
            await link.aclose()

    def _owner(self, slot: int) -> Node:
        node = self._owners.get(slot)
        if node is None:
            self._stale = True
            raise Disconnected(f"no node of the Cluster serves slot {slot}")
        return node

    def _link(self, node: Node) -> Link:
        return Link(lambda: connect(node, self._access))

    async def _refresh(self) -> None:
        """Read the map again; a map that was read before serves on while no node answers."""
        if self._refreshing is None:
            pause = self._refreshed_at + REFRESH_PAUSE - asyncio.get_running_loop().time()
            if self._owners and pause > 0:
                return
            self._refreshing = asyncio.ensure_future(self._read_map())
            self._refreshing.add_done_callback(self._refreshed)
        try:
            await asyncio.shield(self._refreshing)
        except RedisFailure:
            if not self._owners:
                raise

    def _refreshed(self, task: asyncio.Task[None]) -> None:
        self._refreshing = None
        self._refreshed_at = task.get_loop().time()
        if not task.cancelled():
            task.exception()

    async def _read_map(self) -> None:
        """Take the first map of a node that sees a working Cluster, else the first one."""
        asked = [asyncio.ensure_future(_ask(node, link)) for node, link in self._links.items()]
        maps: list[dict[int, Node]] = []
        failures: list[RedisFailure] = []
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    works, found = await answer
                except RedisFailure as failure:
                    failures.append(failure)
                    continue
                maps.insert(0 if works else len(maps), found)
                if works:
                    break
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not maps:
            raise next((failure for failure in failures if isinstance(failure, Refusal)), failures[0])
        await self._take(maps[0])

    async def _take(self, owners: dict[int, Node]) -> None:
        self._owners, self._stale = owners, False
        masters = set(owners.values())
        for node in masters - self._links.keys():
            self._links[node] = self._link(node)
        # All at once, before the first wait: a command that is sent to one of them meanwhile opens it anew.
        gone = [self._links.pop(node) for node in self._links.keys() - masters - set(self._first)]
        for link in gone:
            await link.aclose()


def slot_of(key: str) -> int:
    """Return the slot of a key: that of the text in its first braces, if there is one."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return binascii.crc_hqx((tag if opened and closed and tag else key).encode(), 0) % SLOTS


async def _ask(node: Node, link: Link) -> tuple[bool, dict[int, Node]]:
    """Return whether the node sees a working Cluster, and the master of each slot."""
    state, ranges = await link.execute("CLUSTER", "INFO"), await link.execute("CLUSTER", "SLOTS")
    owners: dict[int, Node] = {}
    try:
        for first, last, master, *_ in ranges:
            host = (master[0] or b"").decode()
            owner = Node(host or node.host, master[1])
            owners.update(dict.fromkeys(range(first, min(last + 1, SLOTS)), owner))
        works = b"cluster_state:ok" in state
    except (TypeError, ValueError, AttributeError) as error:
        raise Disconnected(f"{node} names no masters") from error
    return works, owners
