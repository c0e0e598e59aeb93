"""The ``Config`` of a server process, checked as in production or filled in for development."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from authkit_issuer.config import Config, environment_name, is_dev_environment
from authkit_issuer.config.settings import read
from authkit_issuer.errors import ConfigError, StartupError
from authkit_issuer.security.hashing import default_threads, usable_cores
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
    settings = read(env, Config, required=SERVER_NEEDS)
    found = list(settings.problems)
    if settings.values.get("dev"):
        found.append("AUTHKIT_DEV is for hosts and `authkit serve --dev`: unset it.")
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


def refuse_workers(config: Config, options: ServeOptions) -> None:
    """Raise ``StartupError`` where several processes would not share what one keeps in memory."""
    workers = f"--workers {options.workers}"
    if not hasattr(os, "fork"):
        raise StartupError(f"{workers} is for Linux and macOS: start several processes behind a proxy.")
    if config.redis_url is None:
        raise StartupError(f"{workers} needs AUTHKIT_REDIS_URL: the workers share codes and counters there.")
    if config.dev and config.smtp_url is None:
        raise StartupError(
            f"--dev {workers} needs AUTHKIT_SMTP_URL: each worker would have a development inbox of its own."
        )


def shared_among(config: Config, workers: int) -> Config:
    """Return the configuration of one of several processes on this machine: they share its cores."""
    threads = config.hash_threads or max(1, default_threads(usable_cores()) // workers)
    return replace(config, hash_threads=threads)
