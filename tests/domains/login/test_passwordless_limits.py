"""Sign-ins by a message: how many are sent, whose flow ends, and how many codes may be guessed."""

from __future__ import annotations

import dataclasses

import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from fakes.factors import events
from fakes.users import EMAIL, finish_background, verified_user

HOME, ELSEWHERE = Client(ip="192.0.2.1", user_agent="Firefox"), Client(ip="198.51.100.7")


@pytest.fixture
def config(config):
    return dataclasses.replace(config, passwordless="both", code_cooldown=0.0, new_device_notices=False)


async def begin(service, client=HOME) -> str:
    flow = await service.passwordless.start(EMAIL, client=client)
    await finish_background(service)
    return flow.flow_id


async def enter(service, mailbox):
    flow = await begin(service)
    return await service.passwordless.confirm_code(flow, mailbox.last(EMAIL).code, client=HOME)


async def test_wrong_codes_are_counted_over_all_flows_and_then_a_long_code_comes(service, mailbox):
    await verified_user(service, mailbox)
    flows = [await begin(service, client=Client(ip=f"192.0.2.{n}")) for n in range(11)]
    for flow in flows[:10]:
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.passwordless.confirm_code(flow, "000000x")
    short = mailbox.last(EMAIL).code
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.passwordless.confirm_code(flows[-1], short)
    (event,) = await events(service, "codes_guessed")
    assert event["method"] == "passwordless"
    flow = await begin(service, client=ELSEWHERE)
    long = mailbox.last(EMAIL).code
    assert (len(short), len(long)) == (6, 15)
    assert await service.passwordless.confirm_code(flow, long.lower().replace("-", " "), client=ELSEWHERE)
    flow = await begin(service)
    assert len(mailbox.last(EMAIL).code) == 6


async def test_another_client_ends_no_flow_and_uses_no_message_up(service, mailbox):
    await verified_user(service, mailbox)
    flow = await begin(service)
    mail = mailbox.last(EMAIL)
    for number in range(30):
        await begin(service, client=Client(ip=f"198.51.{number}.1"))
    assert len(mailbox.to(EMAIL)) <= 1 + service.rt.config.max_codes_per_target_hour + 1
    assert await service.passwordless.confirm_link(mail.token, flow_ids=[flow], client=HOME)


async def test_a_neighbour_on_the_same_network_keeps_no_owner_out(service, mailbox):
    await verified_user(service, mailbox)
    for _ in range(10):
        await begin(service)  # as many as the limits of the network allow, and more
    sent = len(mailbox.to(EMAIL))
    flow = await begin(service)
    assert len(mailbox.to(EMAIL)) == sent
    assert await service.passwordless.confirm_code(flow, mailbox.last(EMAIL).code, client=HOME)


async def test_a_known_device_gets_its_code_whatever_other_clients_ask(service, mailbox):
    await verified_user(service, mailbox)
    pair = await enter(service, mailbox)
    device = Client(ip="203.0.113.9", device=pair.device)
    for number in range(30):
        await begin(service, client=Client(ip=f"198.51.{number}.1"))
    before = len(mailbox.to(EMAIL))
    flow = await begin(service, client=device)
    assert len(mailbox.to(EMAIL)) == before + 1
    assert await service.passwordless.confirm_code(flow, mailbox.last(EMAIL).code, client=device)


async def test_a_second_start_within_the_cooldown_takes_the_code_that_was_sent(make_service, mailbox):
    service = await make_service(code_cooldown=60.0)
    await verified_user(service, mailbox)
    first = await begin(service)
    second = await begin(service)
    mails = [message for message in mailbox.to(EMAIL) if message.kind == "sign_in_link"]
    assert len(mails) == 1
    with pytest.raises(errors.SignInBeganElsewhere):
        await service.passwordless.confirm_link(mails[0].token, flow_ids=[second])
    assert await service.passwordless.confirm_code(second, mails[0].code, client=HOME)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.passwordless.confirm_code(first, mails[0].code)
    with pytest.raises(errors.InvalidOrExpiredToken):
        await service.passwordless.confirm_link(mails[0].token, flow_ids=[first])
    # A right code ends the wait: the owner may need another session at once.
    assert await enter(service, mailbox)


async def test_a_link_uses_up_the_code_that_other_flows_share(make_service, mailbox):
    service = await make_service(code_cooldown=60.0)
    await verified_user(service, mailbox)
    first = await begin(service)
    second = await begin(service)
    mail = mailbox.last(EMAIL)
    assert await service.passwordless.confirm_link(mail.token, flow_ids=[first])
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.passwordless.confirm_code(second, mail.code)
