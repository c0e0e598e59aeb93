from __future__ import annotations

import pytest

from authkit_verify._jwks.cache_lifetime import cache_lifetime

DATE = "Tue, 03 Mar 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "fresh", "stale"),
    [
        ({}, 300, 3600),
        ({"cache-control": "max-age=120"}, 120, 3600),
        ({"cache-control": "Public, MAX-AGE=120"}, 120, 3600),
        ({"cache-control": "max-age=86400"}, 300, 3600),
        ({"cache-control": "max-age=15, stale-while-revalidate=15, stale-if-error=86400"}, 60, 3600),
        ({"cache-control": "max-age=120, stale-if-error=60"}, 120, 60),
        ({"cache-control": "stale-if-error=0"}, 300, 0),
        ({"cache-control": "no-store"}, 60, 3600),
        ({"cache-control": "no-cache, max-age=120"}, 60, 3600),
        ({"cache-control": 'max-age="120"'}, 120, 3600),
        ({"cache-control": "max-age=-1"}, 300, 3600),
        ({"cache-control": "max-age=nonsense,,=,"}, 300, 3600),
        ({"cache-control": "max-age=" + "9" * 400}, 300, 3600),
        ({"cache-control": "max-age=200", "age": "100"}, 100, 3600),
        ({"expires": "Tue, 03 Mar 2026 10:02:00 GMT", "date": DATE}, 120, 3600),
        ({"expires": "0", "date": DATE}, 60, 3600),
        ({"expires": "Tue, 03 Mar 2026 10:02:00 GMT"}, 300, 3600),
        ({"expires": "Tue, 03 Mar 2026 10:02:00 GMT", "date": "nonsense"}, 300, 3600),
    ],
)
def test_headers_shorten_and_never_lengthen(headers: dict[str, str], fresh: float, stale: float) -> None:
    found = cache_lifetime(headers, cache_ttl=300.0, max_stale=3600.0)
    assert (found.fresh, found.stale) == (fresh, stale)


def test_a_configured_time_below_a_minute_stands() -> None:
    assert cache_lifetime({"cache-control": "max-age=999"}, cache_ttl=0.5, max_stale=1.0).fresh == 0.5
