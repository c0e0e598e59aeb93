"""The service of the environment, opened for one command."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from authkit_issuer.config import Config, process_environment
from authkit_issuer.config.settings import missing, read
from authkit_issuer.errors import ConfigError
from authkit_issuer.keys import KeySet, StaticKeys
from authkit_issuer.service import Service

T = TypeVar("T")

ACTOR = "cli"
"""The actor of the events that a command records."""


def run(work: Callable[[Service], Awaitable[T]], *, reads: bool = False) -> T:
    """Open the service of the environment, run ``work``, close it.

    Args:
        work: What the command does.
        reads: True if it changes nothing: then the database is all that it needs.

    Returns:
        The result of ``work``.

    Raises:
        ConfigError: A setting is missing or cannot work.
        StartupError: The database or Redis cannot be used.
        AuthError: What ``work`` raises.
    """
    # The warnings about settings are for the operator of the server, and `authkit config check` has them.
    logging.getLogger("authkit.service").setLevel(logging.ERROR)
    config = _reading() if reads else Config.from_env(process_environment())
    if config.database_url is None:
        raise ConfigError(missing("database_url"))

    async def opened() -> T:
        async with await Service.open(config) as service:
            return await work(service)

    return asyncio.run(opened())


def _reading() -> Config:
    """Return a configuration that needs no issuer, no keys and no Redis: nothing is signed or counted."""
    env = process_environment()
    settings = read(env, Config)
    keys = KeySet(signing=None, public={}, refresh_secrets={0: os.urandom(32)}, active_secret=0)
    return Config.from_env(
        env,
        issuer=settings.values.get("issuer", "https://issuer.invalid"),
        issued_audiences=settings.values.get("issued_audiences", ("none",)),
        keys=StaticKeys(keys),
        redis_url=None,
        environment="",
        dev=False,
    )
