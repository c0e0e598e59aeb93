"""From the environment to a ``Config``: as in production, or with everything that development leaves out."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from authkit_issuer.config import Config, environment_name, is_dev_environment
from authkit_issuer.errors import StartupError

DEV_AUDIENCE = "authkit"


def production(env: Mapping[str, str]) -> Config:
    """Return the configuration of a server that is checked as in production, whatever ``env`` calls itself.

    A variable that somebody forgot must not open the inbox or make keys.
    """
    return Config.from_env(env, environment="production", dev=False)


def development(env: Mapping[str, str], data_dir: Path, address: str) -> Config:
    """Return the configuration of ``serve --dev``: what is set counts, the rest is filled in."""
    usual = {
        "AUTHKIT_ISSUER": address,
        "AUTHKIT_AUDIENCES": DEV_AUDIENCE,
        "AUTHKIT_KEYS_DIR": str(data_dir.expanduser().resolve()),
    }
    return Config.from_env({**usual, **env}, dev=True)


def refuse_dev(env: Mapping[str, str], host: str) -> None:
    """Raise ``StartupError`` where ``--dev`` would give its codes and keys to others."""
    if not is_dev_environment(env):
        raise StartupError(f"--dev is refused: the environment is {environment_name(env)!r}.")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise StartupError(f"--dev is refused on {host}: everybody there could read the codes and the mails.")
