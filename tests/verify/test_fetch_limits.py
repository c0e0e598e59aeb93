from __future__ import annotations

from authkit_verify._jwks.fetch_limits import MAX_BACKOFF, MIN_BACKOFF, TokenBucket, backoff
from fakes.clock import FakeClock


def test_the_bucket_allows_two_at_once_and_one_more_every_thirty_seconds(clock: FakeClock) -> None:
    bucket = TokenBucket(clock)
    assert [bucket.take() for _ in range(4)] == [True, True, False, False]
    clock.advance(29.9)
    assert not bucket.take()
    clock.advance(0.2)
    assert bucket.take()
    assert not bucket.take()
    clock.advance(1000)
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_a_clock_set_back_neither_fills_nor_empties_the_bucket(clock: FakeClock) -> None:
    bucket = TokenBucket(clock)
    clock.advance(-1000)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    clock.advance(30)
    assert bucket.take()


def test_the_back_off_doubles_to_a_minute_and_is_jittered_down_to_half_a_second() -> None:
    assert [backoff(n, lambda: 1.0) for n in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, MAX_BACKOFF, MAX_BACKOFF]
    assert backoff(5, lambda: 0.0) == MIN_BACKOFF
    assert backoff(5, lambda: 0.5) == 8.0
