"""The state of a key set by itself: no network, no event loop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authkit_verify._jwks.fetch import Answer
from authkit_verify._jwks.fetch_limits import NEGATIVE_SIZE
from authkit_verify._jwks.key_set_cache import KeySetCache, UnusableKeySet
from authkit_verify.testing import FakeKey
from fakes.clock import FakeClock

ONE, TWO = FakeKey.generate("one", "ES256"), FakeKey.generate("two", "ES256")


def answer(*keys: FakeKey, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(json.dumps({"keys": [key.jwk() for key in keys]}).encode(), named)


def cache_on(clock: FakeClock, *, random_unit: float = 0.5) -> KeySetCache:
    return KeySetCache(clock, cache_ttl=300, max_stale=3600, random_unit=lambda: random_unit)


def source(cache: KeySetCache, clock: FakeClock) -> str | None:
    held = cache.usable(clock())
    return None if held is None else held[1].source


def test_an_empty_cache_has_no_keys_and_its_fetch_is_due(clock: FakeClock) -> None:
    cache = cache_on(clock)
    assert cache.usable(clock()) is None
    assert cache.is_due(clock())
    assert not cache.attempted
    assert not cache.has("one")
    assert cache.refresh_in == 0


def test_a_set_is_fresh_then_stale_then_gone(clock: FakeClock) -> None:
    cache = cache_on(clock)
    assert cache.take(answer(ONE)).outcome == "new keys"
    seen = []
    for seconds in (0, 299, 1, 3599, 1):
        clock.advance(seconds)
        seen.append(source(cache, clock))
    assert seen == ["fresh", "fresh", "stale", "stale", None]


@pytest.mark.parametrize(("unit", "due"), [(0.0, 216.0), (0.5, 240.0), (1.0, 264.0)])
def test_the_next_fetch_is_due_before_the_set_is_stale(clock: FakeClock, unit: float, due: float) -> None:
    cache = cache_on(clock, random_unit=unit)
    cache.take(answer(ONE))
    assert cache.refresh_in == pytest.approx(due)
    assert not cache.is_due(clock())
    clock.advance(due + 0.001)
    assert cache.is_due(clock())


def test_the_same_keys_stay_the_same_object_and_new_keys_replace_it(clock: FakeClock) -> None:
    cache = cache_on(clock)
    sets = []
    outcomes = []
    for taken in (answer(ONE), answer(ONE), Answer(None, {}), answer(ONE, TWO)):
        outcomes.append(cache.take(taken).outcome)
        held = cache.usable(clock())
        assert held is not None
        sets.append(held[0])
    assert outcomes == ["new keys", "the same keys", "not modified", "new keys"]
    assert sets[0] is sets[1] is sets[2]
    assert sets[3].kids == ("one", "two")
    assert (cache.fetches, cache.successes) == (4, 4)


def test_an_unmodified_answer_without_cache_headers_keeps_the_lifetime(clock: FakeClock) -> None:
    cache = cache_on(clock)
    cache.take(answer(ONE, cache_control="max-age=90"))
    cache.take(Answer(None, {}))
    clock.advance(91)
    assert source(cache, clock) == "stale"
    cache.take(Answer(None, {"cache-control": "max-age=200"}))
    clock.advance(91)
    assert source(cache, clock) == "fresh"


@pytest.mark.parametrize("document", [b"{}", b"<html>", b'{"keys":[]}', b'{"keys":[{"kty":"oct","k":"AA"}]}'])
def test_an_unusable_document_changes_nothing(clock: FakeClock, document: bytes) -> None:
    cache = cache_on(clock)
    cache.take(answer(ONE))
    held = cache.usable(clock())
    clock.advance(10)
    with pytest.raises(UnusableKeySet):
        cache.take(Answer(document, {}))
    assert held is not None
    after = cache.usable(clock())
    assert after is not None
    assert after[0] is held[0]
    assert (after[1].source, after[1].age) == ("fresh", 10)
    assert cache.successes == 1


def test_the_kind_of_failure_decides_how_the_keys_are_called(clock: FakeClock) -> None:
    cache = cache_on(clock)
    cache.take(answer(ONE))
    cache.fail("unusable")
    assert source(cache, clock) == "last_known_good"
    cache.fail("failed")
    assert source(cache, clock) == "fresh"
    assert (cache.failures, cache.fetches, cache.successes) == (2, 3, 1)
    cache.take(answer(ONE))
    assert cache.failures == 0


def test_failures_put_the_next_fetch_off_further_each_time(clock: FakeClock) -> None:
    cache = cache_on(clock, random_unit=1.0)
    delays = [cache.fail("failed") for _ in range(8)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    assert cache.refresh_in == 60
    assert cache.attempted
    assert not cache.is_due(clock())


def test_an_absent_key_id_is_forgotten_in_time_or_with_the_next_answer(clock: FakeClock) -> None:
    cache = cache_on(clock)
    cache.take(answer(ONE))
    cache.mark_absent("two")
    assert cache.is_absent("two")
    clock.advance(29.9)
    assert cache.is_absent("two")
    clock.advance(0.2)
    assert not cache.is_absent("two")
    cache.mark_absent("two")
    cache.fail("failed")
    assert cache.is_absent("two")
    cache.take(answer(ONE, TWO))
    assert not cache.is_absent("two")
    assert cache.has("two")


def test_absent_key_ids_are_bounded(clock: FakeClock) -> None:
    cache = cache_on(clock)
    for number in range(3 * NEGATIVE_SIZE):
        cache.mark_absent(f"kid-{number}")
    assert sum(cache.is_absent(f"kid-{number}") for number in range(3 * NEGATIVE_SIZE)) == NEGATIVE_SIZE


def test_time_alone_changes_the_answer_only_where_the_cache_says(clock: FakeClock) -> None:
    cache = cache_on(clock)
    cache.take(answer(ONE))
    changes = []
    for _ in range(3):
        until = cache.unchanged_until()
        changes.append(until - clock())
        clock.advance(until - clock())
        if cache.is_due(clock()):
            cache.fail("failed")
    # The fetch is due; its retry is; and so on: never later than the next change of the source.
    assert changes[0] == pytest.approx(240)
    assert changes[1:] == [pytest.approx(0.5), pytest.approx(1.0)]


def test_notes_are_reported_only_when_their_list_changes(clock: FakeClock) -> None:
    cache = cache_on(clock)
    leaked: dict[str, Any] = TWO.jwk() | {"d": "AAAA"}
    document = json.dumps({"keys": [ONE.jwk(), leaked, TWO.jwk() | {"use": "enc"}]}).encode()
    first, second = cache.take(Answer(document, {})), cache.take(Answer(document, {}))
    assert (len(first.alarms), len(first.skipped)) == (1, 1)
    assert (second.alarms, second.skipped, second.repeated) == ((), (), ())
    again = cache.take(answer(ONE, FakeKey.generate("one", "ES256")))
    assert again.repeated == ("one",)


def test_the_pause_that_an_issuer_asks_for_is_kept_up_to_a_minute(clock: FakeClock) -> None:
    assert cache_on(clock).fail("failed", retry_after=30) == 30
    assert cache_on(clock).fail("failed", retry_after=3600) == 60
    assert cache_on(clock, random_unit=0.0).fail("failed", retry_after=0) == 0.5


def test_a_confirmation_of_a_document_that_was_replaced_confirms_nothing(clock: FakeClock) -> None:
    cache = cache_on(clock)
    old, new = ("https://i.test/k", '"1"'), ("https://i.test/k", '"2"')
    cache.take(answer(ONE), old)
    clock.advance(250)
    cache.take(answer(TWO), new)  # by the fetch of another event loop
    clock.advance(10)
    cache.take(Answer(None, {}), old)
    assert cache.age == 10
    cache.take(Answer(None, {}), new)
    assert cache.age == 0
    assert cache.has("two")
