"""The endpoints: what is kept of them, and how."""

from __future__ import annotations

import dataclasses
import os
from datetime import datetime

import pytest

from authkit_issuer import errors
from authkit_issuer.keys import KeySet, StaticKeys
from fakes.until import until

NOWHERE = "00000000-0000-4000-8000-000000000000"


def with_secrets(keys: KeySet, secrets: dict[int, bytes], active: int) -> StaticKeys:
    changed = KeySet(signing=keys.signing, public=keys.public, refresh_secrets=secrets, active_secret=active)
    return StaticKeys(changed)


async def test_an_endpoint_is_listed_with_its_state(service, receiver, record) -> None:
    made = await service.webhooks.add(receiver.url, ["user_created", "session_created", "user_created"])
    await record(service, 1)
    await until_ended(service, 1)  # else the outcome may be written between the two readings
    await service.webhooks.disable(made.id)
    (found,) = await service.webhooks.list()
    assert found == await service.webhooks.get(made.id)
    assert (found.id, found.url, found.enabled) == (made.id, receiver.url, False)
    assert found.events == ("session_created", "user_created")
    await service.webhooks.remove(made.id)
    assert await service.webhooks.list() == []


async def test_the_secret_is_sealed_where_it_rests(service, receiver) -> None:
    from authkit_issuer.security.standard_webhooks import read_secret

    made = await service.webhooks.add(receiver.url)
    row = dict(await service.pool.fetchrow("select * from profiles.webhook_endpoints"))
    secret = read_secret(made.secret)
    assert secret is not None
    assert len(secret) == 32
    assert secret not in row["secret"]
    assert made.secret not in repr(row)


async def test_a_secret_outlives_the_refresh_secret_that_sealed_it(
    make_service, receiver, record, key_source
) -> None:
    """The next delivery seals it anew; then the old refresh secret may go."""
    keys, second = key_source.current(), os.urandom(32)
    service = await make_service()
    made = await service.webhooks.add(receiver.url)
    await service.close()
    both = await make_service(keys=with_secrets(keys, {**keys.refresh_secrets, 2: second}, 2))
    await record(both, 1)
    await until_ended(both, 1)
    await both.close()
    alone = await make_service(keys=with_secrets(keys, {2: second}, 2))
    await record(alone, 2)
    await until(lambda: len(receiver.received) == 2)
    assert (await alone.webhooks.get(made.id)).enabled


async def test_a_secret_that_cannot_be_read_is_named_and_a_rotation_mends_it(
    make_service, receiver, key_source
) -> None:
    made = await (await make_service()).webhooks.add(receiver.url)
    lost = await make_service(keys=with_secrets(key_source.current(), {2: os.urandom(32)}, 2))
    assert "rotate it" in (await lost.webhooks.test(made.id)).text
    assert receiver.received == []
    await lost.webhooks.rotate(made.id)
    assert (await lost.webhooks.test(made.id)).ok


@pytest.mark.parametrize("endpoint_id", [NOWHERE, "x", ""])
async def test_an_endpoint_that_does_not_exist_is_refused(service, endpoint_id: str) -> None:
    webhooks = service.webhooks
    for method in ("get", "remove", "disable", "enable", "rotate", "replay", "test"):
        with pytest.raises(errors.WebhookNotFound):
            await getattr(webhooks, method)(endpoint_id)


async def test_what_cannot_be_meant_is_refused(service, receiver) -> None:
    with pytest.raises(errors.Invalid, match="user_craeted"):
        await service.webhooks.add(receiver.url, ["user_craeted"])
    made = await service.webhooks.add(receiver.url)
    with pytest.raises(errors.Invalid, match="time zone"):
        await service.webhooks.replay(made.id, since=datetime(2026, 1, 1))  # noqa: DTZ001 - the point


async def test_records_of_deliveries_go_after_a_month_and_their_events_stay(
    service, receiver, record
) -> None:
    await service.webhooks.add(receiver.url)
    for number in range(3):
        await record(service, number)
    await until(lambda: receiver.numbers == [0, 1, 2])
    await until_ended(service, 3)
    assert await service.webhooks.purge() == 0
    await service.pool.execute(
        "update profiles.webhook_deliveries set ended_at = ended_at - interval '31 days'"
    )
    assert await service.webhooks.purge() == 3
    assert len(await service.events.list_session_events("ada")) == 3


async def test_an_old_event_is_kept_for_an_endpoint_that_will_take_it_and_not_for_a_disabled_one(
    make_service, receiver, record
) -> None:
    service = await make_service(event_retention=0.001)
    receiver.answers = [500]
    receiver.extra = "retry-after: 3600\r\n"
    made = await service.webhooks.add(receiver.url)
    await record(service, 1)
    await until(lambda: len(receiver.received) == 1)
    await service.events.purge()
    assert len(await service.events.list_session_events("ada")) == 1
    await service.webhooks.disable(made.id)
    await service.events.purge()
    assert await service.events.list_session_events("ada") == []
    assert (await service.webhooks.get(made.id)).waiting == 0


async def until_ended(service, count: int) -> None:
    query = "select count(*) from profiles.webhook_deliveries where ended_at is not null"
    while await service.pool.fetchval(query) < count:
        pass


async def test_a_new_webhook_shows_its_secret_only_to_who_reads_it(service, receiver) -> None:
    made = await service.webhooks.add(receiver.url)
    assert made.secret.startswith("whsec_")
    assert made.secret not in str(dataclasses.replace(made))
