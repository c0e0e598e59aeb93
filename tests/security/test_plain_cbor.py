"""Which CBOR reaches a decoder."""

from __future__ import annotations

import struct
import time

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_issuer.security.plain_cbor import MAX_DEPTH, require_plain

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.binary() | st.text()
PLAIN = st.recursive(
    LEAVES,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(), part, max_size=4),
    max_leaves=8,
)


def nested(levels: int) -> bytes:
    return b"\x81" * levels + b"\x00"


@given(st.lists(PLAIN, max_size=3))
def test_what_authenticators_write_passes(items: list[object]) -> None:
    data = b"".join(map(cbor2.dumps, items))
    if max(map(depth, items), default=0) <= MAX_DEPTH:
        require_plain(data)
    for cut in range(1, len(data)):
        # What is cut between two items is whole.
        whole = {len(b"".join(map(cbor2.dumps, items[:count]))) for count in range(len(items))}
        if cut not in whole:
            with pytest.raises(ValueError, match="CBOR"):
                require_plain(data[:cut])


def depth(item: object) -> int:
    inner = item if isinstance(item, list) else item.values() if isinstance(item, dict) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@pytest.mark.parametrize("tag", [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 258, 260, 55799, 2**33])
def test_a_tag_is_refused_wherever_it_is(tag: int) -> None:
    tagged = cbor2.dumps(cbor2.CBORTag(tag, "x"))
    for data in (
        tagged,
        b"\x00" + tagged,
        b"\x82\x00" + tagged,
        b"\xa1\x61a" + tagged,
        b"\xa1" + tagged + b"\x00",
    ):
        with pytest.raises(ValueError, match="tag"):
            require_plain(data)
    require_plain(cbor2.dumps(tagged))


@pytest.mark.parametrize(
    "data",
    [
        nested(MAX_DEPTH + 1),
        b"\x9f\x00\xff",
        b"\x5f\x41a\xff",
        b"\x1c",
        b"\x9b" + b"\xff" * 8,
        b"\x5b" + b"\xff" * 8,
        b"\x19\x01",
    ],
    ids=["deep", "array without a length", "text without a length", "reserved", "endless", "long", "cut off"],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="CBOR"):
        require_plain(data)
    require_plain(nested(MAX_DEPTH))


def test_the_cost_grows_in_line_with_the_bytes() -> None:
    def seconds(data: bytes) -> float:
        begun = time.thread_time()
        require_plain(data)
        return time.thread_time() - begun

    small, large = bytes(10_000), b"\x9a" + struct.pack(">I", 80_000) + bytes(80_000)
    # 8 times as long, and 64 times if each item read the rest of the bytes again.
    assert min(seconds(large) for _ in range(5)) < 24 * min(seconds(small) for _ in range(5))
