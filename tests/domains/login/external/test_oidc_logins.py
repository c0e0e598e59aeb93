"""Logins with an external provider: whose account they open, and what ties them to one browser."""

from __future__ import annotations

import dataclasses

import pytest

from authkit_issuer import errors
from fakes.factors import events, with_email_factor
from fakes.users import finish_background


async def test_a_first_login_makes_an_account_with_what_the_provider_vouches_for(service, browser, mailbox):
    opened = await browser.login(return_to="/welcome?x=1")
    assert opened.created
    assert opened.return_to == "/welcome?x=1"
    user = await service.users.get(opened.pair.user_id)
    assert (user.email, user.email_verified, user.username) == ("ada@example.test", True, "ada_l")
    (link,) = await service.providers.list_for_user(user.id)
    assert (link.issuer, link.subject, link.provider_slug) == (browser.idp.issuer, "person-1", "loop")
    assert (link.email, link.username) == ("ada@example.test", "ada_l")
    claims = await service.tokens.verify(opened.pair.access_token)
    assert (claims.raw["provider"], claims.raw["amr"]) == ("loop", ("fed",))
    await finish_background(service)
    assert mailbox.last("ada@example.test").kind == "welcome"


async def test_the_next_login_opens_the_same_account_whatever_the_profile_says_by_then(service, browser):
    first = await browser.login()
    browser.idp.person |= {"email": "eve@example.test", "preferred_username": "ada\u202e\nthe second"}
    second = await browser.login()
    assert second.pair.user_id == first.pair.user_id
    assert not second.created
    user = await service.users.get(first.pair.user_id)
    assert (user.email, user.username) == ("ada@example.test", "ada_l")
    assert await service.providers.get_username(user.id, "loop") == "adathe second"
    assert await service.providers.count(user.id) == 1


@pytest.mark.parametrize("verified", [False, None, "yes", 1, "True"])
async def test_an_address_that_is_not_verified_counts_as_none_and_is_kept_nowhere(service, browser, verified):
    victim = await service.users.create("ada@example.test", "victim")
    browser.idp.person["email_verified"] = verified
    opened = await browser.login()
    assert opened.pair.user_id != victim.id
    user = await service.users.get(opened.pair.user_id)
    assert (user.email, user.email_verified) == (None, False)
    (link,) = await service.providers.list_for_user(user.id)
    assert link.email is None


@pytest.mark.parametrize("local", [True, False])
async def test_an_address_that_an_account_has_is_never_merged_silently(service, browser, local):
    victim = await service.users.create("ada@example.test", "victim")
    await service.users.set_email_verified(victim.id, local)
    landing = await browser.land()
    assert isinstance(landing.refusal, errors.AccountExistsLinkRequired)
    assert landing.code == ""
    assert await service.providers.count(victim.id) == 0
    assert len(await service.users.newest()) == 1


async def test_a_provider_may_be_trusted_to_link_by_an_address_that_its_owner_has_proved_here(
    make_service, providers, browser, mailbox
):
    trusted = {"loop": dataclasses.replace(providers["loop"], auto_link=True)}
    service = browser.service = await make_service(providers=trusted, base_url="https://id.example.test")
    ada = await service.users.create("ada@example.test", "ada_one")
    assert isinstance((await browser.land()).refusal, errors.AccountExistsLinkRequired)
    request_id = await service.verification.request_email("ada@example.test")
    await finish_background(service)
    code = mailbox.last("ada@example.test").code
    await service.verification.confirm_email("ada@example.test", code, request_id=request_id)
    opened = await browser.login()
    assert (opened.pair.user_id, opened.created) == (ada.id, False)
    await finish_background(service)
    assert "provider_linked" in [message.kind for message in mailbox.to("ada@example.test")]
    # A second person of this provider with the same address does not push the first one out.
    browser.idp.person["sub"] = "person-2"
    assert isinstance((await browser.land()).refusal, errors.AccountExistsLinkRequired)
    browser.idp.person["sub"] = "person-1"
    assert (await browser.login()).pair.user_id == ada.id


async def test_a_banned_user_is_refused_and_recorded(service, browser):
    user_id = (await browser.login()).pair.user_id
    await service.lifecycle.ban(user_id)
    landing = await browser.land()
    assert isinstance(landing.refusal, errors.UserBanned)
    assert [event["reason"] for event in await events(service, "session_failed")] == ["user_banned"]


async def test_a_second_factor_is_asked_when_the_result_is_traded(service, browser, mailbox):
    user_id, _ = await with_email_factor(service, mailbox)
    await service.providers.link_by_issuer(user_id, browser.idp.issuer, "loop", "person-1")
    landing = await browser.land()
    assert landing.code
    before = len(mailbox.to("ada@example.test"))
    with pytest.raises(errors.TwoFactorRequired) as required:
        await browser.trade(landing)
    assert len(mailbox.to("ada@example.test")) == before + 1
    assert await service.sessions.list_for_user(user_id) == []
    code = mailbox.last("ada@example.test").code
    pair = await service.logins.complete_two_factor(user_id, required.value.metadata["challenge"], code)
    claims = await service.tokens.verify(pair.access_token)
    assert claims.raw["provider"] == "loop"
    assert {"fed", "mfa"} <= set(claims.raw["amr"])


async def test_a_result_is_worth_nothing_once_the_login_is_unlinked_or_the_account_changed(service, browser):
    user_id = (await browser.login()).pair.user_id
    landing = await browser.land()
    await service.providers.unlink(user_id, "loop", force=True)
    with pytest.raises(errors.InvalidCredentials):
        await browser.trade(landing)
    await service.providers.link_by_issuer(user_id, browser.idp.issuer, "loop", "person-1")
    landing = await browser.land()
    await service.lifecycle.ban(user_id)
    with pytest.raises(errors.UserBanned):
        await browser.trade(landing)
    await service.lifecycle.unban(user_id)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await browser.trade(landing)


async def test_a_result_waits_a_minute_and_is_for_its_browser_alone(service, browser, clock):
    landing = await browser.land()
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.oidc_login.trade(landing.code, ())
    late = await browser.land()
    clock.advance(61)
    with pytest.raises(errors.InvalidOrExpiredCode):
        await browser.trade(late)
    for code in ("", "x" * 43, "x" * 5000, "\x00"):
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.oidc_login.trade(code, tuple(browser.cookies.items()))


async def test_nothing_that_is_stored_is_a_secret_of_the_browser(service, browser):
    begun = await browser.begin()
    store = service.rt.ephemeral
    stored = {str(key): str(value) for key, value in store._entries.items()}  # what a dump would show
    assert any(key.startswith("oidc:state:") for key in stored)
    landing = await browser.back(begun)
    stored |= {str(key): str(value) for key, value in store._entries.items()}
    text = repr(stored)
    for secret in (begun.state, begun.cookie.value, landing.code):
        assert secret not in text
        assert len(secret) == 43
    for shown in (repr(begun), repr(landing)):
        assert begun.cookie.value not in shown
        assert (landing.code or "x") not in shown


async def test_a_state_is_used_once_in_the_browser_that_began_within_ten_minutes(service, browser, clock):
    begun = await browser.begin()
    given = browser.idp.approve(begun.auth_url)
    assert (await browser.back(begun)).refusal is None
    replayed = await browser.back(begun, **given)
    assert isinstance(replayed.refusal, errors.InvalidState)
    late = await browser.begin()
    clock.advance(601)
    assert isinstance((await browser.back(late)).refusal, errors.InvalidState)


@pytest.mark.parametrize("planted", ["none", "another", "twice", "wrong"])
async def test_a_state_of_another_browser_opens_nothing(service, browser, planted):
    begun = await browser.begin()
    other = await browser.begin()
    name = begun.cookie.name
    cookies = {
        "none": (),
        "another": ((other.cookie.name, other.cookie.value),),
        "twice": ((name, begun.cookie.value), (name, "x" * 43)),
        "wrong": ((name, other.cookie.value),),
    }[planted]
    landing = await browser.back(begun, cookies=cookies)
    assert isinstance(landing.refusal, errors.InvalidState)
    assert landing.cookie_name == ""
    # The state is gone with the try.
    assert isinstance((await browser.back(begun)).refusal, errors.InvalidState)
    assert await service.users.newest() == []


async def test_two_tabs_do_not_disturb_each_other(browser):
    one, two = await browser.begin(), await browser.begin()
    assert one.cookie.name != two.cookie.name
    assert (await browser.back(two)).refusal is None
    assert (await browser.back(one)).refusal is None


async def test_the_owner_of_a_deleted_account_restores_it_by_the_provider(service, browser):
    user_id = (await browser.login()).pair.user_id
    await service.lifecycle.soft_delete(user_id)
    with pytest.raises(errors.UserDeleted) as refused:
        await browser.login()
    assert refused.value.metadata["restorable"] is True
    assert [event["reason"] for event in await events(service, "session_failed")] == ["user_deleted"]
    assert await service.sessions.list_for_user(user_id) == []
    await service.deleted_accounts.restore_by_token(refused.value.metadata["restore_token"])
    assert (await browser.login()).pair.user_id == user_id


async def test_no_provider_restores_what_an_operator_deleted_or_banned(service, browser):
    user_id = (await browser.login()).pair.user_id
    operator = await service.users.create("eve@example.test", "operator")
    await service.lifecycle.soft_delete(user_id, actor=operator.id)
    with pytest.raises(errors.UserDeleted) as refused:
        await browser.login()
    assert refused.value.metadata["restorable"] is False
    assert "restore_token" not in refused.value.metadata


async def test_a_frozen_login_restores_no_deleted_account(service, browser):
    user_id = (await browser.login()).pair.user_id
    await service.lifecycle.soft_delete(user_id)
    await service.pool.execute("update profiles.user_providers set frozen_at = now()")
    assert isinstance((await browser.land()).refusal, errors.LoginFrozen)


@pytest.mark.parametrize("change", ["frozen", "epoch"])
async def test_a_login_that_changed_after_the_callback_restores_nothing(service, browser, change):
    user_id = (await browser.login()).pair.user_id
    await service.lifecycle.soft_delete(user_id)
    landing = await browser.land()
    if change == "frozen":
        await service.pool.execute("update profiles.user_providers set frozen_at = now()")
    else:
        await service.pool.execute("update profiles.users set auth_epoch = auth_epoch + 1")
    with pytest.raises(errors.InvalidCredentials):
        await browser.trade(landing)


@pytest.mark.parametrize(
    ("moment", "oldest", "newest"),
    [
        (None, 0, 60),
        (0, 3500, 3700),
        (3600 + 30, 0, 60),
        (-(10**6), 10**6, 10**7),
        ("yesterday", 10**8, 10**11),
        (True, 10**8, 10**11),
        (4_000_000_000, 10**8, 10**11),
        (-4_000_000_000, 10**8, 10**11),
    ],
)
async def test_a_session_is_as_fresh_as_the_authentication_at_the_provider(
    service, browser, moment, oldest, newest
):
    """A number counts from an hour ago: a session left open at the provider proves nothing now."""
    if moment is not None:
        hour_ago = int(service.rt.clock()) - 3600
        browser.idp.claims["auth_time"] = moment + hour_ago if type(moment) is int else moment
    pair = (await browser.login()).pair
    session = await service.sessions.authenticate(pair.user_id, pair.session_id)
    assert oldest <= session.auth_age <= newest
    claims = await service.tokens.verify(pair.access_token)
    assert claims.raw["auth_time"] == int(session.auth_time.timestamp())


async def test_a_second_factor_makes_the_session_fresh_whenever_the_provider_authenticated(
    service, browser, mailbox
):
    user_id, _ = await with_email_factor(service, mailbox)
    await service.providers.link_by_issuer(user_id, browser.idp.issuer, "loop", "person-1")
    browser.idp.claims["auth_time"] = int(service.rt.clock()) - 3600
    with pytest.raises(errors.TwoFactorRequired) as required:
        await browser.login()
    code = mailbox.last("ada@example.test").code
    pair = await service.logins.complete_two_factor(user_id, required.value.metadata["challenge"], code)
    assert (await service.sessions.authenticate(user_id, pair.session_id)).auth_age < 60
