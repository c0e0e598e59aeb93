"""The device token: proves that an account was signed in to on this device before.

``akd_`` + base64url(version 1 · secret id 1 · user 16 · epoch 8 · time 8 · factor 8 · id 16 · HMAC 32).
Nothing is stored: an HMAC-SHA256 over everything before it and the issuer authenticates the token. It is no
credential. ``domains/base/devices.py`` says what it is good for (OWASP device cookies).
"""

from __future__ import annotations

import hmac
import struct
import uuid
from dataclasses import dataclass, field

from authkit_issuer.keys import KeySet
from authkit_issuer.security.token_codec import decode_token, encode_token

PREFIX = "akd_"
ID_BYTES = 16

_VERSION = 1
_BODY = struct.Struct(">BB16sqQQ16s")
_MAC_BYTES = 32
_SIZE = _BODY.size + _MAC_BYTES
_KEY = "device tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceToken:
    """The claims of a valid token: the user, the epoch of the account, and the time of the sign-in.

    Times are Unix seconds. ``factor_at`` is when the remembered second factor was verified; 0 means never.
    """

    user_id: str
    auth_epoch: int
    issued_at: int
    factor_at: int
    id: bytes = field(repr=False)


def encode(keys: KeySet, issuer: str, token: DeviceToken) -> str:
    """Return the token text, authenticated with a key derived from the active refresh secret."""
    body = _BODY.pack(
        _VERSION,
        keys.active_secret,
        uuid.UUID(token.user_id).bytes,
        token.auth_epoch,
        token.issued_at,
        token.factor_at,
        token.id,
    )
    return encode_token(PREFIX, body + _mac(keys.derive(_KEY), body, issuer))


def decode(keys: KeySet, issuer: str, text: str) -> DeviceToken | None:
    """Return the claims of a token, or None if this service did not issue it."""
    raw = decode_token(PREFIX, _SIZE, text)
    if raw is None:
        return None
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    version, secret_id, user, auth_epoch, issued_at, factor_at, device = _BODY.unpack(body)
    if version != _VERSION or secret_id not in keys.refresh_secrets:
        return None
    if not hmac.compare_digest(mac, _mac(keys.derive(_KEY, secret_id), body, issuer)):
        return None
    return DeviceToken(
        user_id=str(uuid.UUID(bytes=user)),
        auth_epoch=auth_epoch,
        issued_at=issued_at,
        factor_at=factor_at,
        id=device,
    )


def _mac(key: bytes, body: bytes, issuer: str) -> bytes:
    return hmac.digest(key, body + issuer.encode(), "sha256")
