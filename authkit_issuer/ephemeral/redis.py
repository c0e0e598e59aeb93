"""The ephemeral store that several processes share: one Redis of version 6.2 or newer.

Commands are sent once and never repeated: a repeated ``GETDEL`` or ``INCR`` whose first answer was lost would
report a code as absent or count a try twice. The caller gets EphemeralStoreUnavailable instead.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authkit_issuer.ephemeral.gcra import ADMIT_SCRIPT, GIVE_BACK_SCRIPT, MICRO
from authkit_issuer.ephemeral.memory import check_ttl
from authkit_issuer.errors import ConfigError, EphemeralStoreUnavailable, StartupError
from authkit_issuer.ports import EphemeralMode

if TYPE_CHECKING:
    from typing import Self

TIMEOUT = 2.0
"""Seconds to connect, to wait for an answer, and to wait for a free connection."""
MAX_CONNECTIONS = 32

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

logger = logging.getLogger("authkit.ephemeral")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """The state of a server; None is unknown."""

    replica: bool | None
    persistent: bool | None
    """True if records survive a restart: by snapshots or by the append-only file."""


class RedisStore:
    """Records in Redis, under a prefix that keeps services on one server apart."""

    def __init__(self, url: str, prefix: str = "auth:") -> None:
        """Prepare the pool; nothing is sent yet. ``ConfigError`` when the address is unreadable."""
        self._errors = _client_errors()
        self._prefix = prefix
        self._redis = _client(url)

    @classmethod
    async def connect(cls, url: str, prefix: str = "auth:") -> Self:
        """Return a store whose server answers and can be relied on.

        Raises ``ConfigError`` for the address, ``EphemeralStoreUnavailable`` when Redis does not answer, and
        ``StartupError`` for a server that is too old, forbids a command, or may evict live records.
        """
        store = cls(url, prefix)
        try:
            await store._check_server()
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
        value: bytes | None = await self._call("GET", self._prefix + key)
        return value

    async def set(self, key: str, value: bytes, ttl: float, *, only_if_absent: bool = False) -> bool:
        """See ``EphemeralStore``."""
        condition = ("NX",) if only_if_absent else ()
        return bool(
            await self._call("SET", self._prefix + key, bytes(value), "PX", _milliseconds(ttl), *condition)
        )

    async def delete(self, key: str) -> bool:
        """See ``EphemeralStore``."""
        return bool(await self._call("DEL", self._prefix + key))

    async def take(self, key: str) -> bytes | None:
        """See ``EphemeralStore``."""
        value: bytes | None = await self._call("GETDEL", self._prefix + key)
        return value

    async def take_if(self, key: str, expected: bytes) -> bool:
        """See ``EphemeralStore``."""
        return bool(await self._call("EVAL", _TAKE_IF, 1, self._prefix + key, bytes(expected)))

    async def replace_if(self, key: str, expected: bytes, value: bytes, ttl: float) -> bool:
        """See ``EphemeralStore``."""
        command = ("EVAL", _REPLACE_IF, 1, self._prefix + key, bytes(expected), bytes(value))
        return bool(await self._call(*command, _milliseconds(ttl)))

    async def incr(self, key: str, ttl: float) -> int:
        """See ``EphemeralStore``."""
        return int(await self._call("EVAL", _INCR, 1, self._prefix + key, _milliseconds(ttl)))

    async def admit(self, key: str, calls: int, window: float) -> tuple[bool, float]:
        """See ``EphemeralStore``."""
        check_ttl(window)
        span = int(window * MICRO)
        command = ("EVAL", ADMIT_SCRIPT, 1, self._prefix + key, span // calls, span)
        admitted, ahead = await self._call(*command)
        return bool(admitted), int(ahead) / MICRO

    async def give_back(self, key: str, calls: int, window: float) -> None:
        """See ``EphemeralStore``."""
        check_ttl(window)
        await self._call("EVAL", GIVE_BACK_SCRIPT, 1, self._prefix + key, int(window * MICRO) // calls)

    async def inspect(self) -> RedisFacts:
        """Return role and persistence of the server; None where it does not say."""
        try:
            role = await self._call("INFO", "replication")
            persistence = await self._call("INFO", "persistence")
            save = await self._call("CONFIG GET", "save")
        except EphemeralStoreUnavailable as error:
            if isinstance(error.__cause__, self._errors.ResponseError):  # a managed server hides these
                return RedisFacts(replica=None, persistent=None)
            raise
        snapshots = any(_text(value) for value in save.values())
        return RedisFacts(
            replica=role.get("role") == "slave", persistent=bool(persistence.get("aof_enabled")) or snapshots
        )

    async def ping(self) -> None:
        """See ``EphemeralStore``."""
        await self._call("PING")

    async def aclose(self) -> None:
        """See ``EphemeralStore``."""
        await self._redis.aclose()

    async def _call(self, *command: object) -> Any:
        try:
            return await self._redis.execute_command(*command)
        except (self._errors.RedisError, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> EphemeralStoreUnavailable:
        # The client's text names the server and the cause, and never the password.
        return EphemeralStoreUnavailable().because(f"Redis of redis_url: {str(error).rstrip('.')}")

    async def _check_server(self) -> None:
        errors, probe = self._errors, f"{self._prefix}startup-check"
        try:
            await self._redis.execute_command("GETDEL", probe)
            await self._redis.execute_command("EVAL", _TAKE_IF, 1, probe, b"")
        except errors.AuthenticationError as error:
            raise StartupError("Redis refuses the user name or password of redis_url.") from error
        except errors.NoPermissionError as error:
            raise StartupError(
                f"Redis does not let this user run GETDEL and EVAL on {self._prefix}*."
            ) from error
        except errors.ResponseError as error:
            raise StartupError(
                f"This Redis cannot be used, version 6.2 or newer is needed: {error}."
            ) from error
        except (errors.RedisError, OSError) as error:
            raise self._unavailable(error) from error
        await self._check_eviction()

    async def _check_eviction(self) -> None:
        """Refuse a server that drops live records when memory is short: a lost counter is a free guess."""
        try:
            found = await self._redis.execute_command("CONFIG GET", "maxmemory-policy")
        except self._errors.ResponseError:
            found = {}
        except (self._errors.RedisError, OSError) as error:
            raise self._unavailable(error) from error
        policy = next((_text(value) for value in found.values()), "")
        if not policy:
            logger.warning("redis does not tell its maxmemory-policy; make sure that it is noeviction")
        elif policy != "noeviction":
            raise StartupError(
                f"Redis may evict live codes and counters: set maxmemory-policy to noeviction, not {policy}."
            )


def _client_errors() -> Any:
    # Imported here and below, because a host with the memory store need not install the client.
    try:
        from redis import exceptions  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError('redis_url needs the Redis client: install "asgi-authkit[redis]".') from error
    return exceptions


def _client(url: str) -> Any:
    from redis import __version__  # noqa: PLC0415
    from redis import asyncio as client  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.driver_info import DriverInfo  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    try:
        pool = client.BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            # Left to itself, every new connection looks the package's version up on disk.
            driver_info=DriverInfo(lib_version=__version__),
            decode_responses=False,
            protocol=2,
        )
    except ValueError as error:
        # The address may hold a password, so it is not repeated.
        raise ConfigError("redis_url must be a redis://, rediss:// or unix:// address.") from error
    return client.Redis.from_pool(pool)


def _milliseconds(ttl: float) -> int:
    check_ttl(ttl)
    return math.ceil(ttl * 1000)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
