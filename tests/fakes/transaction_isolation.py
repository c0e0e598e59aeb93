"""A database whose connections begin with another isolation than READ COMMITTED."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fakes.servers import on


@asynccontextmanager
async def default_isolation_of(database_url: str, level: str) -> AsyncGenerator[None]:
    """Give new connections this isolation inside the block, unless they ask for one."""
    change = f"alter database {urlsplit(database_url).path.lstrip('/')}"
    default = f"{change} set default_transaction_isolation = '{level}'"
    await on(database_url, lambda connection: connection.execute(default))
    try:
        yield
    finally:
        reset = f"{change} reset default_transaction_isolation"
        await on(database_url, lambda connection: connection.execute(reset))
