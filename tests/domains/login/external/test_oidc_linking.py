"""Linking a login to an account, and proving oneself again with one."""

from __future__ import annotations

import dataclasses

import pytest

from authkit_issuer import Client, errors
from authkit_issuer.config import ProviderConfig
from fakes.factors import events, with_email_factor
from fakes.users import finish_background


async def signed_in(service, name="bob_b"):
    """Return the user and the session of a login."""
    user = await service.users.add(email=f"{name}@example.test", username=name, verified=True)
    opened = await service.sessions.issue(user.id, method="password_login", auth_epoch=0, amr=("pwd",))
    return user.id, opened.session_id


async def link(browser, user_id, session_id):
    return await browser.land(flow="link", user_id=user_id, session_id=session_id)


async def test_a_link_keeps_the_session_and_tells_the_owner(service, browser, mailbox):
    user_id, session_id = await signed_in(service)
    landing = await link(browser, user_id, session_id)
    opened = await browser.trade(landing)
    assert (opened.flow, opened.pair, opened.access) == ("link", None, None)
    assert [session.id for session in await service.sessions.list_for_user(user_id)] == [session_id]
    assert [login.subject for login in await service.providers.list_for_user(user_id)] == ["person-1"]
    await finish_background(service)
    assert [message.kind for message in mailbox.to("bob_b@example.test")] == ["provider_linked"]
    # Once more changes nothing, and there is nothing to tell.
    await browser.trade(await link(browser, user_id, session_id))
    await finish_background(service)
    assert len(mailbox.to("bob_b@example.test")) == 1
    assert len(await events(service, "provider_linked")) == 1
    assert (await browser.login()).pair.user_id == user_id


async def test_the_trail_says_from_where_a_login_was_linked_or_came_first(service, browser):
    user_id, session_id = await signed_in(service)
    client = Client(ip="192.0.2.7", user_agent="Firefox")
    begun = await browser.begin(flow="link", user_id=user_id, session_id=session_id)
    await browser.back(begun, client=client)
    browser.idp.person |= {"sub": "person-2", "email": "two@example.test"}
    await browser.back(await browser.begin(), client=client)
    trail = await service.events.list_session_events("", "provider_linked")
    assert [(event.ip_addr, event.user_agent) for event in trail] == [("192.0.2.7", "Firefox")] * 2


async def test_only_a_login_is_for_an_organization_and_the_result_stays_good(service, browser):
    user_id, session_id = await signed_in(service)
    landing = await link(browser, user_id, session_id)
    cookies = tuple(browser.cookies.items())
    with pytest.raises(errors.Invalid) as refused:
        await service.oidc_login.trade(landing.code, cookies, org="acme")
    assert refused.value.param == "org"
    assert (await browser.trade(landing)).flow == "link"


async def test_a_login_of_another_user_is_not_taken_over(service, browser):
    owner = (await browser.login()).pair.user_id
    user_id, session_id = await signed_in(service)
    landing = await link(browser, user_id, session_id)
    assert isinstance(landing.refusal, errors.ProviderAlreadyLinked)
    assert await service.providers.count(user_id) == 0
    assert (await browser.login()).pair.user_id == owner


async def test_another_login_of_the_same_provider_takes_the_place_of_the_first(service, browser):
    user_id, session_id = await signed_in(service)
    await link(browser, user_id, session_id)
    waiting = await browser.land()
    browser.idp.person |= {"sub": "person-2", "email": "two@example.test"}
    assert (await link(browser, user_id, session_id)).refusal is None
    assert [login.subject for login in await service.providers.list_for_user(user_id)] == ["person-2"]
    with pytest.raises(errors.InvalidCredentials):
        await browser.trade(waiting)


@pytest.mark.parametrize("change", ["revoked", "banned", "changed", "gone"])
async def test_a_link_under_way_ends_with_the_session_that_asked(service, browser, change):
    user_id, session_id = await signed_in(service)
    begun = await browser.begin(flow="link", user_id=user_id, session_id=session_id)
    expected: type[errors.AuthError] = errors.SessionEnded
    if change == "revoked":
        await service.sessions.revoke_all(user_id)
    elif change == "banned":
        await service.lifecycle.ban(user_id)
    elif change == "changed":
        await service.pool.execute("update profiles.users set auth_epoch = auth_epoch + 1")
    else:
        await service.lifecycle.hard_delete(user_id)
    landing = await browser.back(begun)
    assert isinstance(landing.refusal, expected)
    assert landing.flow == "link"
    assert await service.pool.fetchval("select count(*) from profiles.user_providers") == 0


@pytest.mark.parametrize("flow", ["link", "step_up"])
async def test_only_the_user_of_a_live_session_begins(service, browser, flow):
    user_id, session_id = await signed_in(service)
    other, _ = await signed_in(service, "eve_e")
    for who in (("", ""), (other, session_id), (user_id, user_id), ("no id", session_id)):
        with pytest.raises(errors.SessionEnded):
            await browser.begin(flow=flow, user_id=who[0], session_id=who[1])
    await service.pool.execute("update profiles.users set banned_at = now() where username = 'bob_b'")
    with pytest.raises(errors.UserDisabled):
        await browser.begin(flow=flow, user_id=user_id, session_id=session_id)


async def test_a_linked_login_steps_its_session_up(service, browser, age):
    user_id, session_id = await signed_in(service)
    await link(browser, user_id, session_id)
    await age("refresh_sessions", session_id, auth_time=5000)
    who = {"user_id": user_id, "session_id": session_id}
    begun = await browser.begin(flow="step_up", **who)
    assert "prompt=login" in begun.auth_url
    assert "max_age=0" in begun.auth_url
    landing = await browser.back(begun)
    before = await service.sessions.authenticate(user_id, session_id)
    assert before.auth_age > 4000
    opened = await browser.trade(landing)
    assert opened.pair is None
    claims = await service.tokens.verify(opened.access.token)
    assert (claims.session_id, claims.raw["amr"]) == (session_id, ("fed",))
    assert (await service.sessions.authenticate(user_id, session_id)).auth_age < 60
    assert len(await service.sessions.list_for_user(user_id)) == 1


async def test_the_ways_to_step_up_name_the_linked_logins_of_this_service(service, browser):
    user_id, session_id = await signed_in(service)
    assert await service.logins.step_up_methods(user_id) == ["code"]
    await link(browser, user_id, session_id)
    await service.providers.link_by_issuer(user_id, "https://old.example", "no longer configured", "1")
    assert await service.logins.step_up_methods(user_id) == ["code", "oidc:loop"]


async def test_another_login_of_the_provider_does_not_reauthenticate(service, browser):
    user_id, session_id = await signed_in(service)
    who = {"user_id": user_id, "session_id": session_id}
    with pytest.raises(errors.ProviderNotLinked):
        await browser.begin(flow="step_up", **who)
    await link(browser, user_id, session_id)
    browser.idp.person["sub"] = "person-2"
    landing = await browser.land(flow="step_up", return_to="/delete", **who)
    assert isinstance(landing.refusal, errors.ProviderNotLinked)
    assert (landing.flow, landing.return_to) == ("step_up", "/delete")
    assert [user.username for user in await service.users.newest()] == ["bob_b"]


async def test_an_old_authentication_at_the_provider_does_not_reauthenticate(service, browser, clock):
    user_id, session_id = await signed_in(service)
    who = {"user_id": user_id, "session_id": session_id}
    await link(browser, user_id, session_id)
    browser.idp.claims["auth_time"] = int(clock()) - 3600
    assert isinstance((await browser.land(flow="step_up", **who)).refusal, errors.ProviderRefused)
    browser.idp.claims["auth_time"] = int(clock()) + 1
    assert (await browser.trade(await browser.land(flow="step_up", **who))).access
    browser.idp.claims["auth_time"] = int(clock()) - 3600
    assert (await browser.login()).pair


@pytest.mark.parametrize("moment", [None, "yesterday", True, [1], 4_000_000_000])
async def test_an_id_token_without_a_valid_auth_time_confirms_no_step_up(service, browser, moment):
    user_id, session_id = await signed_in(service)
    await link(browser, user_id, session_id)
    browser.idp.claims["auth_time"] = moment
    landing = await browser.land(flow="step_up", user_id=user_id, session_id=session_id)
    assert isinstance(landing.refusal, errors.ProviderRefused)
    assert landing.refusal.metadata == {"check": "auth_time"}
    # A sign-in does not ask for the age of the authentication.
    assert (await browser.login()).pair.user_id == user_id


async def test_step_up_can_be_switched_off_for_a_provider_without_auth_time(make_service, providers, browser):
    silent = {"loop": dataclasses.replace(providers["loop"], reports_auth_time=False)}
    service = browser.service = await make_service(providers=silent, base_url="https://id.example.test")
    user_id, session_id = await signed_in(service)
    assert (await browser.trade(await link(browser, user_id, session_id))).flow == "link"
    assert await service.logins.step_up_methods(user_id) == ["code"]
    with pytest.raises(errors.NotConfigured):
        await browser.begin(flow="step_up", user_id=user_id, session_id=session_id)
    assert (await browser.login()).pair.user_id == user_id


async def test_google_reports_no_auth_time_and_offers_no_step_up_by_default(make_service):
    google = ProviderConfig(client_id="g", client_secret="s")
    for reports, methods in ((None, ["code"]), (True, ["code", "oidc:google"])):
        configured = {"google": dataclasses.replace(google, reports_auth_time=reports)}
        service = await make_service(providers=configured, base_url="https://id.example.test")
        user_id, _ = await signed_in(service, f"bob_{reports}")
        await service.providers.link_by_issuer(user_id, "https://accounts.google.com", "google", user_id)
        assert await service.logins.step_up_methods(user_id) == methods


async def test_a_user_with_a_second_factor_must_use_it_to_step_up(service, browser, mailbox):
    user_id, _ = await with_email_factor(service, mailbox)
    epoch = await service.pool.fetchval("select auth_epoch from profiles.users")
    opened = await service.sessions.issue(user_id, method="password_login", auth_epoch=epoch, amr=("pwd",))
    await service.providers.link_by_issuer(user_id, browser.idp.issuer, "loop", "person-1")
    with pytest.raises(errors.TwoFactorRequired):
        await browser.begin(flow="step_up", user_id=user_id, session_id=opened.session_id)


async def test_a_step_up_whose_session_ended_meanwhile_opens_nothing(service, browser):
    user_id, session_id = await signed_in(service)
    await link(browser, user_id, session_id)
    landing = await browser.land(flow="step_up", user_id=user_id, session_id=session_id)
    await service.sessions.revoke_all(user_id)
    with pytest.raises(errors.SessionEnded):
        await browser.trade(landing)
