"""Limits on SMS against pumping: by number, by prefix, in all; and the event of codes that are never used."""

from __future__ import annotations

import logging

import pytest

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.domains.base import sms_limits
from authkit_issuer.errors import ConfigError
from authkit_issuer.service import Service
from fakes.factors import events
from fakes.mail import Mailbox
from fakes.users import EMAIL, PHONE, finish_background, register, verified_user

NEIGHBOURS = [f"+4915112345{number:03}" for number in range(100)]
ELSEWHERE = "+4366412345678"


def texts(mailbox: Mailbox) -> int:
    return len([message for message in mailbox.messages if message.channel == "sms"])


async def signed_up(service: Service, mailbox: Mailbox) -> str:
    return await verified_user(service, mailbox)


@pytest.mark.parametrize(
    ("limit", "allowed", "beyond"),
    [
        ("sms_max_per_number_hour", [PHONE, PHONE], PHONE),
        ("sms_max_per_prefix_hour", NEIGHBOURS[:2], NEIGHBOURS[2]),
        ("sms_max_per_hour", [NEIGHBOURS[0], ELSEWHERE], "+33612345678"),
    ],
)
async def test_beyond_a_limit_no_sms_leaves_and_the_caller_hears_so(
    make_service, mailbox: Mailbox, clock, caplog, limit: str, allowed: list[str], beyond: str
) -> None:
    service: Service = await make_service(code_cooldown=0.0, **{limit: 2})
    user_id = await signed_up(service, mailbox)
    for number in allowed:
        await service.contact_changes.request_phone(user_id, number)
    sent = texts(mailbox)
    with caplog.at_level(logging.WARNING), pytest.raises(errors.SmsDeliveryFailed):
        await service.contact_changes.request_phone(user_id, beyond)
    assert texts(mailbox) == sent == 2
    assert f"the limit {limit} (2) is reached" in caplog.text
    assert beyond not in caplog.text
    clock.advance(3600)
    await service.contact_changes.request_phone(user_id, beyond)
    assert mailbox.last(beyond).code


async def test_the_prefix_limit_leaves_other_numbers_alone(make_service, mailbox: Mailbox) -> None:
    service: Service = await make_service(code_cooldown=0.0, sms_max_per_prefix_hour=2)
    user_id = await signed_up(service, mailbox)
    for number in [*NEIGHBOURS[:2], ELSEWHERE]:
        await service.contact_changes.request_phone(user_id, number)
    assert mailbox.last(ELSEWHERE).code


async def test_beyond_a_limit_a_registration_answers_as_ever(make_service, mailbox: Mailbox) -> None:
    service: Service = await make_service(sms_max_per_prefix_hour=1)
    await register(service, NEIGHBOURS[0], "ada_0")
    assert await register(service, NEIGHBOURS[1], "ada_1")
    assert [message.to for message in mailbox.messages] == [NEIGHBOURS[0]]


async def test_a_storage_failure_lets_no_sms_through(
    make_service, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    service: Service = await make_service()
    admit = type(service.rt.ephemeral).admit

    async def fail(self, key: str, calls: int, window: float):
        if key.startswith("sms_"):
            raise errors.EphemeralStoreUnavailable
        return await admit(self, key, calls, window)

    monkeypatch.setattr(type(service.rt.ephemeral), "admit", fail)
    await register(service, PHONE)
    assert mailbox.messages == []


@pytest.mark.parametrize(("used", "recorded"), [(0, 1), (1, 1), (3, 0)])
async def test_codes_that_are_hardly_used_leave_one_event_an_hour(
    make_service, mailbox: Mailbox, clock, monkeypatch: pytest.MonkeyPatch, used: int, recorded: int
) -> None:
    monkeypatch.setattr(sms_limits, "MIN_SENT", 6)
    service: Service = await make_service()
    for number in range(8):
        to = NEIGHBOURS[number]
        if number < used:
            await verified_user(service, mailbox, to, f"user_{number}")
        else:
            await register(service, to, f"user_{number}", ip=f"192.0.2.{number}")
    found = await events(service, "sms_unused")
    assert len(found) == recorded
    if found:
        assert found[0]["data"] == f'{{"sent": 6, "used": {used}}}'
    # What the hour before sent may still be used in this one, and counts two hours on no more.
    clock.advance(3 * 3600)
    await register(service, ELSEWHERE, "user_later", ip="198.51.100.1")
    assert len(await events(service, "sms_unused")) == recorded


class Reporting:
    """The SMS side of a mailbox that hears of used codes, and fails at it."""

    def __init__(self, box: Mailbox) -> None:
        self._texts, self.used = box.texts, list[str]()

    async def report_code_used(self, phone: str) -> None:
        self.used.append(phone)
        raise RuntimeError(phone)

    def __getattr__(self, name: str):
        return getattr(self._texts, name)


async def test_a_sender_hears_of_every_code_that_was_used(make_service, mailbox: Mailbox, caplog) -> None:
    sender = Reporting(mailbox)
    service: Service = await make_service(sms_sender=sender, code_cooldown=0.0)
    user_id = await verified_user(service, mailbox, PHONE)
    await finish_background(service)
    assert sender.used == [PHONE]
    await service.contact_changes.request_phone(user_id, ELSEWHERE)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.contact_changes.confirm_phone(user_id, ELSEWHERE, "000000")
    await service.contact_changes.confirm_phone(user_id, ELSEWHERE, mailbox.last(ELSEWHERE).code)
    await finish_background(service)
    assert sender.used == [PHONE, ELSEWHERE]
    await verified_user(service, mailbox, EMAIL, "ada_mail")
    await finish_background(service)
    assert len(sender.used) == 2
    assert PHONE not in caplog.text


def test_production_names_the_countries_of_its_sms() -> None:
    given = {"issuer": "https://i.example", "issued_audiences": ("a",), "environment": "production"}
    url = "webhook+https://app.example.com/sms"
    with pytest.raises(ConfigError, match="sms_countries"):
        Config(**given, sms_url=url)  # type: ignore[arg-type]
    for countries in (("49",), ("*",)):
        assert Config(**given, sms_url=url, sms_countries=countries).sms_url  # type: ignore[arg-type]
    assert Config(**given | {"environment": "test"}, sms_url=url).sms_url  # type: ignore[arg-type]


async def test_a_sender_of_the_host_needs_the_countries_in_production(make_service, redis_url: str) -> None:
    with pytest.raises(ConfigError, match="sms_countries"):
        await make_service(environment="production", redis_url=redis_url)
    await make_service(environment="production", redis_url=redis_url, sms_countries=("*",))
