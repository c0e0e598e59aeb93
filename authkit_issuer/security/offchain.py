"""The envelope in which hardware wallets sign off-chain messages (Solana off-chain message signing).

``0xFF "solana offchain"``, version 0, then one of two layouts: the short one (format, length) or the long one
(application domain of 32 zero-padded bytes, format, number of signers, signers of 32 bytes, length). Lengths
are little-endian uint16 and exact. Format 0 is printable ASCII, format 1 UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from authkit_issuer import errors

_START = b"\xffsolana offchain"
_VERSION = b"\x00"
_DOMAIN_BYTES = 32
_KEY_BYTES = 32
_MAX_LENGTH = 0xFFFF
_ASCII, _UTF8 = 0, 1
# The document says 0x20 to 0x7E; devices show and sign line breaks under this format, and so sign-in texts.
_PRINTABLE = re.compile(rb"[\x20-\x7e\n]*")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One reading of an envelope; the short layout names no signers."""

    text: bytes
    signers: tuple[bytes, ...] | None

    def names(self, key: bytes) -> bool:
        """True if this key may have signed: it is listed, or the layout lists none."""
        return self.signers is None or key in self.signers


def is_envelope(message: bytes) -> bool:
    """True if the bytes begin as an envelope does; no text in UTF-8 can."""
    return message.startswith(b"\xff")


def unpack(message: bytes) -> list[Envelope]:
    """Return every well-formed reading of an envelope, or raise ``SiwsMessageInvalid`` when there is none."""
    head = _START + _VERSION
    if not message.startswith(head):
        raise errors.SiwsMessageInvalid
    rest = message[len(head) :]
    found = [envelope for envelope in (_short(rest), _long(rest)) if envelope is not None]
    if not found:
        raise errors.SiwsMessageInvalid
    return found


def envelopes(text: bytes, key: bytes, domain: str) -> Iterator[bytes]:
    """Yield every envelope a device may have put around this text, signed by this key alone.

    The application domain is empty or the sign-in domain, where that fits.
    """
    if len(text) > _MAX_LENGTH:
        return
    length = len(text).to_bytes(2, "little")
    formats = [form for form in (_ASCII, _UTF8) if _suits(form, text)]
    domains = [b""]
    if 0 < len(domain.encode()) <= _DOMAIN_BYTES:
        domains.append(domain.encode())
    for form in formats:
        yield _START + _VERSION + bytes([form]) + length + text
        for name in domains:
            signer = bytes([form, 1]) + key
            yield _START + _VERSION + name.ljust(_DOMAIN_BYTES, b"\0") + signer + length + text


def _short(rest: bytes) -> Envelope | None:
    text = _body(rest[1:])
    if text is None or not _suits(rest[0], text):
        return None
    return Envelope(text, None)


def _long(rest: bytes) -> Envelope | None:
    domain, after = rest[:_DOMAIN_BYTES], rest[_DOMAIN_BYTES:]
    if len(after) < 2 or b"\0" in domain.rstrip(b"\0"):
        return None
    form, count = after[0], after[1]
    keys, tail = after[2 : 2 + count * _KEY_BYTES], after[2 + count * _KEY_BYTES :]
    text = _body(tail)
    if text is None or not count or not _suits(form, text):
        return None
    return Envelope(text, tuple(keys[at : at + _KEY_BYTES] for at in range(0, len(keys), _KEY_BYTES)))


def _body(data: bytes) -> bytes | None:
    """Return the text behind its length, None when the length is not exact."""
    text = data[2:]
    return text if len(data) > 2 and len(text) == int.from_bytes(data[:2], "little") else None


def _suits(form: int, text: bytes) -> bool:
    if form == _ASCII:
        return _PRINTABLE.fullmatch(text) is not None
    if form != _UTF8:
        return False
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
