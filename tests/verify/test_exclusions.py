from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from litestar import Litestar, get

from authkit_verify import AuthMiddleware
from authkit_verify._asgi.exclusions import PathSet, is_preflight
from authkit_verify._asgi.types import route_path
from authkit_verify.testing import FakeIssuer


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


@pytest.mark.parametrize(
    ("path", "root", "inside"),
    [
        ("/docs/api/admin", "/api", False), ("/docs/x/apis", "/api", False), ("/docs/api/a", "/api/", False),
        ("/docs/x", "/api", True), ("/api/docs/api/x", "/api", True), ("/docs/x", "/", True),
    ],
)  # fmt: skip
def test_a_subtree_holds_no_path_that_a_framework_cuts_at_its_root(
    path: str, root: str, *, inside: bool
) -> None:
    assert ({"path": path, "root_path": root} in PathSet(["/docs/*"])) is inside


async def test_no_route_of_litestar_is_reached_through_a_subtree(
    issuer: FakeIssuer, connect: Callable[..., Any]
) -> None:
    @get("/admin")
    async def admin() -> str:
        return "reached"

    routes = Litestar([admin], openapi_config=None, logging_config=None)  # it would set the root logger
    app = AuthMiddleware(routes, issuer.verifier(), exclude=["/docs/*"])  # type: ignore[arg-type]
    answer = await connect(
        app, path="/docs/api/admin", root_path="/api", headers=[(b"host", b"a.test")]
    ).run()
    assert (answer.status, b"reached" in answer.body) == (401, False)


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
    names = (b"x-http-method-override", b"x-http-method", b"x-method-override")
    for name in (*names, *(name.replace(b"-", b"_") for name in names)):  # alike to WSGI further in
        assert not is_preflight({"method": "OPTIONS", "headers": [origin, method, (name, b"DELETE")]})
