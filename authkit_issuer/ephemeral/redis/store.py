"""The store over one Redis, the master of some sentinels, or a Cluster; of Redis 6.2 or newer, or Valkey.

A command is sent once and never repeated: a repeated ``GETDEL`` or ``INCR`` whose first reply was lost would
report a code as absent or count a try twice. The caller gets EphemeralStoreUnavailable instead.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authkit_issuer.ephemeral.gcra import ADMIT_SCRIPT, GIVE_BACK_SCRIPT, MICRO
from authkit_issuer.ephemeral.memory import check_ttl
from authkit_issuer.ephemeral.redis import checks
from authkit_issuer.ephemeral.redis.address import Address, parse
from authkit_issuer.ephemeral.redis.cluster import Cluster
from authkit_issuer.ephemeral.redis.failures import Disconnected, RedisFailure, Refusal
from authkit_issuer.ephemeral.redis.sentinel import sentinels
from authkit_issuer.ephemeral.redis.servers import Servers, Word, direct
from authkit_issuer.errors import EphemeralStoreUnavailable
from authkit_issuer.ports import EphemeralMode

if TYPE_CHECKING:
    from typing import Self

TIMEOUT = 2.0
"""Seconds to connect and to wait for a reply, unless ``redis_timeout`` says otherwise."""
PING_TIMEOUT = 2.0
"""Seconds within which the store must take a write to count as ready."""
_PROBE_LIFE = 60_000

# Value and expiry change in one step: no other command runs between them (Redis: EVAL is atomic).
_TAKE_IF = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_REPLACE_IF = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_INCR = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return count
"""
_CAUSES = {"READONLY": "read_only", "OOM": "full", "MISCONF": "not_persisting", "NOREPLICAS": "no_replicas"}
"""What a server that takes no writes replies with, and the word for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """The state of the servers; None is unknown."""

    persistent: bool | None
    """True if records survive a restart: by snapshots or by the append-only file."""


class RedisStore:
    """Records in Redis, under a prefix that keeps services on one server apart."""

    def __init__(self, url: str, prefix: str = "auth:", *, timeout: float = TIMEOUT) -> None:
        """Read the address; nothing is sent yet. ``ConfigError`` when it is unreadable."""
        self._prefix = prefix
        self._address = parse(url)
        self._servers = _servers(self._address, timeout)
        self._probe = f"{prefix}ready:{os.getpid()}:"

    @classmethod
    async def connect(
        cls,
        url: str,
        prefix: str = "auth:",
        *,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - of each command
    ) -> Self:
        """Return a store whose servers answer and can be relied on.

        Args:
            url: The address, in one of the forms of ``redis_url``.
            prefix: The prefix of every key.
            timeout: Seconds to connect, and to wait for a reply.

        Returns:
            The store.

        Raises:
            ConfigError: The address is unreadable.
            EphemeralStoreUnavailable: Redis does not answer.
            StartupError: A server is too old, a replica, of another kind than the address says, forbids a
                command, or may evict live records.
        """
        store = cls(url, prefix, timeout=timeout)
        try:
            await checks.check(store._servers, store._address, prefix, _TAKE_IF)
        except RedisFailure as failure:
            await store.aclose()
            raise _unavailable(failure) from failure
        except BaseException:
            await store.aclose()
            raise
        return store

    @property
    def mode(self) -> EphemeralMode:
        """See ``EphemeralStore``."""
        return "redis"

    async def get(self, key: str) -> bytes | None:
        """See ``EphemeralStore``."""
        return _value(await self._call("GET", key))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See ``EphemeralStore``."""
        try:
            found = await self._servers.get_many([self._prefix + key for key in keys])
        except RedisFailure as failure:
            raise _unavailable(failure) from failure
        return [_value(reply) for reply in found]

    async def set(self, key: str, value: bytes, ttl: float, *, only_if_absent: bool = False) -> bool:
        """See ``EphemeralStore``."""
        condition = ("NX",) if only_if_absent else ()
        reply = await self._call("SET", key, bytes(value), "PX", _milliseconds(ttl), *condition)
        return _value(reply) is not None

    async def delete(self, key: str) -> bool:
        """See ``EphemeralStore``."""
        return bool(_number(await self._call("DEL", key)))

    async def take(self, key: str) -> bytes | None:
        """See ``EphemeralStore``."""
        return _value(await self._call("GETDEL", key))

    async def take_if(self, key: str, expected: bytes) -> bool:
        """See ``EphemeralStore``."""
        return bool(_number(await self._run(_TAKE_IF, key, bytes(expected))))

    async def replace_if(self, key: str, expected: bytes, value: bytes, ttl: float) -> bool:
        """See ``EphemeralStore``."""
        changed = await self._run(_REPLACE_IF, key, bytes(expected), bytes(value), _milliseconds(ttl))
        return bool(_number(changed))

    async def incr(self, key: str, ttl: float) -> int:
        """See ``EphemeralStore``."""
        return _number(await self._run(_INCR, key, _milliseconds(ttl)))

    async def admit(self, key: str, calls: int, window: float) -> tuple[bool, float]:
        """See ``EphemeralStore``."""
        check_ttl(window)
        span = int(window * MICRO)
        reply = await self._run(ADMIT_SCRIPT, key, span // calls, span)
        if not isinstance(reply, list) or len(reply) != 2:
            raise _misfit(reply)
        return bool(_number(reply[0])), _number(reply[1]) / MICRO

    async def give_back(self, key: str, calls: int, window: float) -> None:
        """See ``EphemeralStore``."""
        check_ttl(window)
        await self._run(GIVE_BACK_SCRIPT, key, int(window * MICRO) // calls)

    async def inspect(self) -> RedisFacts:
        """Return the persistence of the servers; None where one does not say."""
        try:
            found = [await _persistent(server) for server in await self._servers.masters()]
        except RedisFailure as failure:
            raise _unavailable(failure) from failure
        return RedisFacts(persistent=None if None in found else all(found))

    async def ping(self) -> None:
        """See ``EphemeralStore``: every server takes a write of the kind that codes and counters need."""
        try:
            async with asyncio.timeout(PING_TIMEOUT):
                for probe in await self._servers.probe_keys(self._probe):
                    await self._servers.execute(probe, "EVAL", _INCR, 1, probe, _PROBE_LIFE)
        except TimeoutError:
            silence = Disconnected(f"no reply within {PING_TIMEOUT:g} s")
            raise _unavailable(silence) from silence
        except RedisFailure as failure:
            raise _unavailable(failure) from failure

    async def aclose(self) -> None:
        """See ``EphemeralStore``."""
        await self._servers.aclose()

    async def _call(self, name: str, key: str, *arguments: Word) -> Any:
        key = self._prefix + key
        try:
            return await self._servers.execute(key, name, key, *arguments)
        except RedisFailure as failure:
            raise _unavailable(failure) from failure

    async def _run(self, script: str, key: str, *arguments: Word) -> Any:
        key = self._prefix + key
        try:
            return await self._servers.execute(key, "EVAL", script, 1, key, *arguments)
        except RedisFailure as failure:
            raise _unavailable(failure) from failure


def _servers(address: Address, timeout: float) -> Servers:
    if address.kind == "cluster":
        return Cluster(address, timeout)
    return sentinels(address, timeout) if address.kind == "sentinel" else direct(address, timeout)


def _value(reply: Any) -> bytes | None:
    if reply is None or isinstance(reply, bytes):
        return reply
    raise _misfit(reply)


def _number(reply: Any) -> int:
    if isinstance(reply, int):
        return reply
    raise _misfit(reply)


def _misfit(reply: object) -> EphemeralStoreUnavailable:
    """Return the failure for a reply that no Redis sends to the command; its content stays out of the log."""
    return _unavailable(Disconnected(f"a reply of another type than expected: {type(reply).__name__}"))


def _unavailable(failure: RedisFailure) -> EphemeralStoreUnavailable:
    # The text names the server and the cause, and never the password.
    error = EphemeralStoreUnavailable().because(f"Redis of redis_url: {str(failure).rstrip('.')}")
    error.cause = _CAUSES.get(failure.cause, "refused") if isinstance(failure, Refusal) else "unreachable"
    return error


async def _persistent(server: Any) -> bool | None:
    found, save = await checks.facts(server), await checks.setting(server, "save")
    if save is None or "aof_enabled" not in found:
        return None
    return bool(save) or found["aof_enabled"] == "1"


def _milliseconds(ttl: float) -> int:
    check_ttl(ttl)
    return math.ceil(ttl * 1000)
