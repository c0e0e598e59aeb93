"""The ``Config`` of a server process, checked as in production or filled in for development."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from authkit_issuer.config import Config, environment_name, is_dev_environment
from authkit_issuer.errors import StartupError

DEV_AUDIENCE = "authkit"


def production(env: Mapping[str, str]) -> Config:
    """Return a configuration checked as in production, even if ``env`` names another environment.

    A forgotten variable must not open the inbox or generate keys.
    """
    return Config.from_env(env, environment="production", dev=False)


def development(env: Mapping[str, str], data_dir: Path, address: str) -> Config:
    """Return the configuration of ``serve --dev``: the settings, and defaults for the rest."""
    usual = {
        "AUTHKIT_ISSUER": address,
        "AUTHKIT_AUDIENCES": DEV_AUDIENCE,
        "AUTHKIT_KEYS_DIR": str(data_dir.expanduser().resolve()),
    }
    return Config.from_env({**usual, **env}, dev=True)


def refuse_dev(env: Mapping[str, str], host: str) -> None:
    """Raise ``StartupError`` where ``--dev`` would expose codes and keys."""
    if not is_dev_environment(env):
        raise StartupError(f"--dev is refused: the environment is {environment_name(env)!r}.")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise StartupError(f"--dev is refused on {host}: others could read codes and mails; use 127.0.0.1.")
