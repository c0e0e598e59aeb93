"""Several Redis servers that belong together: a master with replicas and sentinels, or a Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import hiredis

from authkit_issuer.errors import EphemeralStoreUnavailable
from fakes.patience import PATIENCE
from fakes.ports import free_port
from fakes.servers import RedisServer
from fakes.soak import SOAK
from fakes.until import wait_until

if TYPE_CHECKING:
    from typing import Self

Answer = TypeVar("Answer")
SLOTS = 16_384
SOON = 1.0 if SOAK else 20.0
"""Seconds in which a store follows a new master; a soak has the machine to itself."""


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; servers that do not answer yet are asked again."""
    wait_until(condition, hiredis.HiredisError, OSError)


async def answer_after_fail_over(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return the first answer of a store; until then it is unavailable, and nothing else."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await ask()
            except EphemeralStoreUnavailable:
                await asyncio.sleep(0.02)


class RedisGroup:
    """Servers that start together and are killed together."""

    servers: list[RedisServer]

    def start(self) -> None:
        """Return once the servers work together."""
        raise NotImplementedError

    def stop(self) -> None:
        """Kill them all."""
        for server in self.servers:
            server.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class SentinelGroup(RedisGroup):
    """A master, a replica and three sentinels that call them ``mymaster``."""

    def __init__(self, folder: Path, *, password: str = "", sentinel_password: str = "") -> None:
        secured = ("--requirepass", password, "--masterauth", password) if password else ()
        ports = [free_port() for _ in range(2)]
        self.servers = [RedisServer(folder / f"redis{port}", *secured, port=port) for port in ports]
        self.servers[1].arguments += ("--replicaof", "127.0.0.1", str(ports[0]))
        self.sentinels = [self._sentinel(folder, password, sentinel_password) for _ in range(3)]
        self._secret = sentinel_password
        self._password = password

    def _sentinel(self, folder: Path, password: str, own: str) -> RedisServer:
        port = free_port()
        home = folder / f"sentinel{port}"
        home.mkdir(parents=True)
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {home}",
            f"sentinel monitor mymaster 127.0.0.1 {self.servers[0].port} 2",
            "sentinel down-after-milliseconds mymaster 500",
            "sentinel failover-timeout mymaster 3000",
        ]
        if password:
            lines.append(f"sentinel auth-pass mymaster {password}")
        if own:
            lines += [f"requirepass {own}", f"sentinel sentinel-pass {own}"]
        (home / "sentinel.conf").write_text("\n".join(lines) + "\n")
        sentinel = RedisServer(home, str(home / "sentinel.conf"), "--sentinel", port=port)
        sentinel.is_sentinel = True
        return sentinel

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        login = f":{self._password}@" if self._password else ""
        query = f"?sentinel_password={self._secret}" if self._secret else ""
        return f"redis+sentinel://{login}{hosts}/mymaster/0{query}"

    def start(self) -> None:
        """Return once every sentinel knows the others and the replica."""
        for server in self.servers:
            server.start()
        # A sentinel that does not find the replica at once asks for it again after ten seconds.
        wait_for(lambda: self.servers[1].ask("ROLE", password=self._password)[3] == "connected")
        wait_for(lambda: len(self.servers[0].ask("ROLE", password=self._password)[2]) == 1)
        for sentinel in self.sentinels:
            sentinel.start()
        wait_for(lambda: all(self._knows_everybody(sentinel) for sentinel in self.sentinels))

    def master(self) -> RedisServer:
        """Return the server that the first living sentinel calls the master."""
        sentinel = next(one for one in self.sentinels if one.process is not None)
        _, port = self._ask(sentinel, "GET-MASTER-ADDR-BY-NAME")
        return next(server for server in self.servers if server.port == int(port))

    def stop(self) -> None:
        """Kill them all."""
        for sentinel in self.sentinels:
            sentinel.stop()
        super().stop()

    def _ask(self, sentinel: RedisServer, question: str) -> list[str]:
        reply: list[str] = sentinel.ask("SENTINEL", question, "mymaster", password=self._secret)
        return reply

    def _knows_everybody(self, sentinel: RedisServer) -> bool:
        found = self._ask(sentinel, "MASTER")
        facts = dict(zip(found[::2], found[1::2], strict=True))
        counts = facts["num-other-sentinels"], facts["num-slaves"]
        return counts == ("2", "1") and facts["flags"] == "master"


class RedisCluster(RedisGroup):
    """Three masters, and a replica of each unless ``replicas`` is off."""

    def __init__(self, folder: Path, *, replicas: bool = False, program: str = "") -> None:
        arguments = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--databases", "1")
        ports = [free_port() for _ in range(6 if replicas else 3)]
        self.servers = [
            RedisServer(folder / f"node{port}", *arguments, program=program, port=port) for port in ports
        ]
        self.masters, self.replicas = self.servers[:3], self.servers[3:]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.masters)

    def start(self) -> None:
        """Return once every node serves all slots."""
        for server in self.servers:
            server.start()
        first = self.servers[0]
        for server in self.servers[1:]:
            server.ask("CLUSTER", "MEET", "127.0.0.1", first.port)
        for number, master in enumerate(self.masters):
            slots = range(number * SLOTS // 3, (number + 1) * SLOTS // 3)
            master.ask("CLUSTER", "ADDSLOTS", *slots)
        wait_for(lambda: all(self._works(server) for server in self.servers))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            replica.ask("CLUSTER", "REPLICATE", master.ask("CLUSTER", "MYID"))
        for replica in self.replicas:
            wait_for(lambda replica=replica: replica.ask("ROLE")[3] == "connected")  # type: ignore[misc]

    def empty(self) -> None:
        """Delete every key."""
        for server in self.masters:
            server.ask("FLUSHALL")

    def _works(self, server: RedisServer) -> bool:
        state = server.ask("CLUSTER", "INFO")
        known = len(self.servers)
        return "cluster_state:ok" in state and f"cluster_known_nodes:{known}" in state
