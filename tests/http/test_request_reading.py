"""Bodies, forms and queries, over a table of toy operations."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

HTTP_JSON = {"content-type": "application/json"}


async def test_a_body_is_read_and_texts_are_trimmed(client):
    answer = await client.post("/toy", json={"name": "  ada "})
    assert (answer.status_code, answer.json()) == (200, {"name": "ada", "ip": "203.0.113.7"})


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", "name"),
        (b"{", None),
        (b"nope", None),
        (b"[]", None),
        (b'"text"', None),
        (b"null", None),
        (b"{} {}", None),
        (b"\xef\xbb\xbf{}", None),
        ('{"name": "x"}'.encode("utf-16"), None),
        (b'{"name": "\xff"}', None),
        (b'{"name": NaN}', None),
        (b'{"name": "x", "count": Infinity}', None),
        (b'{"name": "x", "count": ' + b"9" * 5000 + b"}", None),
        (b'{"name": "x", "count": 1e400}', "count"),
        (b'{"name": "x", "count": true}', "count"),
        (b'{"name": "x", "count": "1"}', "count"),
        (b'{"name": "x", "count": -1}', "count"),
        (b'{"name": 1}', "name"),
        (b'{"name": null}', "name"),
        (b'{"name": ["x"]}', "name"),
        (b'{"name": "x", "name": "y"}', "name"),
        (b'{"name": "x", "inner": {"a": 1, "a": 2}}', "a"),
        (b'{"name": "x", "other": 1}', "other"),
        (b'{"name": "x", "\\ud800": 1}', None),
        (b'{"name": "x", "line\\nbreak": 1}', None),
        (b'{"name": "x", "' + b"k" * 100 + b'": 1}', None),
        (b'{"name": "a\x00b"}', None),
        (b'{"name": "a\\u0000b"}', "name"),
        (b'{"name": "\\ud83d"}', "name"),
        (b'{"name": "x", "inner": {"deep": [["\\udc00"]]}}', "inner"),
        (b'{"name": "x", "inner": {"\\u0000": 1}}', "inner"),
        (b"[" * 60_000, None),
        (b'{"inner":' * 7_000, None),
        (b'{"name": "x", "other": ' + b"[" * 400 + b"]" * 400 + b"}", "other"),
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(client, raw, param, assert_refusal):
    answer = await client.post("/toy", content=raw, headers=HTTP_JSON)
    assert_refusal(answer, 400, "invalid_request", param)


async def test_every_missing_member_is_named(api):
    answer = await api.post("/auth/password/login", json={})
    assert answer.json()["error_description"] == "Required: identifier, password."
    assert answer.json()["param"] == "identifier"
    two = {"identifier": "a@example.test", "email": "b@example.test", "password": "x"}
    refused = await api.post("/auth/password/login", json=two)
    assert refused.json()["error_description"] == "Unknown member, or a second name of another one."
    assert refused.json()["param"] == "email"


async def test_pairs_of_surrogates_are_one_character(client):
    answer = await client.post("/toy", content=b'{"name": "\\ud83d\\ude00"}', headers=HTTP_JSON)
    assert answer.json()["name"] == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.x+json",
        'application/json;charset="UTF-8"',
    ],
)
async def test_json_under_its_several_names_is_taken(client, kind):
    answer = await client.post("/toy", content=b'{"name": "x"}', headers={"content-type": kind})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/jsonp"},
        HTTP_JSON | {"content-encoding": "gzip"},
    ],
)
async def test_other_forms_of_body_are_unsupported(client, headers, assert_refusal):
    answer = await client.post("/toy", content=b'{"name": "x"}', headers=headers)
    assert_refusal(answer, 415, "unsupported_media_type")


async def _chunks(count: int):
    for _ in range(count):
        yield b"x" * 1024


async def test_a_body_above_64_kib_is_too_large_whether_announced_or_not(client, assert_refusal):
    announced = await client.post("/toy", content=b"x" * (64 * 1024 + 1), headers=HTTP_JSON)
    assert_refusal(announced, 413, "payload_too_large")
    streamed = await client.post("/toy", content=_chunks(1024), headers=HTTP_JSON)
    assert_refusal(streamed, 413, "payload_too_large")


async def test_a_body_that_does_not_come_is_not_waited_for(client, assert_refusal, monkeypatch):
    monkeypatch.setattr("authkit_issuer.http.request_body.BODY_DEADLINE", 0.05)

    async def never():
        yield b"{"
        await asyncio.Event().wait()

    answer = await client.post("/toy", content=never(), headers=HTTP_JSON)
    assert_refusal(answer, 408, "request_timeout")


async def test_a_body_of_exactly_64_kib_is_read(client):
    frame = json.dumps({"name": ""}).encode()
    name = b"x" * (64 * 1024 - len(frame))
    answer = await client.post("/toy", content=frame.replace(b'""', b'"' + name + b'"'), headers=HTTP_JSON)
    assert len(answer.json()["name"]) == len(name)


async def test_counting_stops_at_the_limit_and_not_at_the_end(app, scope):
    asked = 0

    async def receive():
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b"x" * 32_768, "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"10")]
    await app(scope("POST", "/toy", headers), receive, send)
    assert (sent[0]["status"], asked) == (413, 3)


async def test_a_caller_who_hangs_up_gets_no_answer_and_leaves_no_error(app, caplog, scope):
    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    await app(scope("POST", "/toy", [(b"content-length", b"10")]), receive, send)
    assert not caplog.records


async def test_a_body_without_an_announced_length_is_read_as_http_2_allows(app, scope):
    sent: list[dict[str, Any]] = []

    async def receive():
        return {"type": "http.request", "body": b'{"name": "ada"}', "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope("POST", "/toy", [(b"content-type", b"application/json")]), receive, send)
    assert (sent[0]["status"], sent[1]["body"]) == (200, b'{"name":"ada"}')


async def test_forms_are_taken_only_by_the_token_endpoint(client):
    answer = await client.post("/form", data={"name": "ada"})
    assert answer.json()["name"] == "ada"


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"name=a&name=b", "name"),
        (b"name=%ff", None),
        (b"name=\xff", None),
        (b"name=%00", "name"),
        (b"name=", "name"),
        (b"&".join(b"a%d=1" % n for n in range(200)), None),
    ],
)
async def test_forms_are_read_as_strictly_as_json(client, raw, param, assert_refusal):
    answer = await client.post(
        "/form", content=raw, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert_refusal(answer, 400, "invalid_request", param)


async def test_an_operation_without_a_body_takes_nothing_or_an_empty_object(client, assert_refusal):
    assert (await client.request("GET", "/toy", content=b"{}", headers=HTTP_JSON)).status_code == 200
    answer = await client.request("GET", "/toy", content=b'{"x": 1}', headers=HTTP_JSON)
    assert_refusal(answer, 400, "invalid_request", "x")


async def test_query_parameters_are_read_as_their_types(client):
    assert (await client.get("/toy?deep=true&word=a%20b&unknown=1")).json()["name"] == "True:a b"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("deep=maybe", "deep"),
        ("deep=1&deep=0", "deep"),
        ("word=%00", "word"),
        ("word=%ff", None),
        ("%ff=1", None),
        ("word=%ed%a0%80", None),
    ],
)
async def test_query_parameters_that_are_not_text_or_not_the_type_are_refused(
    client, query, param, assert_refusal
):
    assert_refusal(await client.get(f"/toy?{query}"), 400, "invalid_request", param)
