"""The examples of hooks and webhooks: each is run."""

from __future__ import annotations

import time

import httpx

from authkit_issuer import Config, Service
from authkit_issuer.security.standard_webhooks import headers, read_secret
from fakes.examples import load
from fakes.until import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_the_receiver_takes_what_is_genuine_once(service: Service) -> None:
    seen: set[str] = set()
    handled: list[dict[str, object]] = []
    app = load("webhook_receiver").build(SECRET, seen, handled)
    key, body, now = read_secret(SECRET), b'{"type": "user_created"}', int(time.time())
    assert key is not None
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://host.test"
    ) as client:

        async def post(signed: dict[str, str], sent: bytes = body) -> int:
            return (await client.post("/hook", content=sent, headers=signed)).status_code

        genuine = headers([bytes(32), key], "msg_1", now, body)
        assert [await post(genuine), await post(genuine)] == [204, 204]
        assert handled == [{"type": "user_created"}]
        assert await post(headers([bytes(32)], "msg_2", now, body)) == 400
        assert await post(headers([key], "msg_3", now - 301, body)) == 400
        assert await post(genuine, b"{}") == 400
        assert await post({}) == 400


async def test_a_receiver_without_a_secret_takes_nothing() -> None:
    handled: list[dict[str, object]] = []
    app, body = load("webhook_receiver").build("", set(), handled), b"{}"
    signed = headers([b""], "msg_1", int(time.time()), body)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://host.test"
    ) as client:
        assert (await client.post("/hook", content=body, headers=signed)).status_code == 400


async def test_a_hook_and_a_sink_hear_of_a_new_user(config: Config) -> None:
    example = load("hooks")
    ledger, greeted = example.Ledger(), list[str]()

    async def greet(user_id: str) -> None:
        greeted.append(user_id)

    async with await example.open_service(config, ledger, greet) as service:
        user = await service.users.create("ada@example.test", "ada_l")
        await until(lambda: greeted == [user.id] and "user_created" in ledger.entries.values())
