from __future__ import annotations

import base64
import itertools
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_verify import TokenError
from authkit_verify._jose.compact import (
    MAX_DEPTH,
    MAX_TOKEN,
    Header,
    Parts,
    decode_segment,
    read_header,
    read_object,
    split,
)
from authkit_verify.testing import encode


def refusal_description(call: object, *args: object) -> str:
    with pytest.raises(TokenError) as caught:
        call(*args)  # type: ignore[operator]
    assert caught.value.code == "invalid_token"
    return caught.value.description


def test_a_token_is_taken_apart_without_losing_a_byte() -> None:
    parts = split("aGVhZGVy.cGF5bG9hZA.c2ln")
    assert parts == Parts(b"aGVhZGVy", b"payload", b"aGVhZGVy.cGF5bG9hZA", b"sig")


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "a.b", "YQ.YQ", "YQ.YQ.", ".YQ.YQ", "YQ..YQ", "YQ.YQ.YQ.YQ", "YQ.YQ.YQ.YQ.YQ",
        "YQ==.YQ.YQ", "YQ.YQ==.YQ", "YQ.YQ.YQ=", "YQ.Y Q.YQ", "YQ.YQ.YQ\n", " YQ.YQ.YQ", "YQ.YQ.Y+/Q",
        "YQ.YQ.YQ\0", "YQ.YQ.é", "YQ.\ud800.YQ", "YQ.YR.YQ", "YQ.YWJ.YQ", "YQ.YWJjZ.YQ",
    ],
)  # fmt: skip
def test_a_token_of_any_other_spelling_is_refused(token: str) -> None:
    refusal_description(lambda: decode_segment(split(token).header_segment))


def test_a_token_longer_than_the_limit_is_refused_unread() -> None:
    assert "longer" in refusal_description(split, "YQ." + "A" * MAX_TOKEN + ".YQ")


def test_what_is_not_a_text_is_refused() -> None:
    refusal_description(split, None)
    refusal_description(split, b"YQ.YQ.YQ")


def test_a_short_segment_is_read_exactly_when_it_is_what_its_bytes_are_spelled_as() -> None:
    def spelled(segment: bytes) -> bytes | None:
        if not re.fullmatch(rb"[A-Za-z0-9_-]+", segment) or len(segment) % 4 == 1:
            return None
        data = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
        return data if base64.urlsafe_b64encode(data).rstrip(b"=") == segment else None

    for length in range(5):
        for chars in itertools.product(b"AQgw9z-_+/=. \n\0\xff", repeat=length):
            segment = bytes(chars)
            try:
                read = decode_segment(segment)
            except TokenError:
                read = None
            assert read == spelled(segment), segment


@given(st.binary(min_size=1, max_size=80))
def test_every_byte_string_has_exactly_its_own_spelling(data: bytes) -> None:
    text = encode(data).encode()
    assert decode_segment(text) == data
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for last in alphabet:
        if last != text[-1]:
            try:
                other = decode_segment(text[:-1] + bytes([last]))
            except TokenError:
                continue
            assert other != data


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', '[{"a":1,"a":1}]', '{"a":NaN}', '{"a":Infinity}',
        '{"a":-Infinity}', '{"a":1e400}', '{"a":-1e999}', '{"a":"\\ud800"}', '{"\\udfff":1}', "[]", "1",
        "null", '"a"', "", "{", '{"a":}', '{"a":1}x', "{'a':1}",
        '{"a":01}', '{"a":1,}', "\ufeff{}", '{"a":tru}',
        '{"a":' + "9" * 5000 + "}", '{"a":"\x01"}', '{"a":"\\x41"}',
    ],
)  # fmt: skip
def test_json_that_is_not_strict_is_refused(text: str) -> None:
    refusal_description(read_object, text.encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1"])
def test_json_in_another_encoding_is_refused(encoding: str) -> None:
    refusal_description(read_object, '{"sub":"é"}'.encode(encoding))


def test_overlong_and_surrogate_utf8_is_refused() -> None:
    refusal_description(read_object, b'{"a":"\xc0\x80"}')
    refusal_description(read_object, b'{"a":"\xed\xa0\x80"}')


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_counted_and_text_that_looks_like_it_is_not(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"

    def nested(depth: int) -> bytes:
        return b'{"x":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"

    assert read_object(nested(MAX_DEPTH))
    refusal_description(read_object, nested(MAX_DEPTH + 1))
    assert read_object(b'{"text":"' + b"{[" * 100 + b'\\\\","more":"\\"[[[[["}')
    assert read_object(b'{"side by side":[' + b",".join([b"[]"] * 200) + b"]}")


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_an_object_reads_the_same_however_deep_it_nests(opening: str, closing: str) -> None:
    for depth in range(MAX_DEPTH - 2):  # a reader for a few levels gives way to one for all
        value = opening * depth + '[1,1.5,"x",true,null,{}]' + closing * depth
        text = f'{{"iss":"https://id.example","deep":{value}}}'
        assert read_object(text.encode()) == json.loads(text)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_nested_without_end_is_refused(opening: bytes) -> None:
    refusal_description(read_object, opening * 5000)
    closing = b"]" if opening == b"[" else b"}"
    refusal_description(read_object, b'{"x":' + opening * 2500 + b"1" + closing * 2500 + b"}")


@pytest.mark.parametrize("unit", [b'\\"', b'"', b"\\", b'"\\', b"[", b"[]"])
def test_no_text_takes_long_to_be_counted(unit: bytes) -> None:
    data = b"[" * (MAX_DEPTH + 1) + b'"' + unit * (12_000 // len(unit))
    spent: list[float] = []
    for _ in range(3):
        began = time.thread_time()
        refusal_description(read_object, data)
        spent.append(time.thread_time() - began)
    assert min(spent) < 0.1


@pytest.mark.parametrize("spelling", ["9e303", "9E303"])
def test_a_number_of_many_digits_takes_no_longer_than_another(spelling: str) -> None:
    def spent(number: str) -> float:
        data = f'{{"a":[{",".join([number] * 2000)}]}}'.encode()
        times: list[float] = []
        for _ in range(5):
            began = time.thread_time()
            read_object(data)
            times.append(time.thread_time() - began)
        return min(times)

    assert spent(spelling) < 8 * spent("9E3")


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}', ' { "a" : 1 } ', '{"a":"\\u00e9"}', '{"a":"\\ud83d\\ude00"}', '{"a":"\\/"}', '{"a":1.50}',
        '{"a":1e3}', '{"a":-0}', '{"a":[{"b":1},{"b":1}]}', '{"\\u0061":1}', '{"a":null,"b":[true,false]}',
        '{"a":1.7976931348623157e308}', '{"a":18446744073709551616}', "{}",
    ],
)  # fmt: skip
def test_strict_json_of_any_spelling_reads_as_the_standard_library_reads_it(text: str) -> None:
    assert read_object(text.encode()) == json.loads(text)


def test_a_duplicate_hidden_behind_an_escape_is_a_duplicate() -> None:
    refusal_description(read_object, b'{"a":1,"\\u0061":1}')


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "RS256", "crit": ["exp"]}, {"alg": "RS256", "crit": []}, {"alg": "RS256", "b64": True}, {},
        {"alg": None}, {"alg": 1}, {"alg": ["RS256"]}, {"alg": "RS256", "kid": 1},
        {"alg": "RS256", "kid": None},
        {"alg": "RS256", "kid": "k" * 257}, {"alg": "RS256", "typ": 1}, {"alg": "RS256", "typ": None},
    ],
)  # fmt: skip
def test_a_header_that_asks_for_more_than_is_understood_is_refused(header: dict[str, object]) -> None:
    refusal_description(read_header, encode(json.dumps(header).encode()).encode())


def test_keys_in_a_header_are_not_even_read() -> None:
    header = {"alg": "RS256", "kid": "k", "typ": "JWT", "jwk": {"kty": "oct"}, "jku": "https://evil.test"}
    assert read_header(encode(json.dumps(header).encode()).encode()) == Header("RS256", "k", "JWT")
