from __future__ import annotations

from typing import Any

import pytest

from authkit_verify._asgi.exclusions import PathSet, is_preflight
from authkit_verify._asgi.types import route_path


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/a", "", "/a"), ("/api/a", "/api", "/a"), ("/api", "/api", "/"), ("/apiary", "/api", "/apiary"),
        ("/a", "/api", "/a"), ("/api/", "/api", "/"), ("/", "", "/"),
    ],
)  # fmt: skip
def test_the_path_below_the_root_is_what_counts(path: str, root: str, expected: str) -> None:
    assert route_path({"path": path, "root_path": root}) == expected


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/health", True), ("/health/", False), ("/healthz", False), ("/HEALTH", False), ("/docs/a", True),
        ("/docs/a/b", True),
        ("/docs", False), ("/docsx", False), ("/docs/../admin", False), ("/docs/./x", False),
        ("/docs/..\\admin", False), ("//health", False), ("/", False),
    ],
)  # fmt: skip
def test_paths_are_matched_in_full(path: str, *, inside: bool) -> None:
    assert ({"path": path} in PathSet(["/health", "/docs/*"])) is inside


@pytest.mark.parametrize("patterns", ["/health", ["health"], [""], ["/a*"], ["/*/b"], ["/a/**"]])
def test_a_pattern_that_would_surprise_is_refused(patterns: Any) -> None:
    with pytest.raises(ValueError):
        PathSet(patterns)


def test_only_a_real_preflight_is_one() -> None:
    origin, method = (b"origin", b"https://a.test"), (b"access-control-request-method", b"GET")
    assert is_preflight({"method": "OPTIONS", "headers": [origin, method]})
    assert not is_preflight({"method": "OPTIONS", "headers": [origin]})
    assert not is_preflight({"method": "OPTIONS", "headers": []})
    assert not is_preflight({"method": "GET", "headers": [origin, method]})
    for name in (b"x-http-method-override", b"x-http-method", b"x-method-override"):
        assert not is_preflight({"method": "OPTIONS", "headers": [origin, method, (name, b"DELETE")]})
