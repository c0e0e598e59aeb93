"""Many at once: one state, one result and one first login each have one winner."""

from __future__ import annotations

import asyncio

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.login.external.service import CallbackParameters
from fakes.gather import gather


@pytest.fixture(params=["memory", "redis"])
async def service(request, make_service, providers):
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    return await make_service(providers=providers, base_url="https://id.example.test", redis_url=url)


async def test_one_state_used_fifty_times_at_once_lands_once(service, browser, rounds):
    for _ in range(rounds(50)):
        begun = await browser.begin()
        given = browser.idp.approve(begun.auth_url)
        landings = await gather(*[lambda begun=begun, given=given: browser.back(begun, **given)] * 50)
        won = [landing for landing in landings if landing.refusal is None]
        assert len(won) == 1
        assert all(
            isinstance(landing.refusal, errors.InvalidState) for landing in landings if landing not in won
        )


async def test_one_result_traded_fifty_times_at_once_opens_one_session(service, browser, rounds):
    user_id = (await browser.login()).pair.user_id
    await service.sessions.revoke_all(user_id)
    for _ in range(rounds(50)):
        landing = await browser.land()
        outcomes = await gather(*[lambda landing=landing: browser.trade(landing)] * 50)
        lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert len(lost) == 49
        assert all(isinstance(outcome, errors.InvalidOrExpiredCode) for outcome in lost)
        assert len(await service.sessions.list_for_user(user_id)) == 1
        await service.sessions.revoke_all(user_id)


@pytest.mark.parametrize("address", [True, False], ids=["with address", "without"])
async def test_parallel_first_logins_of_one_person_make_one_user(service, browser, rounds, address):
    for number in range(rounds(50)):
        browser.idp.person = {"sub": f"person-{number}", "preferred_username": "wanted"}
        if address:
            browser.idp.person |= {"email": f"p{number}@example.test", "email_verified": True}
        begun = [await browser.begin() for _ in range(6)]
        landings = await asyncio.gather(*(browser.back(one, directly=True) for one in begun))
        assert [landing.refusal for landing in landings] == [None] * 6
        opened = [landing.opened for landing in landings]
        assert len({one.pair.user_id for one in opened}) == 1
        assert sum(one.created for one in opened) == 1
        assert len(await service.users.newest(1000)) == number + 1


async def test_parallel_first_logins_of_many_who_want_one_name_all_get_in(service, browser, rounds):
    for number in range(rounds(20)):
        begun = []
        for one in range(6):
            browser.idp.person = {"sub": f"{number}-{one}", "preferred_username": "wanted"}
            begun.append(browser.idp.approve((await browser.begin()).auth_url))
            browser.idp.codes[begun[-1]["code"]]["sub"] = f"{number}-{one}"
        landings = await asyncio.gather(*(come_back(browser, given) for given in begun))
        assert [landing.refusal for landing in landings] == [None] * 6
        assert len({landing.opened.pair.user_id for landing in landings}) == 6


async def come_back(browser, given):
    returned = CallbackParameters(**given, cookies=tuple(browser.cookies.items()))
    return await browser.service.oidc_login.finish("loop", returned, directly=True)


async def test_two_accounts_after_one_login_and_a_first_login_beside_them_agree_on_one_owner(
    service, browser, rounds
):
    for number in range(rounds(50)):
        browser.idp.person = {"sub": f"contested-{number}"}
        begun = []
        for name in ("ada", "eve"):
            user = await service.users.add(username=f"{name}_{number}")
            opened = await service.sessions.issue(user.id, method="test", auth_epoch=0, amr=("pwd",))
            begun.append(await browser.begin(flow="link", user_id=user.id, session_id=opened.session_id))
        begun.append(await browser.begin())
        landings = await asyncio.gather(*(browser.back(one) for one in begun))
        linked = [landing for landing in landings[:2] if landing.refusal is None]
        assert landings[2].refusal is None
        assert len(linked) <= 1
        assert all(
            isinstance(landing.refusal, errors.ProviderAlreadyLinked)
            for landing in landings[:2]
            if landing not in linked
        )
        owner = await service.providers.get_link_by_issuer(browser.idp.issuer, f"contested-{number}")
        assert owner is not None
        assert (await browser.trade(landings[2])).pair.user_id == owner.user_id
