"""Decoys: as frequent as what is stored, and the same on every try."""

from __future__ import annotations

from collections import Counter

from authkit_issuer.security.dummy_hashes import REFRESH, DummyHashes
from authkit_issuer.security.stored_hashes import Cost

DEFAULT = Cost(algo="argon2id", memory_kib=19_456, passes=2)
IMPORTED = Cost(algo="argon2id", memory_kib=65_536, passes=1)
OLD = Cost(algo="bcrypt", memory_kib=4, passes=1024)
KEY = bytes(32)


def test_before_anything_is_known_every_dummy_costs_what_a_new_hash_does() -> None:
    dummies = DummyHashes(DEFAULT)
    assert {dummies.draw(KEY, str(number)) for number in range(100)} == {DEFAULT}
    dummies.learn({})
    assert dummies.draw(KEY, "ada") == DEFAULT


def test_dummies_are_as_frequent_as_the_stored_hashes() -> None:
    dummies = DummyHashes(DEFAULT)
    dummies.learn({DEFAULT: 500, IMPORTED: 300, OLD: 200})
    drawn = Counter(dummies.draw(KEY, f"user{number}@example.test") for number in range(10_000))
    for cost, share in ((DEFAULT, 0.5), (IMPORTED, 0.3), (OLD, 0.2)):
        assert abs(drawn[cost] / 10_000 - share) < 0.02


def test_an_identifier_draws_the_same_every_time_and_needs_the_key() -> None:
    dummies = DummyHashes(DEFAULT)
    dummies.learn({DEFAULT: 1, IMPORTED: 1})
    names = [str(number) for number in range(200)]
    drawn = [dummies.draw(KEY, name) for name in names]
    assert [dummies.draw(KEY, name) for name in names] == drawn
    assert [dummies.draw(b"another key", name) for name in names] != drawn


def test_a_small_change_of_the_shares_moves_few_identifiers() -> None:
    dummies = DummyHashes(DEFAULT)
    names = [str(number) for number in range(2000)]
    dummies.learn({DEFAULT: 500, IMPORTED: 500})
    before = [dummies.draw(KEY, name) for name in names]
    dummies.learn({DEFAULT: 510, IMPORTED: 490})
    moved = sum(dummies.draw(KEY, name) != cost for name, cost in zip(names, before, strict=True))
    assert moved < 60


def test_it_is_time_to_look_again_after_an_hour() -> None:
    dummies = DummyHashes(DEFAULT)
    assert dummies.empty
    assert dummies.due(0.0)
    dummies.claim(1000.0)
    assert not dummies.empty
    assert not dummies.due(1000.0 + REFRESH - 1)
    assert dummies.due(1000.0 + REFRESH)
