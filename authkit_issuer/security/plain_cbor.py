"""CBOR as authenticators write it (CTAP 2.1 section 8): data alone, of definite lengths, a few levels deep.

It is checked before a decoder reads it. A tag makes a decoder build what a client describes, such as a
regular expression, which takes seconds for a few kilobytes.
"""

from __future__ import annotations

MAX_DEPTH = 8
"""Levels of arrays and maps; CTAP allows four."""
_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}
_TEXTS, _ARRAY, _MAP, _TAG = (2, 3), 4, 5, 6


def require_plain(data: bytes) -> None:
    """Raise ``ValueError`` unless the bytes are whole items, one after the other, without a tag."""
    at, open_items = 0, list[int]()
    while at < len(data) or open_items:
        while open_items and not open_items[-1]:
            open_items.pop()
        if not open_items and at == len(data):
            return
        major, number, at = _head(data, at)
        if open_items:
            open_items[-1] -= 1
        if major in _TEXTS:
            at += number
        elif major in {_ARRAY, _MAP}:
            open_items.append(number * (2 if major == _MAP else 1))
        if at > len(data) or len(open_items) > MAX_DEPTH:
            raise ValueError("the CBOR is cut off, or too deep")


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the major type of an item, its number, and where its content begins."""
    if at >= len(data):
        raise ValueError("the CBOR is cut off")
    major, short = data[at] >> 5, data[at] & 31
    if major == _TAG or (short > 23 and short not in _SIZES):
        raise ValueError("the CBOR has a tag, or an item without a length")
    end = at + 1 + _SIZES.get(short, 0)
    return major, int.from_bytes(data[at + 1 : end], "big") if short in _SIZES else short, end
