"""Webhooks over HTTP: what an administrator does, and what the audit trail keeps of it."""

from __future__ import annotations

import httpx
import pytest

from authkit_issuer import Service
from authkit_issuer.security.standard_webhooks import read_secret
from fakes.receiver import receiving
from fakes.until import until

PATH = "/auth/admin/webhooks"
NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def root(api: httpx.AsyncClient, sign_up, service: Service) -> str:
    """An administrator, whose token the client sends; returns the id."""
    tokens = await sign_up(api, "root_r")
    user = await service.users.get_by_username("root_r")
    await service.roles.assign(user.id, "admin")
    api.headers["authorization"] = f"Bearer {tokens['access_token']}"
    return user.id


async def trail(service: Service) -> list[tuple[str, str | None, str | None]]:
    found = await service.events.list_session_events("")
    return [
        (event.event, event.actor, event.target)
        for event in reversed(found)
        if event.event.startswith("webhook_")
    ]


async def test_an_endpoint_is_added_tested_rotated_and_removed_with_the_operator_in_the_trail(
    api, root, service
) -> None:
    async with receiving() as receiver:
        made = (await api.post(PATH, json={"url": receiver.url, "events": ["user_banned"]})).json()
        one = f"{PATH}/{made['id']}"
        assert read_secret(made["secret"])
        (shown,) = (await api.get(PATH)).json()["data"]
        assert shown == (await api.get(one)).json()
        assert (shown["url"], shown["events"], shown["enabled"]) == (receiver.url, ["user_banned"], True)
        assert made["secret"] not in str(shown)
        tested = (await api.post(f"{one}/test", json={})).json()
        assert tested == {"ok": True, "outcome": "status 204"}
        for action in ("disable", "enable"):
            assert (await api.post(f"{one}/{action}", json={})).json() == {"ok": True}
        assert (await api.post(f"{one}/rotate", json={})).json()["secret"] != made["secret"]
        assert (await api.post(f"{one}/replay", json={})).json() == {"events": 0}
        since = {"since": "2020-01-01T00:00:00Z"}
        assert (await api.post(f"{one}/replay", json=since)).json() == {"events": 0}
        assert (await api.delete(one)).json() == {"ok": True}
    assert (await api.get(PATH)).json() == {"data": []}
    acts = ("added", "disabled", "enabled", "secret_rotated", "replayed", "replayed", "removed")
    assert await trail(service) == [(f"webhook_{act}", root, f"webhook:{made['id']}") for act in acts]


async def test_the_trail_names_the_host_and_no_part_of_the_url_that_may_be_a_secret(
    api, root, service
) -> None:
    url = "https://hooks.example.test/services/s3cret?token=s3cret"
    assert (await api.post(PATH, json={"url": url})).status_code == 200
    (event, *_) = await service.events.list_session_events("", "webhook_added")
    assert event.data == {"host": "hooks.example.test"}


async def test_what_cannot_be_used_is_refused_and_leaves_no_event(api, root, service, assert_refusal) -> None:
    assert_refusal(await api.post(PATH, json={"url": "ftp://a.test"}), 400, "invalid_request", "url")
    unknown = {"url": "https://a.test", "events": ["no_such"]}
    assert_refusal(await api.post(PATH, json=unknown), 400, "invalid_request", "events")
    for method, path in (
        ("GET", ""), ("DELETE", ""), ("POST", "/disable"), ("POST", "/enable"), ("POST", "/rotate"),
        ("POST", "/replay"), ("POST", "/test"),
    ):  # fmt: skip
        body = {"json": {}} if method == "POST" else {}
        assert_refusal(await api.request(method, f"{PATH}/{NOWHERE}{path}", **body), 404, "webhook_not_found")
    assert await trail(service) == []


async def test_an_endpoint_does_not_receive_its_own_coming_and_going(api, root) -> None:
    async with receiving() as first, receiving() as second:
        ids = [
            (await api.post(PATH, json={"url": receiver.url})).json()["id"] for receiver in (first, second)
        ]
        await api.delete(f"{PATH}/{ids[1]}")
        await until(lambda: len(first.received) == 2)
        assert [request.payload["type"] for request in first.received] == ["webhook_added", "webhook_removed"]
        assert second.received == []
