"""Secrets that the database keeps and must not read: AES-256-GCM under the sealing keys.

The factor, its user and the version are associated data: a sealed secret opens in no other row. The newest
key seals; the others open what they sealed before.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from authkit_issuer.keys import KeySet
from authkit_issuer.ports import RandomBytes

_VERSION = 1
_NONCE = 12


def seal(
    keys: KeySet, secret: bytes, *, factor_id: str, user_id: str, random_bytes: RandomBytes
) -> tuple[int, bytes]:
    """Return the id of the newest key and the secret sealed under it."""
    key_id = max(keys.sealing_keys)
    nonce = random_bytes(_NONCE)
    sealed = AESGCM(keys.sealing_keys[key_id]).encrypt(nonce, secret, _bound_to(factor_id, user_id))
    return key_id, bytes([_VERSION]) + nonce + sealed


def unseal(keys: KeySet, key_id: int, sealed: bytes, *, factor_id: str, user_id: str) -> bytes | None:
    """Return a secret, or None without the key that sealed it for this factor of this user."""
    key = keys.sealing_keys.get(key_id)
    if key is None or sealed[:1] != bytes([_VERSION]):
        return None
    nonce, text = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
    try:
        return AESGCM(key).decrypt(nonce, text, _bound_to(factor_id, user_id))
    except (InvalidTag, ValueError):
        return None


def _bound_to(factor_id: str, user_id: str) -> bytes:
    return f"authkit-factor-v{_VERSION}|{factor_id}|{user_id}".encode()
