"""Methods, paths, request ids and failures, over a table of toy operations."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from authkit_issuer.config import Config
from authkit_issuer.http.cors import Origins
from authkit_issuer.http.middleware import Edge


async def test_unknown_paths_are_json_too(client, assert_refusal):
    assert_refusal(await client.get("/nowhere"), 404, "not_found")
    assert_refusal(await client.get("/toy/"), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "BREW"])
async def test_a_wrong_method_gets_the_right_ones(client, method, assert_refusal):
    answer = await client.request(method, "/toy")
    assert_refusal(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert answer.json()["error_description"] == "Method not allowed. Use GET or POST."


async def test_options_lists_the_methods_and_opens_nothing_to_other_origins(client):
    answer = await client.options("/toy", headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_head_is_get_without_its_body(client):
    head, get = await client.head("/toy"), await client.get("/toy")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize("given", ["abc-123_X.y", "a" * 64])
async def test_a_plain_request_id_is_echoed(client, given):
    assert (await client.get("/toy", headers={"x-request-id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "a" * 65, "<script>", "a\tb", "\xe9"])
async def test_any_other_request_id_is_replaced(client, given):
    answer = await client.get("/toy", headers={"x-request-id": given.encode("latin-1")})
    assert len(answer.headers["x-request-id"]) == 24
    assert answer.headers["x-request-id"] != given


async def test_a_bug_is_an_opaque_500_whose_id_stands_in_the_log(client, caplog, assert_refusal):
    with caplog.at_level(logging.ERROR, "authkit.http"):
        answer = await client.get("/broken", headers={"x-request-id": "find-me"})
    assert_refusal(answer, 500, "internal_error")
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    assert "find-me" in caplog.text
    assert "secret detail" in caplog.text


async def test_who_is_cut_off_at_the_end_is_asked_to_come_again():
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    edge = Edge(never, Origins(Config(issuer="https://i.test", issued_audiences=("a",), environment="test")))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    running = asyncio.create_task(edge(scope, never, send))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["error"] == "server_busy"


async def test_an_outage_is_503_with_a_time_to_come_back_and_a_line_in_the_log(
    client, assert_refusal, caplog
):
    answer = await client.get("/waiting")
    line = "GET /waiting is database_unavailable: PostgreSQL at db.internal: Connection refused"
    assert f"{answer.headers['x-request-id']}: {line}" in caplog.text
    assert "db.internal" not in answer.text
    assert_refusal(answer, 503, "database_unavailable")
    assert answer.headers["retry-after"] == "4"


async def test_a_websocket_is_refused(app):
    sent: list[dict[str, Any]] = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    await app({"type": "websocket", "path": "/toy", "headers": [], "root_path": ""}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
