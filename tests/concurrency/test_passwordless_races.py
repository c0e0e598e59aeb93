"""Parallel confirmations of one message: one session, one account."""

from __future__ import annotations

import dataclasses

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.login.passwordless.service import PasswordlessLogin
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.gather import gather
from fakes.mail import Mailbox
from fakes.users import EMAIL, finish_background

LOST = (errors.InvalidOrExpiredCode, errors.InvalidOrExpiredToken)


@pytest.fixture
def config(config):
    return dataclasses.replace(
        config, passwordless="both", passwordless_registration=True, session_max_per_user=None
    )


@pytest.fixture(params=["memory", "redis"])
async def service(request: pytest.FixtureRequest, make_service) -> Service:
    redis_url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return await make_service(redis_url=redis_url, max_code_attempts=1000)


async def begin(service: Service, ip: str = "192.0.2.1") -> str:
    flow = await service.passwordless.start(EMAIL, client=Client(ip=ip))
    await finish_background(service)
    return flow.flow_id


@pytest.mark.parametrize("who", ["known", "new"])
async def test_of_fifty_confirmations_of_a_code_or_its_link_one_opens_a_session(
    service: Service, mailbox: Mailbox, who: str
) -> None:
    if who == "known":
        await service.users.add(email=EMAIL, username="ada_l", verified=True)
    flows = [await begin(service), await begin(service)]  # the second one shares the code of the first
    mail = mailbox.last(EMAIL)
    outcomes = await gather(
        *(
            lambda number=number: (
                service.passwordless.confirm_link(mail.token, flow_ids=flows)
                if number % 3 == 0
                else service.passwordless.confirm_code(flows[number % 2], mail.code)
            )
            for number in range(50)
        )
    )
    (pair,) = [outcome for outcome in outcomes if isinstance(outcome, PasswordlessLogin)]
    assert all(isinstance(outcome, (PasswordlessLogin, *LOST)) for outcome in outcomes), outcomes
    assert [one.id for one in await service.sessions.list_for_user(pair.user_id)] == [pair.session_id]
    assert pair.created is (who == "new")


async def test_two_flows_of_a_new_address_make_one_account(service: Service, mailbox: Mailbox) -> None:
    flows = []
    for ip in ("192.0.2.1", "198.51.100.7", "203.0.113.5"):
        flow = await begin(service, ip)
        flows.append((flow, mailbox.last(EMAIL).code))
    outcomes = await gather(
        *(lambda flow=flow, code=code: service.passwordless.confirm_code(flow, code) for flow, code in flows)
    )
    assert len({outcome.user_id for outcome in outcomes}) == 1
    assert sorted(outcome.created for outcome in outcomes) == [False, False, True]


async def test_a_first_proof_and_a_change_of_the_password_leave_one_owner(
    make_service, mailbox: Mailbox, rounds
) -> None:
    service = await make_service(verification_required=False, session_max_per_user=None)
    password = "correct horse battery"
    for number in range(rounds(30)):
        email = f"ada{number}@example.test"
        user_id = (await service.users.add(email=email, username=f"ada_{number}")).id
        await service.passwords.store_hash(user_id, await service.passwords.hash(password))
        # The change comes in a session, as over HTTP: without one, it is a host that sets the first password.
        theirs = (await service.sessions.issue(user_id)).session_id
        flow = (await service.passwordless.start(email)).flow_id
        await finish_background(service)
        code = mailbox.last(email).code
        owner, other, _ = await gather(
            lambda flow=flow, code=code: service.passwordless.confirm_code(flow, code),
            lambda user_id=user_id, theirs=theirs: service.passwords.change(
                user_id, password, "another staple, longer", theirs
            ),
            lambda email=email: service.logins.with_password(email, password),
        )
        if isinstance(owner, PasswordlessLogin):
            live = {session.id for session in await service.sessions.list_for_user(user_id)}
            assert live == {owner.session_id}
            for known in (password, "another staple, longer"):
                with pytest.raises(errors.InvalidCredentials):
                    await service.logins.with_password(email, known)
        else:
            assert isinstance(owner, errors.InvalidOrExpiredCode | errors.InvalidCredentials), owner
            assert other is None
