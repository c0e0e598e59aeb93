"""The device token is proved by its MAC alone, and has one spelling."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from authkit_issuer.keys import KeySet
from authkit_issuer.security import device_token
from authkit_issuer.security.device_token import DeviceToken

ISSUER = "https://issuer.example"
TOKEN = DeviceToken(
    user_id=str(uuid.UUID(int=7, version=4)),
    auth_epoch=3,
    issued_at=1_800_000_000,
    factor_at=5,
    id=bytes(range(16)),
)


def keys(secrets: dict[int, bytes], active: int) -> KeySet:
    return KeySet(signing=None, public={}, refresh_secrets=secrets, active_secret=active)


ONE = keys({0: b"a" * 32}, 0)
TEXT = device_token.encode(ONE, ISSUER, TOKEN)


def test_a_token_says_whose_it_is_and_since_when() -> None:
    assert device_token.decode(ONE, ISSUER, TEXT) == TOKEN
    assert TEXT.startswith("akd_")
    assert TOKEN.id.hex() not in repr(TOKEN)


@given(position=st.integers(min_value=4, max_value=len(TEXT) - 1), char=st.sampled_from("ABab01-_=+/. "))
def test_no_token_with_a_character_changed_is_believed(position: int, char: str) -> None:
    changed = TEXT[:position] + char + TEXT[position + 1 :]
    assert (device_token.decode(ONE, ISSUER, changed) is not None) == (changed == TEXT)


@given(st.text(max_size=140))
def test_no_text_is_believed(text: str) -> None:
    assert device_token.decode(ONE, ISSUER, text) is None
    assert device_token.decode(ONE, ISSUER, "akd_" + text) is None


def test_a_shorter_a_longer_and_a_foreign_token_are_nothing() -> None:
    assert device_token.decode(ONE, ISSUER, TEXT[:-1]) is None
    assert device_token.decode(ONE, ISSUER, TEXT + "A") is None
    assert device_token.decode(ONE, "https://other.example", TEXT) is None
    assert device_token.decode(ONE, ISSUER, TEXT.replace("akd_", "akr_")) is None


def test_a_rotated_secret_still_proves_and_a_dropped_one_does_not() -> None:
    both = keys({0: b"a" * 32, 1: b"b" * 32}, 1)
    assert device_token.decode(both, ISSUER, TEXT) == TOKEN
    assert device_token.decode(ONE, ISSUER, device_token.encode(both, ISSUER, TOKEN)) is None
