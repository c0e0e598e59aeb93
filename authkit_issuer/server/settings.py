"""The ``Config`` of a server process, checked as in production or filled in for development."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from authkit_issuer.config import Config, environment_name, is_dev_environment
from authkit_issuer.config.settings import read
from authkit_issuer.errors import ConfigError, StartupError
from authkit_issuer.security.key_sources import find_key_file
from authkit_issuer.server.options import ServeOptions

DEV_AUDIENCE = "authkit"
SERVER_NEEDS = ("issuer", "issued_audiences", "database_url", "redis_url")


def production(env: Mapping[str, str]) -> Config:
    """Return a configuration checked as in production, even if ``env`` names another environment.

    A forgotten variable must not open the inbox or generate keys.

    Raises:
        ConfigError: names every setting that is missing, unknown or unreadable.
    """
    found = problems(env)
    if found:
        raise ConfigError(" ".join(found))
    return Config.from_env(env, environment="production", dev=False)


def problems(env: Mapping[str, str]) -> list[str]:
    """Return a sentence about everything that a server needs in its environment and does not find."""
    found = list(read(env, Config, required=SERVER_NEEDS).problems)
    if not any(env.get(name, "").strip() for name in ("ACTIVE_KEY_ID", "ACTIVE_PRIVATE_KEY_PEM")):
        try:
            find_key_file(env.get("AUTHKIT_KEYS_DIR"))
        except ConfigError as error:
            found.append(str(error))
    if len(found) > 1 and "AUTHKIT_ISSUER" not in env:
        found.append("`authkit serve --dev` runs without settings.")
    return found


def development(env: Mapping[str, str], data_dir: Path, address: str) -> Config:
    """Return the configuration of ``serve --dev``: the settings, and defaults for the rest."""
    usual = {
        "AUTHKIT_ISSUER": address,
        "AUTHKIT_AUDIENCES": DEV_AUDIENCE,
        "AUTHKIT_KEYS_DIR": str(data_dir.expanduser().resolve()),
    }
    return Config.from_env({**usual, **env}, dev=True)


def refuse_dev(env: Mapping[str, str], options: ServeOptions) -> None:
    """Raise ``StartupError`` where ``--dev`` would expose codes and keys."""
    host = options.host
    if not options.has_port:
        raise StartupError("--dev listens on a port of this machine, and on no other socket.")
    if not is_dev_environment(env):
        raise StartupError(f"--dev is refused: the environment is {environment_name(env)!r}.")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise StartupError(f"--dev is refused on {host}: others could read codes and mails; use 127.0.0.1.")
