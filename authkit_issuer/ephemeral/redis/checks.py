"""What a server must be before the service relies on it: each refusal is a sentence for the operator."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from authkit_issuer.ephemeral.redis.address import Address
from authkit_issuer.ephemeral.redis.failures import Refusal, UnknownMaster
from authkit_issuer.ephemeral.redis.servers import Link, Servers
from authkit_issuer.errors import StartupError

OLDEST = (6, 2)
logger = logging.getLogger("authkit.ephemeral")


async def check(servers: Servers, address: Address, prefix: str, script: str) -> None:
    """Refuse servers that are not what the address says, too old, replicas, or that evict records.

    Args:
        servers: Where the commands go.
        address: What ``redis_url`` says.
        prefix: The prefix of the service's keys.
        script: A script that changes nothing for an unknown key.

    Raises:
        StartupError: The server cannot be used.
        RedisFailure: It cannot be reached.
    """
    try:
        masters = await servers.masters()
        for master in masters:
            _check_facts(await facts(master), address)
        probe = f"{prefix}startup-check"
        await servers.execute(probe, "GETDEL", probe)
        await servers.execute(probe, "EVAL", script, 1, probe, b"")
        for master in masters:
            await _check_eviction(master)
    except UnknownMaster as failure:
        raise StartupError(f"{failure}: correct the name at the end of redis_url.") from failure
    except Refusal as refusal:
        sentence = _sentence(refusal, prefix)
        if sentence is None:
            raise
        raise StartupError(sentence) from refusal


async def facts(server: Link) -> dict[str, str]:
    """Return what ``INFO`` says; nothing where the user may not ask."""
    try:
        text: bytes = await server.execute("INFO")
    except Refusal as refusal:
        if refusal.cause == "NOAUTH":
            raise
        return {}
    pairs = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}


async def setting(server: Link, name: str) -> str | None:
    """Return a setting of the server; None where the user may not ask."""
    try:
        found: list[bytes] = await server.execute("CONFIG", "GET", name)
    except Refusal:
        return None
    return found[1].decode() if found else None


def _check_facts(found: Mapping[str, str], address: Address) -> None:
    mode, version = found.get("redis_mode", ""), found.get("redis_version", "")
    if mode == "sentinel":
        raise StartupError(
            "redis_url names a sentinel: write redis+sentinel://host1,host2,host3/mymaster, with the name of "
            "the master."
        )
    if mode == "cluster" and address.kind != "cluster":
        raise StartupError(
            "redis_url names a node of a Redis Cluster: write redis+cluster://host1,host2,host3."
        )
    if found.get("role") == "slave":
        raise StartupError(
            "redis_url names a replica, which keeps no writes: name its master, or its sentinels as "
            "redis+sentinel://host1,host2,host3/mymaster."
        )
    if version and tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise StartupError(f"Redis {version} of redis_url is too old: version 6.2 or newer is needed.")


async def _check_eviction(server: Link) -> None:
    """Refuse a server that drops live records when memory is short: a lost counter is a free guess."""
    policy = await setting(server, "maxmemory-policy")
    if not policy:
        logger.warning("redis does not tell its maxmemory-policy; make sure that it is noeviction")
    elif policy != "noeviction":
        raise StartupError(
            f"Redis may evict live codes and counters: set maxmemory-policy to noeviction, not {policy}."
        )


def _sentence(refusal: Refusal, prefix: str) -> str | None:
    """Return what to tell the operator; None where the server may accept the command later."""
    text = str(refusal)
    if "AUTH" in text or refusal.cause == "WRONGPASS":
        return "Redis refuses the user name or password of redis_url."
    if refusal.cause == "NOPERM":
        return f"Redis does not let this user run GETDEL and EVAL on {prefix}*: {text}."
    if refusal.cause == "READONLY":
        return "redis_url names a replica, which accepts no writes: name its master, or its sentinels."
    if "cluster support disabled" in text:
        return "redis_url names a Redis that is not a Cluster: write redis://host:port/0."
    if "unknown command" in text:
        return f"This Redis cannot be used, version 6.2 or newer is needed: {text}."
    return f"This Redis cannot be used: {text}." if text.startswith("ERR") else None
