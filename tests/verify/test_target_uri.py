"""The URL of a request, and the htu of a proof: equal by RFC 3986, or else different."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify._asgi.request_proof import request_proof
from authkit_verify._policy.proof.target_uri import MAX_URI, target_uri
from authkit_verify.testing import FakeIssuer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.test/b", "HTTPS://A.Test:443/b"),
        ("http://a.test:80/", "http://a.test"),
        ("http://a.test:/", "http://a.test"),
        ("https://a.test/b?c=d#e", "https://a.test/b"),
        ("https://a.test/b#?c", "https://a.test/b"),
        ("https://a.test/%7Eb%2f", "https://a.test/~b%2F"),
        ("https://a.test/x/../b/./c", "https://a.test/b/c"),
        ("https://a.test/b/%2e%2E/c/.", "https://a.test/c/"),
        ("https://a.test/../../b", "https://a.test/b"),
        ("https://a.test/b/..", "https://a.test/"),
        ("wss://a.test/b", "https://a.test/b"),
        ("ws://a.test:80/b", "http://a.test/b"),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]/"),
    ],
)
def test_two_spellings_of_one_uri_are_equal(one: str, other: str) -> None:
    assert target_uri(one) is not None
    assert target_uri(one) == target_uri(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.test/b", "http://a.test/b"),
        ("https://a.test/b", "https://a.test/b/"),
        ("https://a.test/b", "https://a.test/B"),
        ("https://a.test/b", "https://a.test:8443/b"),
        ("https://a.test/b/c", "https://a.test/b%2Fc"),
        ("https://a.test/b", "https://a.test//b"),
        ("https://a.test/b", "https://a.test./b"),
    ],
)
def test_two_uris_stay_two(one: str, other: str) -> None:
    assert target_uri(one) is not None
    assert target_uri(other) is not None
    assert target_uri(one) != target_uri(other)


@pytest.mark.parametrize(
    "text",
    [
        "", "/b", "//a.test/b", "a.test/b", "ftp://a.test/", "https:/a.test", "https:///b", "https://u@a.test/",
        "https://u:p@a.test/", "https://a.test:port/", "https://a.test:123456/", "https://a.test/%zz",
        "https://a.test/%", "https://a.test/b c", "https://a.test/b\n", "\thttps://a.test/", "https://a.tést/",
        "https://a.test\\@b.test/", "https://[::1/", "https://a:b:c/",
        "https://a.test/" + "a" * MAX_URI,
    ],
)  # fmt: skip
def test_what_is_not_an_absolute_url_is_none(text: str) -> None:
    assert target_uri(text) is None


@pytest.mark.timeout(1800)
def test_normalizing_twice_changes_nothing_and_any_text_is_read(rounds: Callable[[int], int]) -> None:
    dice = random.Random(30)
    parts = ["https", "http", "://", ":", "/", "..", ".", "%2e", "%2F", "%", "?", "#", "a", "A", "@", "[::1]",
             "443", "80", "\\", "é", " ", "\n", ";", "a.test", "%C3%A9"]  # fmt: skip
    read = 0
    for _ in range(rounds(100_000)):
        text = "https://a.test/" * (dice.random() < 0.7) + "".join(dice.choices(parts, k=dice.randint(0, 8)))
        uri = target_uri(text)
        if uri is not None:
            read += 1
            assert target_uri(uri.origin + uri.path) == uri
            assert "/../" not in uri.path
            assert "?" not in uri.path
    assert read > 1000


@pytest.mark.parametrize(
    ("scope", "url"),
    [
        ({"path": "/a b", "raw_path": b"/a%20b"}, "https://api.test/a%20b"),
        ({"path": "/a b"}, "https://api.test/a%20b"),
        ({"path": "/é", "raw_path": b"/%C3%A9?x=1"}, "https://api.test/%C3%A9"),
        ({"path": "/a/b", "raw_path": b"/a%2Fb"}, "https://api.test/a%2Fb"),
        # uvicorn and Starlette: path and raw_path repeat root_path.
        ({"path": "/v1/a", "raw_path": b"/v1/a", "root_path": "/v1"}, "https://api.test/v1/a"),
        ({"path": "/v1", "raw_path": b"/v1", "root_path": "/v1/"}, "https://api.test/v1"),
        # A server or a mount that leaves it out of path, and perhaps of raw_path.
        ({"path": "/a", "raw_path": b"/a", "root_path": "/v1"}, "https://api.test/v1/a"),
        ({"path": "/a", "raw_path": b"/v1/a", "root_path": "/v1"}, "https://api.test/v1/a"),
        ({"path": "/v1beta", "raw_path": b"/v1beta", "root_path": "/v1"}, "https://api.test/v1/v1beta"),
        # Rewritten on the way: what was routed counts.
        ({"path": "/new", "raw_path": b"/old"}, "https://api.test/new"),
        ({"path": "/a", "scheme": "http"}, "http://api.test/a"),
        ({"path": "/a", "headers": [], "server": ("10.0.0.1", 8000)}, "https://10.0.0.1:8000/a"),
        ({"path": "/a", "headers": [], "server": ("::1", 8000)}, "https://[::1]:8000/a"),
        ({"path": "/a", "type": "websocket", "scheme": "wss"}, "https://api.test/a"),
    ],
)
def test_the_url_of_a_request_is_the_one_that_its_client_used(scope: dict[str, Any], url: str) -> None:
    usual = {
        "type": "http", "method": "GET", "scheme": "https", "root_path": "",
        "headers": [(b"host", b"api.test")],
    }  # fmt: skip
    proof = request_proof(usual | scope, FakeIssuer().verifier(), dpop="p")
    assert target_uri(proof.url) == target_uri(url)
    assert proof.method == "GET"


@pytest.mark.parametrize(
    "headers", [[], [(b"host", b"a.test"), (b"host", b"b.test")], [(b"host", b"u@a.test")]]
)
def test_a_request_without_one_host_has_no_url(headers: Any) -> None:
    scope = {"type": "http", "method": "GET", "scheme": "https", "path": "/", "headers": headers}
    assert target_uri(request_proof(scope, FakeIssuer().verifier(), dpop="p").url) is None
