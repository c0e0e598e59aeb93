"""The strict reader of compact tokens (RFC 7515, 7.1): one spelling per token, or a refusal.

A token has three parts of canonical unpadded base64url. Header and payload are UTF-8 JSON objects without
duplicate members, NaN, Infinity or lone surrogates, not nested deeper than ``MAX_DEPTH``. Every fault is a
``TokenError`` ``invalid_token``, never another exception.
"""

from __future__ import annotations

import binascii
import json
import math
import re
import string
from typing import Any, NoReturn

import msgspec
from pybase64 import b64decode

from authkit_verify.errors import TokenError

MAX_TOKEN = 16 * 1024
"""Characters. A longer token is refused before any of it is read."""
MAX_DEPTH = 32
MAX_KID = 256

_PADDING = (b"", b"", b"==", b"=")
"""The missing padding, by the number of characters beyond whole groups of four."""
_DOT, _PLUS, _SLASH = b".+/"
_ALPHABET = frozenset((string.ascii_letters + string.digits + "-_").encode())
_LAST = (_ALPHABET, frozenset[int](), frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))
"""The last characters allowed, by the same number: in a partial group the bits beyond the last byte are zero
(RFC 4648, 3.5)."""

# An unclosed string reaches to the end: a pattern that could fail would be tried again from every quote.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)

# Without float: msgspec takes 20 us for each number like 9e303, and 1,900 of them fit into a token.
_SCALAR = None | bool | int | str
_FLAT = _SCALAR | list[_SCALAR] | dict[str, _SCALAR]
_NESTED = _SCALAR | list[_FLAT] | dict[str, _FLAT]
_decode_shallow = msgspec.json.Decoder(dict[str, _SCALAR | list[_NESTED] | dict[str, _NESTED]]).decode
_decode = msgspec.json.Decoder(float_hook=float).decode
_encode = msgspec.json.Encoder().encode


class Header(msgspec.Struct, frozen=True, gc=False):
    """The header members that a verification uses; ``jwk``, ``jku``, ``x5u`` and ``x5c`` are never read."""

    alg: str
    kid: str | None
    typ: str | None


class Parts(msgspec.Struct, frozen=True, gc=False):
    """The parts of a token, decoded; ``header_segment`` is the header as it was encoded."""

    header_segment: bytes
    payload: bytes
    signed: bytes
    signature: bytes


def split(token: str) -> Parts:
    """Split a token and decode its payload and signature. Raises TokenError ``invalid_token``."""
    if not isinstance(token, str):
        raise TokenError("invalid_token", "the token is not a string")
    if len(token) > MAX_TOKEN:
        raise TokenError("invalid_token", f"the token is longer than {MAX_TOKEN} characters")
    if not token.isascii():
        raise TokenError("invalid_token", "the token is not ASCII")
    signed, _, signature = token.encode("ascii").rpartition(b".")
    header, dot, payload = signed.partition(b".")
    if not dot or _DOT in payload:
        encrypted = token.count(".") == 4
        raise TokenError(
            "invalid_token",
            "encrypted tokens are not accepted" if encrypted else "the token does not have three parts",
        )
    return Parts(header, decode_segment(payload), signed, decode_segment(signature))


def decode_segment(segment: bytes) -> bytes:
    """Decode one segment of canonical unpadded base64url. Raises TokenError ``invalid_token``."""
    left = len(segment) & 3
    if not segment or left == 1:
        raise TokenError("invalid_token", "a part of the token is empty or truncated")
    if segment[-1] not in _LAST[left]:
        raise TokenError("invalid_token", "a part of the token is not canonical base64url")
    try:
        # The decoder takes the standard alphabet as well, where two characters have other names.
        if _PLUS not in segment and _SLASH not in segment:
            return b64decode(segment + _PADDING[left], b"-_", True)
    except binascii.Error:
        pass
    raise TokenError("invalid_token", "a part of the token is not base64url")


def read_header(segment: bytes) -> Header:
    """Read a header segment. Raises TokenError ``invalid_token``.

    ``crit`` names extensions that must be understood (RFC 7515, 4.1.11) and ``b64`` changes what is signed
    (RFC 7797, 3). This package supports none, so it refuses both.
    """
    header = read_object(decode_segment(segment))
    if "crit" in header or "b64" in header:
        raise TokenError("invalid_token", "the token's header has crit or b64, which are not supported")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(alg, str):
        raise TokenError("invalid_token", "the token's header has no alg")
    if "kid" in header and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise TokenError("invalid_token", f"the token's kid is not a string of at most {MAX_KID} characters")
    if "typ" in header and not isinstance(typ, str):
        raise TokenError("invalid_token", "the token's typ is not a string")
    return Header(alg, kid, typ)


def read_object(data: bytes) -> dict[str, Any]:
    """Read a strict JSON object. Raises TokenError ``invalid_token``.

    Text that encodes back to the same bytes has no duplicate, no blank, no NaN and no odd spelling. Most
    tokens are like that, and nest a few levels; all others are read again by slower readers.
    """
    try:
        shallow = _decode_shallow(data)
        if _encode(shallow) == data:
            return shallow
    except (msgspec.MsgspecError, ValueError):
        pass
    value = _read_deep(data)
    if type(value) is not dict:
        raise TokenError("invalid_token", "the header or the payload is not a JSON object")
    return value


def _read_deep(data: bytes) -> Any:
    # Python 3.12 and newer nest far deeper before they give up, so the limit is counted and not left to them.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _nests_too_deep(data):
        raise _malformed()
    try:
        value: Any = _decode(data)
        return value if _encode(value) == data else _read_slowly(data)
    except RecursionError:
        raise _malformed() from None
    except (msgspec.MsgspecError, ValueError):
        return _read_slowly(data)


def _nests_too_deep(data: bytes) -> bool:
    depth = 0
    for char in _STRING.sub(b"", data):
        if char in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif char in b"}]":
            depth -= 1
    return False


def _read_slowly(data: bytes) -> Any:
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse,
            parse_float=_finite,
        )
        # A lone surrogate survives reading and cannot be written; nothing else fails here.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise _malformed() from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _refuse(_constant: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _malformed() -> TokenError:
    return TokenError("invalid_token", "the header or the payload is not strict JSON")
