"""Seals records for a store that must not read them: encrypted and authenticated, one text per record.

AES-SIV (RFC 5297) under a sub-key of a refresh secret, with the key of the record as associated data. Equal
records under one key have equal bytes, so the store can still compare them; nothing else shows.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from authkit_issuer.keys import KeySet

_USE = "records"


def seal(keys: KeySet, secret_id: int, key: str, record: bytes) -> bytes:
    """Return the stored form of a record: the id of the secret and the sealed bytes."""
    known = secret_id if secret_id in keys.refresh_secrets else keys.active_secret
    return bytes([known]) + AESSIV(keys.derive(_USE, known)).encrypt(record, [key.encode()])


def unseal(keys: KeySet, key: str, stored: bytes) -> bytes | None:
    """Return a sealed record, or None for bytes that no secret in force has sealed under this key."""
    if not stored or stored[0] not in keys.refresh_secrets:
        return None
    try:
        return AESSIV(keys.derive(_USE, stored[0])).decrypt(stored[1:], [key.encode()])
    except (InvalidTag, ValueError):
        return None
