"""The refresh token: authenticated by a MAC, then looked up by key.

``akr_`` + base64url(version 1 · secret id 1 · session id 16 · generation 4 · nonce 16 · HMAC-SHA256 32).
The MAC covers everything before it and the issuer. A forged, truncated or foreign token is refused without a
query; making one needs the MAC key *and* the nonce, which only tokens of that very session hold.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import uuid
from dataclasses import dataclass, field

from authkit_issuer.keys import KeySet
from authkit_issuer.security.token_codec import decode_token, encode_token

PREFIX = "akr_"
NONCE_BYTES = 16
MAX_GENERATION = 2**32 - 1

_VERSION = 1
_BODY = struct.Struct(">BB16sI16s")
_MAC_BYTES = 32
_DOMAIN = b"authkit-refresh-v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """The claims of a valid token."""

    session_id: str
    generation: int
    nonce: bytes = field(repr=False)

    @property
    def key(self) -> bytes:
        """The value stored in the row of its session."""
        return token_key(self.nonce)


def token_key(nonce: bytes) -> bytes:
    """SHA-256 of the nonce: useless to a reader of the database."""
    return hashlib.sha256(nonce).digest()


def encode(keys: KeySet, issuer: str, *, session_id: str, generation: int, nonce: bytes) -> str:
    """Return the token of this generation, authenticated with the active refresh secret."""
    body = _BODY.pack(_VERSION, keys.active_secret, uuid.UUID(session_id).bytes, generation, nonce)
    mac = _mac(keys.refresh_secrets[keys.active_secret], body, issuer)
    return encode_token(PREFIX, body + mac)


def decode(keys: KeySet, issuer: str, token: str) -> RefreshToken | None:
    """Return the claims of a token, or None if this service did not issue it; runs no query."""
    raw = decode_token(PREFIX, _BODY.size + _MAC_BYTES, token)
    if raw is None:
        return None
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    version, secret_id, session, generation, nonce = _BODY.unpack(body)
    secret = keys.refresh_secrets.get(secret_id)
    if version != _VERSION or secret is None or not hmac.compare_digest(mac, _mac(secret, body, issuer)):
        return None
    return RefreshToken(session_id=str(uuid.UUID(bytes=session)), generation=generation, nonce=nonce)


def _mac(secret: bytes, body: bytes, issuer: str) -> bytes:
    return hmac.digest(secret, _DOMAIN + body + issuer.encode(), "sha256")
