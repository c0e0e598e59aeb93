from __future__ import annotations

import contextlib
from typing import Any

import pytest

from authkit_verify import TokenError
from authkit_verify._asgi.credentials import HandshakeSources, bearer_token, sole_authorization


@pytest.mark.parametrize("value", [b"Bearer t.o.k", b"bearer t.o.k", b"BEARER   t.o.k"])
def test_the_scheme_is_bearer_in_any_case_and_any_blanks(value: bytes) -> None:
    assert bearer_token(value) == "t.o.k"


@pytest.mark.parametrize("value", [None, b"", b"Basic abc", b"Bearertoken", b"Token t.o.k", b"Basic bearer"])
def test_anything_else_is_no_bearer_token(value: bytes | None) -> None:
    assert bearer_token(value) is None


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer", b"Bearer ", b"Bearer a b", b"Bearer a,b", b"Bearer a, Bearer b", b"Bearer a ",
        b"Bearer a\n", b"Bearer\ta", b"Basic a, Bearer b", b"Basic a,bearer b", b"\tBearer a",
    ],
)  # fmt: skip
def test_anything_but_one_token_right_after_the_scheme_is_a_bad_request(value: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        bearer_token(value)
    assert caught.value.code == "invalid_request"


def test_two_headers_are_a_bad_request() -> None:
    header = (b"authorization", b"Bearer a")
    assert sole_authorization({"headers": [(b"x", b"y"), header]}) == b"Bearer a"
    assert sole_authorization({"headers": []}) is None
    with pytest.raises(TokenError):
        sole_authorization({"headers": [header, header]})


def scope(**more: Any) -> dict[str, Any]:
    return {"headers": [], "query_string": b"", "subprotocols": []} | more


def test_a_handshake_reads_only_the_places_named() -> None:
    given = scope(query_string=b"access_token=q", subprotocols=["bearer", "s"])
    assert HandshakeSources().token(given) is None
    assert HandshakeSources(query="access_token").token(scope(query_string=b"access_token=q")) == "q"
    assert HandshakeSources(query="access_token").token(scope(query_string=b"token=q")) is None


def test_a_token_among_the_subprotocols_is_taken_out() -> None:
    given = scope(subprotocols=["chat", "bearer", "tok", "v2"])
    assert HandshakeSources(subprotocol="bearer").token(given) == "tok"
    assert given["subprotocols"] == ["chat", "bearer", "v2"]


@pytest.mark.parametrize(
    "given",
    [
        scope(query_string=b"t=a&t=b"),
        scope(query_string=b"t="),
        scope(query_string=b"t=a", headers=[(b"authorization", b"Bearer a")]),
        scope(subprotocols=["bearer"]),
        scope(subprotocols=["bearer", "a", "bearer", "b"]),
        scope(subprotocols=["bearer", "a"], query_string=b"t=a"),
    ],
)
def test_credentials_in_two_places_or_none_in_a_named_one_are_a_bad_request(given: dict[str, Any]) -> None:
    with pytest.raises(TokenError) as caught:
        HandshakeSources(query="t", subprotocol="bearer").token(given)
    assert caught.value.code == "invalid_request"


def test_names_no_client_could_send_are_refused() -> None:
    for wrong in ({"query": ""}, {"subprotocol": "a b"}, {"subprotocol": ""}):
        with pytest.raises(ValueError):
            HandshakeSources(**wrong)


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (b"t=secret", b""),
        (b"a=%2F+b&t=secret&&c", b"a=%2F+b&&c"),
        (b"%74=secret&room=1", b"room=1"),
        (b"t=secret&t=other", b""),
        (b"tt=1&a=t", b"tt=1&a=t"),
    ],
)
def test_the_token_of_the_query_does_not_stay_in_the_scope(query, left):
    given = scope(query_string=query)
    with contextlib.suppress(TokenError):
        HandshakeSources(query="t").token(given)
    assert given["query_string"] == left


def test_the_token_leaves_the_query_also_where_the_handshake_is_refused_for_another_place():
    given = scope(query_string=b"t=secret", headers=[(b"authorization", b"Bearer a")] * 2)
    with pytest.raises(TokenError):
        HandshakeSources(query="t").token(given)
    assert given["query_string"] == b""
