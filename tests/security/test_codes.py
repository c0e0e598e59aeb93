"""One-time codes and their digests."""

from __future__ import annotations

import os
import re
from collections import Counter

import pytest

from authkit_issuer.keys import KeySet
from authkit_issuer.security import codes

OLD = KeySet(signing=None, public={}, refresh_secrets={0: b"a" * 32}, active_secret=0)
NEW = KeySet(signing=None, public={}, refresh_secrets={0: b"a" * 32, 1: b"b" * 32}, active_secret=1)


def test_codes_are_six_digits_with_leading_zeros_and_no_favorite() -> None:
    drawn = [codes.new_code(os.urandom) for _ in range(4000)]
    assert all(len(code) == 6 and code.isascii() and code.isdigit() for code in drawn)
    counts = Counter(code[0] for code in drawn)
    assert set(counts) == set("0123456789")
    assert max(counts.values()) < 550


def test_a_long_code_has_65_bits_in_three_groups_and_no_favorite() -> None:
    drawn = [codes.new_long_code(os.urandom) for _ in range(500)]
    assert all(re.fullmatch(r"[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{5}", code) for code in drawn)
    counts = Counter(codes.typed("".join(drawn)))
    assert len(counts) == 32
    assert max(counts.values()) < 300


@pytest.mark.parametrize(
    "text", ["ABCDEFGHJKLMN", "abcd-efgh-jklmn", " ABCD EFGH\tJKLMN\n", "ABCD\u2013EFGH\u2011JKLMN"]
)
def test_blanks_dashes_and_case_of_a_typed_code_do_not_matter(text: str) -> None:
    assert codes.typed(text) == "ABCDEFGHJKLMN"


def test_numbers_beyond_the_last_whole_million_are_drawn_again() -> None:
    draws = iter([(16_000_000).to_bytes(3, "big"), (15_999_999).to_bytes(3, "big")])
    assert codes.new_code(lambda _: next(draws)) == "999999"


def test_a_digest_is_bound_to_purpose_scope_and_code() -> None:
    base = codes.digest(OLD, "reg", "a", "123456")
    others = [("reset", "a", "123456"), ("reg", "b", "123456"), ("reg", "a", "123457"), ("re", "ga", "1")]
    assert all(codes.digest(OLD, *other) != base for other in others)


def test_a_digest_of_a_retired_secret_is_still_recognized() -> None:
    assert codes.digest(OLD, "reg", "a", "1") in codes.digests(NEW, "reg", "a", "1")
    assert codes.digests(NEW, "reg", "a", "1")[0] == codes.digest(NEW, "reg", "a", "1")


def test_a_digest_shows_neither_the_code_nor_what_a_plain_hash_would() -> None:
    import hashlib

    digest = codes.digest(OLD, "reg", "a", "123456")
    assert "123456" not in digest
    assert hashlib.sha256(b"123456").hexdigest() not in digest


def test_link_tokens_carry_256_bits() -> None:
    token = codes.new_token(os.urandom)
    assert len(token) == 43
    assert len({codes.new_token(os.urandom) for _ in range(50)}) == 50
