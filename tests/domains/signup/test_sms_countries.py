"""Where SMS may go: the countries that are configured, and no number that earns by being written to."""

from __future__ import annotations

import ast
from collections.abc import Awaitable, Callable

import pytest

from authkit_issuer import errors, identifiers
from authkit_issuer.config import Config
from authkit_issuer.service import Service
from fakes.repository import ROOT
from fakes.users import finish_background

GERMAN, BRITISH, PREMIUM, SATELLITE = "+4915112345678", "+447400123456", "+19005551234", "+881612345678"
SENDING: dict[str, Callable[[Service, str, str], Awaitable[object]]] = {
    "register": lambda service, _, phone: service.registration.register(
        phone, "new_u", "a good long password"
    ),
    "verify": lambda service, _, phone: service.verification.request_phone(phone),
    "change": lambda service, user_id, phone: service.contact_changes.request_phone(user_id, phone),
    "factor": lambda service, user_id, phone: service.two_factor.send_phone_setup_code(user_id, phone),
    "reset": lambda service, _, phone: service.passwords.request_phone_reset(phone),
}


async def texts(service: Service, mailbox) -> list[str]:
    await finish_background(service)
    return [message.to for message in mailbox.messages if message.channel == "sms"]


@pytest.mark.parametrize("send", SENDING.values(), ids=SENDING.keys())
@pytest.mark.parametrize(
    ("countries", "refused"), [((), (PREMIUM, SATELLITE)), (("49",), (BRITISH, PREMIUM, SATELLITE))]
)
async def test_no_operation_sends_to_a_number_that_takes_none(
    make_service, mailbox, send, countries, refused
):
    service = await make_service(sms_countries=countries)
    user = await service.users.add(email="ada@example.test", username="ada_l", verified=True)
    for phone in refused:
        with pytest.raises(errors.InvalidPhoneNumber) as refusal:
            await send(service, user.id, phone)
        assert refusal.value.param == "phone_number"
    assert await texts(service, mailbox) == []


@pytest.mark.parametrize("name", ["register", "change", "factor"])
async def test_a_number_of_a_listed_country_gets_its_code(make_service, mailbox, name):
    service = await make_service(sms_countries=("+49", "881"))
    user = await service.users.add(email="ada@example.test", username="ada_l", verified=True)
    await SENDING[name](service, user.id, GERMAN)
    assert await texts(service, mailbox) == [GERMAN]


async def test_a_refused_number_is_refused_alike_with_and_without_an_account(make_service):
    service = await make_service(sms_countries=("49",))
    user = await service.users.add(email="ada@example.test", username="ada_l", verified=True)
    await service.pool.execute(
        "update profiles.users set phone_number = $1, phone_verified = true where id = $2::uuid",
        BRITISH,
        user.id,
    )
    said = []
    for phone in (BRITISH, "+447400123457"):
        with pytest.raises(errors.InvalidPhoneNumber) as refusal:
            await service.passwords.request_phone_reset(phone)
        said.append(str(refusal.value))
    assert said[0] == said[1]


async def test_a_number_stored_before_the_list_gets_no_second_factor_code(make_service, mailbox):
    before = await make_service()
    user = await before.users.add(email="ada@example.test", username="ada_l", verified=True)
    await before.two_factor.send_phone_setup_code(user.id, BRITISH)
    code = mailbox.last(BRITISH).code
    await before.two_factor.enable(user.id, "sms", phone_number=BRITISH, code=code)
    after = await make_service(sms_countries=("49",))
    with pytest.raises(errors.SmsDeliveryFailed):
        await after.two_factor.require_for_login(user.id)
    assert await texts(after, mailbox) == [BRITISH]


@pytest.mark.parametrize("code", ["", "049", "DE", "999", "4 9", "-49", "\u0664\u0669"])
def test_a_code_of_no_country_is_refused(code):
    with pytest.raises(errors.ConfigError, match="sms_countries"):
        Config(issuer="https://i.example", issued_audiences=("a",), environment="test", sms_countries=(code,))


def test_shared_cost_and_international_premium_numbers_take_no_sms_even_when_listed():
    for number in ("+491801234567", "+979123456789", PREMIUM):
        assert not identifiers.takes_sms(number)
        assert not identifiers.takes_sms(number, ("49", "979", "1"))
    assert identifiers.takes_sms(SATELLITE, ("881",))
    assert not identifiers.takes_sms(SATELLITE)
    assert identifiers.takes_sms(GERMAN)


def test_every_function_that_hands_over_an_sms_asks_first():
    found = []
    for path in (ROOT / "authkit_issuer/domains").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.unparse(node)
                if "sms.send_" in text or "sms_reset_link.send_" in text:
                    found.append(node.name)
                    assert ".admit(" in text, f"{path}: {node.name}"
    assert len(found) == 4
