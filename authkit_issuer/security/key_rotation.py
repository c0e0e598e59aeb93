"""Which signing key of ``keys.json`` signs when, and how long a retired one stays published.

A new key is published before it signs, so that verifiers which cache the set know it in time; a retired one
stays until every token it signed has expired and the caches of an outage are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from authkit_issuer.errors import ConfigError
from authkit_issuer.keys import (
    SEALING_KEY_BYTES,
    KeySet,
    PrivateKey,
    SigningKey,
    load_private,
    load_public,
    public_pem,
    thumbprint,
)
from authkit_issuer.ports import RandomBytes
from authkit_issuer.security import key_file
from authkit_issuer.security.key_file import KeyFile, NextKey
from authkit_issuer.security.token_codec import random_text

PUBLISH_AHEAD = 360.0
"""Seconds a key is published before it signs: our max-age of 300 and a minute for clocks."""
KEEP_RETIRED = 300.0 + 3600.0
"""Seconds, beyond the life of an access token, that a retired key stays published: max-age and stale use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySchedule:
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
            sealing_keys=keys.sealing_keys,
        )


def read(path: Path) -> KeySchedule:
    """Read and check the file, or raise ``ConfigError`` with one sentence; nothing is half-believed."""
    return _schedule(key_file.read(path), str(path))


def _schedule(file: KeyFile, name: str) -> KeySchedule:
    public = {kid: load_public(pem, f"{name}: public_keys.{kid}") for kid, pem in file.public_keys.items()}
    signs = {file.active_key_id} | ({file.next_key.kid} if file.next_key else set())
    if signs & file.retired.keys():
        raise ConfigError(f"{name}: retired names a key that signs.")
    active = load_private(file.active_private_key_pem, f"{name}: active_private_key_pem")
    public.setdefault(file.active_key_id, active.public_key())
    secrets = key_file.parse_secrets(file.refresh_secrets, f"{name}: refresh_secrets")
    sealing = key_file.parse_secrets(file.sealing_keys, f"{name}: sealing_keys")
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
            sealing_keys=sealing,
        )

    return KeySchedule(
        before=signed_by(file.active_key_id, active),
        after=signed_by(file.next_key.kid, upcoming) if file.next_key and upcoming else None,
        switch_at=file.next_key.signs_from if file.next_key else 0.0,
        retired=file.retired,
    )


def rotate(path: Path, *, alg: str, now: float, access_life: float, at_once: bool = False) -> str:
    """Announce a new signing key in the file and return its kid; ``at_once`` lets it sign immediately.

    The key that is replaced stays published. Raises ``ConfigError`` while an earlier announcement is pending.
    """
    ahead = 0.0 if at_once else PUBLISH_AHEAD
    with key_file.held(path):
        kid, file = announced(path, alg=alg, now=now, access_life=access_life, ahead=ahead)
        key_file.replace(path, _settled(file, now, access_life))
    return kid


def announced(
    path: Path, *, alg: str, now: float, access_life: float, ahead: float = PUBLISH_AHEAD
) -> tuple[str, KeyFile]:
    """Return the kid of a new key, and the file that announces it ``ahead`` seconds before it signs.

    Writes nothing. Raises ``ConfigError`` while an earlier announcement is pending.
    """
    file = key_file.read(path)
    _schedule(file, str(path))
    settled = _settled(file, now, access_life)
    if settled.next_key is not None:
        raise ConfigError(f"{path} already announces {settled.next_key.kid}, which does not sign yet.")
    coming = _new_key(alg, now + ahead)
    return coming.kid, settled.model_copy(update={"next_key": coming})


def withdraw(path: Path, *, alg: str, now: float) -> str:
    """Replace every signing key of the file, an announced one too, by a new one; return its kid.

    For keys that another person has: they are no longer published, and their tokens are refused.
    """
    key = _new_key(alg, now)
    only = {"active_key_id": key.kid, "active_private_key_pem": key.private_key_pem}
    with key_file.held(path):
        file = key_file.read(path)
        _schedule(file, str(path))
        key_file.replace(
            path, file.model_copy(update=only | {"next_key": None, "public_keys": {}, "retired": {}})
        )
    return key.kid


def rotate_sealing(path: Path, random_bytes: RandomBytes, *, only_first: bool = False) -> int:
    """Add a sealing key to the file and return its id; the former ones stay, and open what they sealed.

    Args:
        path: The file.
        random_bytes: The source of the key.
        only_first: Leaves a file as it is that has a sealing key already.
    """
    with key_file.held(path):
        file = key_file.read(path)
        present = _schedule(file, str(path)).before.sealing_keys
        if present and only_first:
            return max(present)
        number = max(present, default=-1) + 1
        keys = file.sealing_keys | {str(number): random_text(random_bytes, SEALING_KEY_BYTES)}
        key_file.replace(path, file.model_copy(update={"sealing_keys": keys}))
    return number


def _new_key(alg: str, signs_from: float) -> NextKey:
    key = key_file.new_private_key(alg)
    return NextKey(
        kid=thumbprint(key.public_key()), private_key_pem=key_file.private_pem(key), signs_from=signs_from
    )


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
