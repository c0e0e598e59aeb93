"""Whose word on an email address counts: a provider's own domains, and what the configuration trusts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.config import ProviderConfig
from authkit_issuer.config.providers import ISSUERS
from authkit_issuer.federation.profile import _OWN_DOMAINS, trusts_email
from fakes.users import finish_background

EMAIL = "ada@example.test"
GOOGLE, APPLE = "https://accounts.google.com", "https://appleid.apple.com"
MICROSOFT = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"


@pytest.fixture
def providers(providers: dict[str, ProviderConfig]) -> dict[str, ProviderConfig]:
    return {"loop": dataclasses.replace(providers["loop"], trusts_email=None)}


@pytest.mark.parametrize(
    ("issuer", "email", "hosted", "trusted"),
    [
        (GOOGLE, "ada@gmail.com", None, True),
        (GOOGLE, "ada@GoogleMail.com", None, True),
        (GOOGLE, "ada@example.test", "example.test", True),
        (GOOGLE, "ada@example.test", None, False),
        (GOOGLE, "ada@example.test", "other.test", False),
        (GOOGLE, "ada@gmail.com.example.test", None, False),
        (GOOGLE, None, "", False),
        (APPLE, "a1@privaterelay.appleid.com", None, True),
        (APPLE, "ada@icloud.com", None, True),
        (APPLE, "ada@gmail.com", None, False),
        (MICROSOFT, "ada@outlook.com", None, False),
        ("https://github.com/login/oauth", "ada@github.com", None, False),
        ("https://idp.example.test", "ada@example.test", "example.test", False),
    ],
)
def test_a_provider_is_trusted_for_the_domains_it_owns(issuer, email, hosted, trusted) -> None:
    config = ProviderConfig(client_id="c")
    assert trusts_email(config, issuer, email, hosted) is trusted
    for wish in (True, False):
        chosen = dataclasses.replace(config, trusts_email=wish)
        assert trusts_email(chosen, issuer, email, hosted) is wish


async def test_another_providers_word_gives_no_address_and_asks_for_a_proof(
    service, browser, mailbox
) -> None:
    browser.idp.person.update(email=EMAIL, email_verified=True)
    opened = await browser.login()
    await finish_background(service)
    made = await service.users.get(opened.pair.user_id)
    assert (made.email, made.email_verified) == (None, False)
    assert await service.contact_changes.get_pending_email(made.id) == EMAIL
    await service.contact_changes.confirm_email(made.id, mailbox.last(EMAIL).code)
    proved = await service.users.get(made.id)
    assert (proved.email, proved.email_verified) == (EMAIL, True)


async def test_a_login_that_vouched_for_a_foreign_address_does_not_survive_its_owners_recovery(
    service, make_service, providers, browser, mailbox
) -> None:
    browser.idp.person.update(email=EMAIL, email_verified=True)
    attacker: Any = await browser.login()
    # An account of a version that took every provider's word.
    await service.pool.execute(
        "update profiles.users set email = $2, email_verified = true where id = $1",
        attacker.pair.user_id,
        EMAIL,
    )
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    (token,) = [mail.token for mail in mailbox.to(EMAIL) if mail.kind == "password_reset_link"]
    owner = await service.passwords.confirm_reset(token, "another fine horse")
    assert owner == attacker.pair.user_id
    assert isinstance((await browser.land()).refusal, errors.LoginFrozen)
    with pytest.raises(errors.AuthError):
        await service.sessions.exchange(attacker.pair.refresh_token)


async def test_a_provider_links_no_account_by_an_address_it_is_not_trusted_for(
    make_service, providers, browser, monkeypatch
) -> None:
    # The issuer has domains of its own, as Google has, and vouches for an address of another one.
    monkeypatch.setitem(ISSUERS, "google", browser.idp.issuer)
    monkeypatch.setitem(_OWN_DOMAINS, browser.idp.issuer, frozenset({"own.test"}))
    linking = {"loop": dataclasses.replace(providers["loop"], auto_link=True)}
    service = browser.service = await make_service(providers=linking, base_url="https://id.example.test")
    victim = await service.users.add(email=EMAIL, username="ada_l", verified=True)
    own = await service.users.add(email="ada@own.test", username="ada_own", verified=True)
    browser.idp.person.update(email=EMAIL, email_verified=True)
    assert isinstance((await browser.land()).refusal, errors.AccountExistsLinkRequired)
    assert await service.providers.count(victim.id) == 0
    browser.idp.person.update(email="ada@own.test")
    assert (await browser.login()).pair.user_id == own.id


async def test_a_trusted_provider_links_no_account_that_another_person_made_with_the_address(
    make_service, providers, browser, mailbox
) -> None:
    linking = {"loop": dataclasses.replace(providers["loop"], trusts_email=True, auto_link=True)}
    service = browser.service = await make_service(
        providers=linking, base_url="https://id.example.test", verification_required=False
    )
    await service.registration.create_pending_email(
        EMAIL, "attacker", await service.passwords.hash("correct horse battery")
    )
    made = await service.users.get_by_email(EMAIL)
    attacker = await service.logins.with_password("attacker", "correct horse battery")
    # An operator's word is no proof by the owner, who comes now.
    await service.users.set_email_verified(made.id, True)
    browser.idp.person.update(email=EMAIL, email_verified=True)
    assert isinstance((await browser.land()).refusal, errors.AccountExistsLinkRequired)
    assert await service.providers.count(made.id) == 0
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    await service.passwords.confirm_reset(mailbox.last(EMAIL).token, "another fine horse")
    assert (await browser.login()).pair.user_id == made.id
    with pytest.raises(errors.AuthError):
        await service.sessions.exchange(attacker.refresh_token)
    with pytest.raises(errors.AuthError):
        await service.logins.with_password("attacker", "correct horse battery")


async def test_a_trusted_providers_login_survives_a_reset(make_service, providers, browser, mailbox) -> None:
    trusted = {"loop": dataclasses.replace(providers["loop"], trusts_email=True)}
    service = browser.service = await make_service(providers=trusted, base_url="https://id.example.test")
    browser.idp.person.update(email=EMAIL, email_verified=True)
    opened = await browser.login()
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    await service.passwords.confirm_reset(mailbox.last(EMAIL).token, "another fine horse")
    assert (await browser.login()).pair.user_id == opened.pair.user_id
