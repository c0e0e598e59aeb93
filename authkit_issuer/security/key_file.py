"""``keys.json``: its members, reading and writing them. ``key_rotation`` says which key signs when.

=================================  =====================================================================
``active_key_id``                  the kid that signs
``active_private_key_pem``         its private key
``public_keys``                    kid to public PEM: other keys that are published
``next_key``                       optional: ``{"kid", "private_key_pem", "signs_from"}``, published already
``retired``                        kid to the Unix time it stopped signing; published a while longer
``refresh_secrets``                id (0-255) to base64url of 32 bytes or more; an id is never reused
``refresh_secret_active``          the id that signs new refresh tokens
``sealing_keys``                   optional: id to base64url of 32 bytes, for authenticator apps
=================================  =====================================================================
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import stat
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from authkit_issuer.errors import ConfigError
from authkit_issuer.keys import SEALING_KEY_BYTES, PrivateKey, thumbprint
from authkit_issuer.ports import RandomBytes
from authkit_issuer.security.token_codec import random_text

FILE_NAME = "keys.json"
logger = logging.getLogger("authkit.keys")


class NextKey(BaseModel):
    """A key that is published and will sign from a moment on (Unix seconds)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    kid: str
    private_key_pem: str = Field(repr=False)
    signs_from: float


class KeyFile(BaseModel):
    """The file as it stands on disk."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    active_key_id: str = Field(min_length=1)
    active_private_key_pem: str = Field(repr=False, min_length=1)
    public_keys: dict[str, str] = {}
    next_key: NextKey | None = None
    retired: dict[str, float] = {}
    refresh_secrets: dict[str, str] = Field(repr=False, min_length=1)
    refresh_secret_active: int
    sealing_keys: dict[str, str] = Field(default={}, repr=False)


def read(path: Path) -> KeyFile:
    """Read the members of the file, or raise ``ConfigError`` with one sentence."""
    try:
        with path.open("rb") as stream:
            _check_mode(path, os.fstat(stream.fileno()).st_mode)
            return KeyFile.model_validate_json(stream.read())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        # Not chained: the library's text quotes what it read, which are secrets.
        raise ConfigError(f"{path}: {where}: {first['msg'].lower()}.") from None


def _check_mode(path: Path, mode: int) -> None:
    """Warn of keys that other users can read or replace; a group may read, as with mounted secrets."""
    if os.name == "posix" and mode & (stat.S_IRWXO | stat.S_IWGRP):
        logger.warning(
            "%s has mode %04o: other users of this machine can use its keys; run chmod 600 %s",
            path,
            stat.S_IMODE(mode),
            path,
        )


def parse_secrets(texts: Mapping[str, str], name: str) -> dict[int, bytes]:
    """Read secrets: ids as decimal text, bytes as base64url with or without padding."""
    found: dict[int, bytes] = {}
    for number, text in texts.items():
        if not (number.isascii() and number.isdecimal() and str(int(number)) == number):
            raise ConfigError(f"{name}: an id must be a plain number; 1 and 01 would be one.")
        try:
            found[int(number)] = base64.b64decode(
                text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True
            )
        except (ValueError, binascii.Error) as error:
            raise ConfigError(f"{name}: a secret must be base64url.") from error
    return found


def new_private_key(alg: str) -> PrivateKey:
    """Make a key for RS256, ES256 or EdDSA."""
    if alg == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if alg == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    raise ConfigError("A signing algorithm is one of RS256, ES256 and EdDSA.")


def generate(alg: str, random_bytes: RandomBytes) -> KeyFile:
    """Return a fresh file with one signing key, one refresh secret and one sealing key."""
    key = new_private_key(alg)
    secret = random_text(random_bytes, 32)
    return KeyFile(
        active_key_id=thumbprint(key.public_key()),
        active_private_key_pem=private_pem(key),
        refresh_secrets={"0": secret},
        refresh_secret_active=0,
        sealing_keys={"0": random_text(random_bytes, SEALING_KEY_BYTES)},
    )


def create(path: Path, file: KeyFile) -> bool:
    """Write a new file that only its owner may read; False when another process was first."""
    temporary = _write_beside(path, file)
    try:
        os.link(temporary, path)  # fails where the name is taken: exactly one creator wins
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def replace(path: Path, file: KeyFile) -> None:
    """Swap the file in one step: a reader sees the old or the new one, never a part.

    It keeps owner and mode: the operator who rotates keys is often root, and the service is not. A link keeps
    its target.
    """
    path = path.resolve()
    before, temporary = path.stat(), _write_beside(path, file)
    try:
        if os.name == "posix":
            with suppress(OSError):  # not root: then the file is the caller's, for its owner only
                os.chown(temporary, before.st_uid, before.st_gid)
                temporary.chmod(stat.S_IMODE(before.st_mode))
        temporary.replace(path)
    except BaseException:
        temporary.unlink()  # it holds private keys
        raise


@contextmanager
def held(path: Path) -> Generator[None]:
    """Hold the file while it is read and replaced: of two changes at once, the second sees the first."""
    if os.name != "posix":
        yield
        return
    import fcntl  # noqa: PLC0415 - not on every platform

    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def text(file: KeyFile) -> str:
    """Return the JSON of the file, private keys included."""
    return json.dumps(file.model_dump(exclude_none=True), indent=2)


def _write_beside(path: Path, file: KeyFile) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".keys-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text(file))
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        Path(name).unlink()  # it may hold private keys
        raise
    return Path(name)


def private_pem(key: PrivateKey) -> str:
    """Return the key as a file holds it (PKCS#8)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
