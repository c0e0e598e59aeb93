"""``keys.json``: its members, reading it, and rotating it in place.

=================================  =====================================================================
``active_key_id``                  the kid that signs
``active_private_key_pem``         its private key
``public_keys``                    kid to public PEM: other keys that are published
``next_key``                       optional: ``{"kid", "private_key_pem", "signs_from"}``, published already
``retired``                        kid to the Unix time it stopped signing; published a while longer
``refresh_secrets``                id (0-255) to base64url of 32 bytes or more; an id is never reused
``refresh_secret_active``          the id that signs new refresh tokens
=================================  =====================================================================

A new key is published before it signs, so that verifiers which cache the set know it in time; a retired one
stays until every token it signed has expired and the caches of an outage are gone.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from authkit_issuer.errors import ConfigError
from authkit_issuer.keys import (
    KeySet,
    PrivateKey,
    SigningKey,
    load_private,
    load_public,
    public_pem,
    thumbprint,
)
from authkit_issuer.ports import RandomBytes
from authkit_issuer.security.token_codec import random_text

FILE_NAME = "keys.json"
PUBLISH_AHEAD = 360.0
"""Seconds a key is published before it signs: our max-age of 300 and a minute for clocks."""
KEEP_RETIRED = 300.0 + 3600.0
"""Seconds, beyond the life of an access token, that a retired key stays published: max-age and stale use."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A file checked as a whole: its sets before and after the announced switch, and what retires when."""

    before: KeySet
    after: KeySet | None
    switch_at: float
    retired: Mapping[str, float] = field(default_factory=dict[str, float])

    def at(self, now: float, access_life: float) -> KeySet:
        """Return the set in force, without keys that are no longer needed."""
        keys = self.after if self.after is not None and now >= self.switch_at else self.before
        gone = {kid for kid, since in self.retired.items() if now > since + access_life + KEEP_RETIRED}
        # The old signing key counts as retired from the moment of the switch.
        if keys is self.after and now > self.switch_at + access_life + KEEP_RETIRED and self.before.signing:
            gone.add(self.before.signing.kid)
        if not gone & keys.public.keys():
            return keys
        return KeySet(
            signing=keys.signing,
            public={kid: key for kid, key in keys.public.items() if kid not in gone},
            refresh_secrets=keys.refresh_secrets,
            active_secret=keys.active_secret,
        )


def read(path: Path) -> Loaded:
    """Read and check the file, or raise ``ConfigError`` with one sentence; nothing is half-believed."""
    return _load(_parse(path), str(path))


def _parse(path: Path) -> KeyFile:
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


def _load(file: KeyFile, name: str) -> Loaded:
    public = {kid: load_public(pem, f"{name}: public_keys.{kid}") for kid, pem in file.public_keys.items()}
    signs = {file.active_key_id} | ({file.next_key.kid} if file.next_key else set())
    if signs & file.retired.keys():
        raise ConfigError(f"{name}: retired names a key that signs.")
    active = load_private(file.active_private_key_pem, f"{name}: active_private_key_pem")
    public.setdefault(file.active_key_id, active.public_key())
    secrets = parse_secrets(file.refresh_secrets, f"{name}: refresh_secrets")
    upcoming: PrivateKey | None = None
    if file.next_key is not None:
        upcoming = load_private(file.next_key.private_key_pem, f"{name}: next_key.private_key_pem")
        public[file.next_key.kid] = upcoming.public_key()

    def signed_by(kid: str, key: PrivateKey) -> KeySet:
        return KeySet(
            signing=SigningKey(kid=kid, private_key=key),
            public=public,
            refresh_secrets=secrets,
            active_secret=file.refresh_secret_active,
        )

    return Loaded(
        before=signed_by(file.active_key_id, active),
        after=signed_by(file.next_key.kid, upcoming) if file.next_key and upcoming else None,
        switch_at=file.next_key.signs_from if file.next_key else 0.0,
        retired=file.retired,
    )


def parse_secrets(texts: Mapping[str, str], name: str) -> dict[int, bytes]:
    """Read refresh secrets: ids as decimal text, bytes as base64url with or without padding."""
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
    """Return a fresh file with one signing key and one refresh secret."""
    key = new_private_key(alg)
    secret = random_text(random_bytes, 32)
    return KeyFile(
        active_key_id=thumbprint(key.public_key()),
        active_private_key_pem=_private_pem(key),
        refresh_secrets={"0": secret},
        refresh_secret_active=0,
    )


def rotate(path: Path, *, alg: str, now: float, access_life: float, at_once: bool = False) -> str:
    """Announce a new signing key in the file and return its kid; ``at_once`` lets it sign immediately.

    The key that is replaced stays published. Raises ``ConfigError`` while an earlier announcement is pending.
    """
    file = _parse(path)
    _load(file, str(path))
    settled = _settled(file, now, access_life)
    if settled.next_key is not None:
        raise ConfigError(f"{path} already announces {settled.next_key.kid}, which does not sign yet.")
    key = new_private_key(alg)
    kid = thumbprint(key.public_key())
    announced = settled.model_copy(
        update={
            "next_key": NextKey(
                kid=kid, private_key_pem=_private_pem(key), signs_from=now if at_once else now + PUBLISH_AHEAD
            )
        }
    )
    replace(path, _settled(announced, now, access_life))
    return kid


def _settled(file: KeyFile, now: float, access_life: float) -> KeyFile:
    """Carry out a switch whose time has come, and drop retired keys that are no longer needed."""
    public, retired = dict(file.public_keys), dict(file.retired)
    update: dict[str, object] = {}
    if file.next_key is not None and now >= file.next_key.signs_from:
        old = load_private(file.active_private_key_pem, "active_private_key_pem")
        public[file.active_key_id] = public_pem(old.public_key())
        retired[file.active_key_id] = file.next_key.signs_from
        update |= {
            "active_key_id": file.next_key.kid,
            "active_private_key_pem": file.next_key.private_key_pem,
            "next_key": None,
        }
    for kid in [kid for kid, since in retired.items() if now > since + access_life + KEEP_RETIRED]:
        del retired[kid]
        public.pop(kid, None)
    return file.model_copy(update=update | {"public_keys": public, "retired": retired})


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
    """Swap the file in one step: a reader sees the old or the new one, never a part."""
    _write_beside(path, file).rename(path)


def _write_beside(path: Path, file: KeyFile) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".keys-", dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(file.model_dump(exclude_none=True), stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    return Path(name)


def _private_pem(key: PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
