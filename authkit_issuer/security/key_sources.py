"""Where keys come from: the environment, then ``keys.json``, then, in development, freshly made ones.

Each step is "absent: try the next; present but broken: an error". A file is watched: ``refresh`` swaps in a
new one after it has been checked as a whole, and keeps the last good one when it has not.
``key_rotation`` says which of its keys signs when.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from authkit_issuer.config import Config
from authkit_issuer.errors import ConfigError
from authkit_issuer.keys import (
    KeySet,
    KeySource,
    SigningKey,
    StaticKeys,
    load_private,
    load_public,
    public_pem,
    thumbprint,
)
from authkit_issuer.ports import Clock, RandomBytes
from authkit_issuer.security import key_file, key_rotation

DEFAULT_KEYS_DIR = "/vault/auth"
DEVELOPMENT_KEYS_DIR = ".runtime/authkit"

logger = logging.getLogger("authkit.keys")


class NoKeysError(ConfigError):
    """There is no ``keys.json``."""


def load_keys(
    config: Config, env: Mapping[str, str], *, clock: Clock, random_bytes: RandomBytes = os.urandom
) -> KeySource:
    """Return the key source of a service, or raise ``ConfigError`` with one sentence.

    The environment: ``ACTIVE_KEY_ID``, ``ACTIVE_PRIVATE_KEY_PEM``, ``PUBLIC_KEYS`` (JSON, kid to PEM),
    ``REFRESH_SECRETS`` (JSON, id to base64url), ``REFRESH_SECRET_ACTIVE`` and, for authenticator apps,
    ``SEALING_KEYS`` (JSON, id to base64url).
    """
    if config.keys is not None:
        return config.keys
    from_env = _environment_keys(env)
    if from_env is not None:
        return StaticKeys(from_env)
    if env.get("SEALING_KEYS", "").strip():
        raise ConfigError(
            "SEALING_KEYS is read only beside ACTIVE_KEY_ID: put the keys into sealing_keys of keys.json."
        )
    try:
        path = find_key_file(config.keys_dir)
    except NoKeysError:
        if config.is_production:
            raise
        path = Path(config.keys_dir or DEVELOPMENT_KEYS_DIR) / key_file.FILE_NAME
        _make(path, random_bytes)
    if not config.is_production:
        _complete(path, random_bytes)
    return FileKeys(path, clock=clock, access_life=config.access_token_duration)


def find_key_file(folder: str | None) -> Path:
    """Return the path of ``keys.json`` in its folder, or raise ``NoKeysError`` if there is none."""
    path = Path(folder or DEFAULT_KEYS_DIR) / key_file.FILE_NAME
    if not _exists(path):
        raise NoKeysError(
            f"No keys: neither ACTIVE_KEY_ID is set nor does {path} exist;"
            f" run `authkit keys generate --dir {path.parent}`, or set AUTHKIT_KEYS_DIR."
        )
    return path


def _make(path: Path, random_bytes: RandomBytes) -> None:
    """Write development keys unless some stand there; two processes that start at once agree on one set."""
    if _exists(path):
        return
    try:
        key_file.create(path, key_file.generate("RS256", random_bytes))
    except OSError as error:
        raise ConfigError(f"Keys cannot be written to {path.parent}: {error.strerror}.") from error


def _complete(path: Path, random_bytes: RandomBytes) -> None:
    """Add a sealing key to a development file from before there were any."""
    if not key_file.read(path).sealing_keys:
        with suppress(OSError):  # read-only: there are no authenticator apps
            key_rotation.rotate_sealing(path, random_bytes, only_first=True)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


class FileKeys:
    """The keys of a ``keys.json`` that may be replaced while the service runs."""

    def __init__(self, path: Path, *, clock: Clock, access_life: float) -> None:
        """Read the file; ``ConfigError`` when it is broken."""
        self._path = path
        self._clock = clock
        self._access_life = access_life
        self._stamp = _stamp(path)
        self._loaded = key_rotation.read(path)
        self._in_force: KeySet = self._loaded.at(clock(), access_life)
        self._looked_at = clock()

    def current(self) -> KeySet:
        """See ``KeySource``; an announced key takes over by the clock, without a reading of the file."""
        now = self._clock()
        if int(now) != int(self._looked_at):
            self._looked_at = now
            in_force = self._loaded.at(now, self._access_life)
            # Keep the object while nothing changed: what is derived from a set is cached on it.
            if in_force != self._in_force:
                self._in_force = in_force
        return self._in_force

    async def refresh(self) -> None:
        """See ``KeySource``."""
        await asyncio.to_thread(self._reload)

    def _reload(self) -> None:
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            loaded = key_rotation.read(self._path)
            in_force = loaded.at(self._clock(), self._access_life)
        except ConfigError as error:
            # The last good keys go on working; the operator reads why the new ones do not.
            logger.error("keys not reloaded: %s", error)  # noqa: TRY400 - the sentence says it all
            return
        self._stamp, self._loaded, self._in_force = stamp, loaded, in_force


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes when the file is replaced, even within one tick of its clock."""
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    return status.st_mtime_ns, status.st_size, status.st_ino


def _environment_keys(env: Mapping[str, str]) -> KeySet | None:
    kid, pem = env.get("ACTIVE_KEY_ID", "").strip(), env.get("ACTIVE_PRIVATE_KEY_PEM", "").strip()
    if not kid and not pem:
        return None
    if not kid or not pem:
        raise ConfigError("ACTIVE_KEY_ID and ACTIVE_PRIVATE_KEY_PEM must be set together.")
    private = load_private(pem, "ACTIVE_PRIVATE_KEY_PEM")
    public = {
        name: load_public(text, f"PUBLIC_KEYS.{name}") for name, text in _json_map(env, "PUBLIC_KEYS").items()
    }
    public.setdefault(kid, private.public_key())
    secrets = key_file.parse_secrets(_json_map(env, "REFRESH_SECRETS"), "REFRESH_SECRETS")
    active = env.get("REFRESH_SECRET_ACTIVE", "").strip()
    if not secrets or not (active.isascii() and active.isdecimal()):
        raise ConfigError("REFRESH_SECRETS and REFRESH_SECRET_ACTIVE must be set beside ACTIVE_KEY_ID.")
    return KeySet(
        signing=SigningKey(kid=kid, private_key=private),
        public=public,
        refresh_secrets=secrets,
        active_secret=int(active),
        sealing_keys=key_file.parse_secrets(_json_map(env, "SEALING_KEYS"), "SEALING_KEYS"),
    )


def announced_environment(env: Mapping[str, str], alg: str) -> list[dict[str, str]] | None:
    """Return the two changes of the environment that bring a new signing key; None without keys there.

    The first publishes the key: every process and every cache needs it before the second lets it sign.
    """
    keys = _environment_keys(env)
    if keys is None:
        return None
    key = key_file.new_private_key(alg)
    kid = thumbprint(key.public_key())
    published = {name: public_pem(public) for name, public in keys.public.items()}
    published[kid] = public_pem(key.public_key())
    return [
        {"PUBLIC_KEYS": json.dumps(published)},
        {"ACTIVE_KEY_ID": kid, "ACTIVE_PRIVATE_KEY_PEM": key_file.private_pem(key)},
    ]


def _json_map(env: Mapping[str, str], name: str) -> dict[str, str]:
    """Read a JSON object of texts; a repeated member is a mistake that would silently drop a key."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ConfigError(f"{name} names the same member twice.")
        return found

    try:
        value = json.loads(env.get(name, "").strip() or "{}", object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name} is not JSON.") from error
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ConfigError(f"{name} must be a JSON object of texts.")
    return value
