"""Records that their store cannot read: sealed under a refresh secret and the key they are stored under."""

from __future__ import annotations

import dataclasses
import os

import pytest

from authkit_issuer.keys import KeySet
from authkit_issuer.security.sealing import seal, unseal

KEYS = KeySet(signing=None, public={}, refresh_secrets={1: os.urandom(32)}, active_secret=1)
ROTATED = dataclasses.replace(
    KEYS, refresh_secrets={**KEYS.refresh_secrets, 2: os.urandom(32)}, active_secret=2
)
REPLACED = dataclasses.replace(ROTATED, refresh_secrets={2: ROTATED.refresh_secrets[2]})


def test_a_record_comes_back_and_equal_records_have_equal_bytes():
    sealed = seal(KEYS, 1, "reg:1", b"ada@example.test")
    assert unseal(KEYS, "reg:1", sealed) == b"ada@example.test"
    assert b"ada" not in sealed
    assert sealed == seal(KEYS, 1, "reg:1", b"ada@example.test")
    assert sealed != seal(KEYS, 1, "reg:2", b"ada@example.test")


def test_a_record_outlives_a_rotation_and_ends_with_its_secret():
    sealed = seal(KEYS, 1, "reg:1", b"x")
    assert unseal(ROTATED, "reg:1", sealed) == b"x"
    assert seal(ROTATED, 1, "reg:1", b"x") == sealed
    assert unseal(REPLACED, "reg:1", sealed) is None
    assert unseal(REPLACED, "reg:1", seal(REPLACED, 1, "reg:1", b"x")) == b"x"


@pytest.mark.parametrize("at", range(18))
def test_bytes_that_somebody_changed_are_no_record(at):
    sealed = bytearray(seal(KEYS, 1, "reg:1", b"x"))
    sealed[at] ^= 1
    assert unseal(KEYS, "reg:1", bytes(sealed)) is None


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x01short", b"{}", b'{"kind": "reg"}'])
def test_other_bytes_are_no_record(stored):
    assert unseal(KEYS, "reg:1", stored) is None


def test_a_record_is_bound_to_its_key():
    assert unseal(KEYS, "reg:2", seal(KEYS, 1, "reg:1", b"x")) is None
