"""The token with which the owner of a deleted account restores or erases it: a sign-in that found it deleted.

``akx_`` + base64url(secret id 1 · sealed (user 16 · epoch 8 · end 8)). Nothing is stored: the token is
encrypted and authenticated, and it ends with the epoch of the account, which both uses raise.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from authkit_issuer.keys import KeySet
from authkit_issuer.security.sealing import seal, unseal
from authkit_issuer.security.token_codec import decode_token, encode_token

PREFIX = "akx_"

_BODY = struct.Struct(">16sqd")
_SIZE = 1 + 16 + _BODY.size


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreToken:
    """The claims of a token: the user, the epoch that the sign-in found, and its end (Unix seconds)."""

    user_id: str
    auth_epoch: int
    ends_at: float


def encode(keys: KeySet, issuer: str, token: RestoreToken) -> str:
    """Return the token text."""
    body = _BODY.pack(uuid.UUID(token.user_id).bytes, token.auth_epoch, token.ends_at)
    return encode_token(PREFIX, seal(keys, keys.active_secret, _place(issuer), body))


def decode(keys: KeySet, issuer: str, text: str) -> RestoreToken | None:
    """Return the claims of a token, or None if this service did not issue it; it may have ended."""
    raw = decode_token(PREFIX, _SIZE, text)
    body = None if raw is None else unseal(keys, _place(issuer), raw)
    if body is None:
        return None
    user, auth_epoch, ends_at = _BODY.unpack(body)
    return RestoreToken(user_id=str(uuid.UUID(bytes=user)), auth_epoch=auth_epoch, ends_at=ends_at)


def _place(issuer: str) -> str:
    return f"restore:{issuer}"
