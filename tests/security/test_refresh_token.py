"""The refresh token is proved before anything is looked up."""

from __future__ import annotations

import base64
import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_issuer.keys import KeySet
from authkit_issuer.security import refresh_token

ISSUER = "https://issuer.example"
SESSION = str(uuid.UUID(int=7, version=4))
NONCE = bytes(range(16))


def keys(secrets: dict[int, bytes], active: int) -> KeySet:
    return KeySet(signing=None, public={}, refresh_secrets=secrets, active_secret=active)


ONE = keys({0: b"a" * 32}, 0)


def token(key_set: KeySet = ONE, generation: int = 3, issuer: str = ISSUER) -> str:
    return refresh_token.encode(key_set, issuer, session_id=SESSION, generation=generation, nonce=NONCE)


def test_a_token_says_its_session_generation_and_nonce() -> None:
    found = refresh_token.decode(ONE, ISSUER, token())
    assert found is not None
    assert (found.session_id, found.generation, found.nonce) == (SESSION, 3, NONCE)
    assert token().startswith("akr_")


@given(position=st.integers(min_value=0, max_value=93), char=st.sampled_from("ABab01-_"))
def test_no_token_with_a_character_changed_is_believed(position: int, char: str) -> None:
    original = token()
    at = position + len("akr_")
    changed = original[:at] + char + original[at + 1 :]
    assert (refresh_token.decode(ONE, ISSUER, changed) is not None) == (changed == original)


@given(st.text(max_size=120))
def test_no_text_is_believed(text: str) -> None:
    assert refresh_token.decode(ONE, ISSUER, text) is None
    assert refresh_token.decode(ONE, ISSUER, "akr_" + text) is None


def test_a_token_of_another_issuer_is_foreign() -> None:
    assert refresh_token.decode(ONE, "https://other.example", token()) is None


def test_a_rotated_secret_still_verifies_and_a_dropped_one_does_not() -> None:
    both = keys({0: b"a" * 32, 1: b"b" * 32}, 1)
    assert refresh_token.decode(both, ISSUER, token()) is not None
    assert refresh_token.decode(ONE, ISSUER, token(both)) is None


def test_a_secret_under_another_id_does_not_verify() -> None:
    assert refresh_token.decode(keys({5: b"a" * 32}, 5), ISSUER, token()) is None


def test_the_mac_covers_every_byte_before_it() -> None:
    raw = base64.urlsafe_b64decode(token()[4:] + "==")
    for index in range(len(raw) - 32):
        forged = bytearray(raw)
        forged[index] ^= 1
        text = "akr_" + base64.urlsafe_b64encode(bytes(forged)).rstrip(b"=").decode()
        assert refresh_token.decode(ONE, ISSUER, text) is None


def test_the_stored_key_is_not_the_nonce() -> None:
    assert refresh_token.token_key(NONCE) != NONCE
    assert len(refresh_token.token_key(os.urandom(16))) == 32


def test_neither_nonce_nor_secret_shows_in_a_repr() -> None:
    found = refresh_token.decode(ONE, ISSUER, token())
    assert repr(NONCE) not in repr(found)
    assert "aaaa" not in repr(ONE)


@pytest.mark.parametrize(
    ("secrets", "active"),
    [({0: b"a" * 31}, 0), ({0: b"a" * 32}, 1), ({256: b"a" * 32}, 256), ({0: b"a" * 32, 1: b"a" * 32}, 0)],
    ids=["short", "active one missing", "id out of range", "the same twice"],
)
def test_unusable_refresh_secrets_are_refused(secrets: dict[int, bytes], active: int) -> None:
    with pytest.raises(ValueError, match="secret"):
        keys(secrets, active)
