"""Delivery to a receiver over a socket: every event, in order, signed, and again until it is taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from authkit_issuer.domains.webhooks import delivery
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.keys import KeySet, StaticKeys
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.patience import PATIENCE
from fakes.receiver import Received
from fakes.until import until


def verified(request: Received, secret: str) -> bool:
    """Verify a request as a receiver does, from the text of the standard."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = ".".join((request.headers["webhook-id"], request.headers["webhook-timestamp"])).encode()
    wanted = hmac.new(key, signed + b"." + request.body, hashlib.sha256).digest()
    given = request.headers["webhook-signature"].split(" ")
    return f"v1,{base64.b64encode(wanted).decode()}" in given


async def _settled(service: Service, endpoint_id: str, *, dead: int = 0) -> bool:
    """True once the outcome of every attempt is written: it follows the answer."""
    found = await service.webhooks.get(endpoint_id)
    return (found.dead, found.waiting) == (dead, 0)


async def test_an_event_arrives_signed_and_without_what_identifies_a_person(service, receiver, clock) -> None:
    made = await service.webhooks.add(receiver.url)
    await service.events.record(
        SessionEventType.USER_BANNED,
        actor="root",
        user_id="ada",
        reason="rude to Bob",
        client=Client(ip="192.0.2.1", user_agent="agent"),
        data={"before": "ada@example.test"},
    )
    await until(lambda: len(receiver.received) == 1)
    (request,) = receiver.received
    assert verified(request, made.secret)
    assert request.headers["webhook-timestamp"] == str(int(clock()))
    assert request.headers["content-type"] == "application/json"
    assert request.target == "/hook"
    event = (await service.events.list_session_events("ada"))[0]
    assert request.headers["webhook-id"] == f"msg_{made.id.replace('-', '')}_{event.id}"
    payload = request.payload
    assert (payload["type"], payload["data"]["user_id"]) == ("user_banned", "ada")
    assert datetime.fromisoformat(payload["timestamp"]) == event.occurred_at
    for text in (b"192.0.2.1", b'"agent"', b"rude", b"ada@"):
        assert text not in request.body
    assert made.secret not in repr(made)


async def test_addresses_and_agents_are_sent_where_they_are_asked_for(service, receiver) -> None:
    await service.webhooks.add(receiver.url, personal=True)
    await service.events.log_session_created("ada", "password", "s", "192.0.2.1", "agent")
    await until(lambda: len(receiver.received) == 1)
    data = receiver.received[0].payload["data"]
    assert (data["ip_addr"], data["user_agent"]) == ("192.0.2.1", "agent")


async def test_only_the_chosen_types_arrive_and_none_from_before(service, receiver, record) -> None:
    await record(service, 0)
    await service.webhooks.add(receiver.url, ["session_created"])
    await record(service, 1)
    await record(service, 2, "session_failed")
    await record(service, 3)
    await until(lambda: receiver.numbers == [1, 3])


async def test_an_ended_session_arrives_too(service, receiver) -> None:
    user = await service.users.create("ada@example.test", "ada_l")
    session = await service.sessions.issue(user.id, method="password", client=Client())
    await service.webhooks.add(receiver.url, ["session_revoked"])
    await service.sessions.revoke_all(user.id)
    await until(lambda: len(receiver.received) == 1)
    assert receiver.received[0].payload["data"]["session_id"] == session.session_id


async def test_a_change_that_is_rolled_back_is_not_sent(service, receiver, record) -> None:
    await service.webhooks.add(receiver.url)
    with pytest.raises(RuntimeError):
        async with service.transaction() as tx:
            await record(tx, 1)
            raise RuntimeError
    await record(service, 2)
    await until(lambda: receiver.numbers == [2])


async def test_events_wait_for_one_that_is_refused_and_keep_their_order(service, receiver, record) -> None:
    receiver.answers = [500, "close", 302, 204]
    await service.webhooks.add(receiver.url)
    for number in range(20):
        await record(service, number)
    await until(lambda: receiver.numbers[-1:] == [19])
    assert receiver.numbers == [0, 0, 0, *range(20)]
    first, again, *_ = receiver.received
    assert first.headers["webhook-id"] == again.headers["webhook-id"]


async def test_events_arrive_in_the_order_of_time_where_a_sequence_gave_numbers_ahead(
    service, receiver, record
) -> None:
    await service.webhooks.add(receiver.url)
    async with service.transaction() as tx:
        for number in (1, 2, 3):
            await record(tx, number)
        await tx.connection.execute(
            "update profiles.webhook_deliveries set queued_at = queued_at - interval '1 second'"
            " where event_id = (select max(event_id) from profiles.webhook_deliveries)"
        )
    await until(lambda: len(receiver.numbers) == 3)
    assert receiver.numbers == [3, 1, 2]


async def test_a_program_without_the_keys_of_the_service_spoils_no_delivery(
    make_service, service, receiver, key_source
) -> None:
    made = await service.webhooks.add(receiver.url)
    await service.close()
    reads = await make_service(
        keys=StaticKeys(
            KeySet(signing=None, public={}, refresh_secrets={0: bytes(32)}, active_secret=0)  # as commands do
        )
    )
    await reads.events.record(SessionEventType.SESSION_CREATED, actor=None, user_id="ada", session_id="1")
    await asyncio.sleep(0.2)
    found = await reads.webhooks.get(made.id)
    assert (found.waiting, found.last_outcome) == (1, None)
    await reads.close()
    await make_service()
    await until(lambda: receiver.numbers == [1])


async def test_after_a_failure_of_its_own_the_worker_lets_the_endpoint_rest(
    service, receiver, record, monkeypatch
) -> None:
    tries: list[str] = []

    async def broken(_self: object, message_id: str, _body: bytes) -> None:
        tries.append(message_id)
        raise LookupError

    monkeypatch.setattr("authkit_issuer.domains.webhooks.delivery.PAUSES", (3600.0, 3600.0))
    monkeypatch.setattr("authkit_issuer.domains.webhooks.sending.Sending.send", broken)
    await service.webhooks.add(receiver.url)
    await record(service, 1)
    resting = "select next_at > now() and leased_until < now() from profiles.webhook_endpoints"
    await until(lambda: service.pool.fetchval(resting))
    assert (len(tries), service.failures["webhooks"]) == (1, 1)
    await service.pool.execute("update profiles.webhook_endpoints set next_at = now()")
    service.rt.wake_webhooks()
    await until(lambda: len(set(tries)) == 1 and len(tries) > 1)


async def test_a_redirect_is_not_followed(service, receiver, record) -> None:
    receiver.answers, receiver.extra = [307], f"location: {receiver.url}/elsewhere\r\n"
    await service.webhooks.add(receiver.url)
    await record(service, 1)
    await until(lambda: len(receiver.received) == 2)
    assert [request.target for request in receiver.received] == ["/hook", "/hook"]


async def test_an_event_that_is_never_taken_is_given_up_and_can_be_replayed(
    service, receiver, record
) -> None:
    attempts = len(delivery.PAUSES) + 1
    receiver.answers = [500] * attempts
    made = await service.webhooks.add(receiver.url)
    await record(service, 1)
    await record(service, 2)
    await until(lambda: receiver.numbers == [1] * attempts + [2])
    await until(lambda: _settled(service, made.id, dead=1))
    assert service.failures["webhooks"] == attempts
    assert await service.webhooks.replay(made.id) == 1
    await until(lambda: receiver.numbers[-2:] == [2, 1])
    assert (await service.webhooks.get(made.id)).dead == 0


async def test_what_was_given_up_is_replayed_before_what_happened_after_it(service, receiver, record) -> None:
    attempts = len(delivery.PAUSES) + 1
    receiver.answers = [500] * attempts + [410]
    made = await service.webhooks.add(receiver.url)
    async with service.transaction() as tx:
        for number in (1, 2, 3):
            await record(tx, number)

    async def is_disabled() -> bool:
        return not (await service.webhooks.get(made.id)).enabled

    await until(is_disabled)
    assert await service.webhooks.replay(made.id) == 1
    await service.webhooks.enable(made.id)
    await until(lambda: receiver.numbers[attempts + 1 :][:3] == [1, 2, 3])


async def test_everything_since_a_time_is_replayed_under_the_same_ids(service, receiver, record) -> None:
    made = await service.webhooks.add(receiver.url, ["session_created"])
    for number in (1, 2):
        await record(service, number)
    await until(lambda: receiver.numbers == [1, 2])
    await until(lambda: _settled(service, made.id))
    assert await service.webhooks.replay(made.id, since=datetime.now(UTC) - timedelta(hours=1)) == 2
    await until(lambda: receiver.numbers == [1, 2, 1, 2])
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert ids[:2] == ids[2:]


async def test_a_replay_is_in_the_order_of_time_whether_an_event_was_sent_before_or_not(
    service, receiver, record
) -> None:
    made = await service.webhooks.add(receiver.url, ["session_created"])
    await record(service, 1)
    await until(lambda: _settled(service, made.id))
    await service.webhooks.disable(made.id)
    await record(service, 2)
    await record(service, 3)
    await service.webhooks.enable(made.id)
    await record(service, 4)
    await until(lambda: receiver.numbers == [1, 4])
    await until(lambda: _settled(service, made.id))
    assert await service.webhooks.replay(made.id, since=datetime.now(UTC) - timedelta(hours=1)) == 4
    await until(lambda: receiver.numbers == [1, 4, 1, 2, 3, 4])


async def test_what_waited_too_long_behind_others_gets_one_attempt(
    service, receiver, record, monkeypatch
) -> None:
    monkeypatch.setattr(delivery, "LONGEST", 0.0)
    receiver.answers = [500, 500, 500]
    made = await service.webhooks.add(receiver.url)
    for number in range(4):
        await record(service, number)
    await until(lambda: receiver.numbers == [0, 1, 2, 3])
    await until(lambda: _settled(service, made.id, dead=3))


async def test_a_receiver_that_is_gone_is_asked_no_more(service, receiver, record) -> None:
    receiver.answers = [410]
    made = await service.webhooks.add(receiver.url)
    await record(service, 1)

    async def left_alone() -> bool:
        found = await service.webhooks.get(made.id)
        return (found.enabled, found.waiting, found.last_outcome) == (False, 1, "status 410")

    await until(left_alone)
    await record(service, 2)
    assert len(receiver.received) == 1
    await service.webhooks.enable(made.id)
    await until(lambda: receiver.numbers == [1, 1])


async def test_a_receiver_may_ask_for_time(service, receiver, record) -> None:
    receiver.answers, receiver.extra = [503], "retry-after: 3600\r\n"
    await service.webhooks.add(receiver.url)
    await record(service, 1)
    due = "select extract(epoch from next_at - now())::float8 from profiles.webhook_endpoints"

    async def put_off() -> bool:
        return 3600 * 0.85 < (await service.pool.fetchval(due) or 0) < 3600 * 1.15

    await until(put_off)
    assert len(receiver.received) == 1


async def test_a_slow_receiver_delays_neither_requests_nor_other_receivers(service, receiver, record) -> None:
    await service.webhooks.add(f"{receiver.url}/slow")
    receiver.answers = ["hang"]
    await record(service, 1)
    await until(lambda: len(receiver.received) == 1)
    await service.webhooks.add(receiver.url)
    async with asyncio.timeout(PATIENCE):
        await record(service, 2)
    await until(lambda: [request.target for request in receiver.received] == ["/hook/slow", "/hook"])


async def test_after_a_rotation_both_secrets_sign_and_then_the_new_one_alone(
    service, receiver, record
) -> None:
    made = await service.webhooks.add(receiver.url, ["session_created"])
    new = await service.webhooks.rotate(made.id)
    await record(service, 1)
    await until(lambda: len(receiver.received) == 1)
    assert verified(receiver.received[0], made.secret)
    assert verified(receiver.received[0], new.secret)
    last = await service.webhooks.rotate(made.id, overlap=0)
    await record(service, 2)
    await until(lambda: len(receiver.received) == 2)
    assert [verified(receiver.received[1], secret) for secret in (new.secret, last.secret)] == [False, True]


async def test_a_test_message_is_sent_at_once_and_says_what_came_of_it(service, receiver) -> None:
    made = await service.webhooks.add(receiver.url)
    receiver.answers = [204, 418, "close"]
    texts = [(await service.webhooks.test(made.id)).text for _ in range(3)]
    assert texts[:2] == ["status 204", "status 418"]
    assert texts[2].startswith("no connection")
    assert receiver.received[0].payload["type"] == "test"
    assert verified(receiver.received[0], made.secret)
