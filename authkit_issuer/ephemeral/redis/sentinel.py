"""The master of a set of servers that sentinels watch: asked for whenever a connection is opened."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import cast

from authkit_issuer.ephemeral.redis.address import Address, Node
from authkit_issuer.ephemeral.redis.connection import Access, Connection, connect
from authkit_issuer.ephemeral.redis.failures import Disconnected, RedisFailure, Refusal, UnknownMaster
from authkit_issuer.ephemeral.redis.servers import SingleServer


def sentinels(address: Address, timeout: float) -> SingleServer:
    """Return the server that the sentinels call the master."""
    to_sentinel = Access(timeout=timeout, login=address.sentinel_login, tls=address.tls)
    to_master = Access(timeout=timeout, login=address.login, tls=address.tls, database=address.database)

    async def open_connection() -> Connection:
        try:
            async with asyncio.timeout(timeout):
                return await _connect_to_master(await _find_master(address, to_sentinel), to_master)
        except TimeoutError:
            raise Disconnected(f"no master of the sentinels answers within {timeout:g} s") from None

    return SingleServer(open_connection)


async def _connect_to_master(node: Node, access: Access) -> Connection:
    connection = await connect(node, access)
    try:
        role = await connection.send("ROLE")
    except Refusal:  # the user may lack the right; a replica refuses the first write
        return connection
    except BaseException:
        # The time of the whole search may be up while this server still has some: no caller waits any more.
        connection.close()
        raise
    if not isinstance(role, list) or role[:1] != [b"master"]:
        connection.close()
        raise Disconnected(f"{node} is not the master any more")
    return connection


async def _find_master(address: Address, access: Access) -> Node:
    """Return what most sentinels say; one alone may have missed a change of the master."""
    asked = [asyncio.ensure_future(_ask(address, node, access)) for node in address.nodes]
    said: Counter[Node] = Counter()
    failures: list[RedisFailure] = []
    try:
        for answer in asyncio.as_completed(asked):
            try:
                node = await answer
            except RedisFailure as failure:
                failures.append(failure)
                continue
            said[node] += 1
            if said[node] > len(asked) // 2:
                return node
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    if said:
        return said.most_common(1)[0][0]
    raise next((failure for failure in failures if not isinstance(failure, Disconnected)), failures[0])


async def _ask(address: Address, node: Node, access: Access) -> Node:
    connection = await connect(node, access)
    try:
        found = await connection.send("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.master)
    finally:
        connection.close()
    if found is None:
        raise UnknownMaster(f"The sentinel {node} watches no master that is called {address.master}")
    try:
        host, port = cast("list[bytes]", found)
        return Node(host.decode(), int(port))
    except (TypeError, ValueError, AttributeError) as error:
        raise Disconnected(f"the sentinel {node} names no address") from error
