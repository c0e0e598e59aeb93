"""The service of the environment, opened for one command."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from authkit_issuer.config import Config, process_environment
from authkit_issuer.service import Service

T = TypeVar("T")

ACTOR = "cli"
"""The actor of the events that a command records."""


def run(work: Callable[[Service], Awaitable[T]]) -> T:
    """Open the service of the environment, run ``work``, close it."""
    # The warnings about settings are for the operator of the server, and `authkit config check` has them.
    logging.getLogger("authkit.service").setLevel(logging.ERROR)

    async def opened() -> T:
        async with await Service.open(Config.from_env(process_environment())) as service:
            return await work(service)

    return asyncio.run(opened())
