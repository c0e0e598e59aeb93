"""Logins of native apps: an ID token from the provider's own dialog, bound to a login that the app began."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.config import Config, ProviderConfig
from authkit_issuer.service import Service
from fakes.factors import events, with_email_factor
from fakes.gather import gather
from fakes.provider import CLIENT, LoopbackProvider, Reply
from fakes.users import finish_background

IOS, ANDROID = "our app on ios", "our app on android"


@pytest.fixture(params=["memory", "redis"])
async def service(request, make_service, providers) -> Service:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    native = {"loop": dataclasses.replace(providers["loop"], native_client_ids=(IOS, ANDROID))}
    return await make_service(providers=native, base_url="https://id.example.test", redis_url=url)


@dataclasses.dataclass
class App:
    """An app on a device, whose provider's dialog signs tokens for ``audience``."""

    service: Service
    idp: LoopbackProvider
    audience: Any = IOS

    def token(self, bound_to: str, **changes: Any) -> str:
        claims = self.idp.right_claims(bound_to) | {"aud": self.audience} | changes
        return self.idp.sign({name: value for name, value in claims.items() if value is not None})

    async def begin(self, **wish: Any):
        return await self.service.oidc_login.begin_native("loop", **wish)

    async def present(self, begun, token: str | None = None, **more: Any):
        token = self.token(begun.nonce) if token is None else token
        return await self.service.oidc_login.finish_native("loop", begun.login_id, token, **more)

    async def login(self):
        return await self.present(await self.begin())


@pytest.fixture
def app(service, idp) -> App:
    return App(service, idp)


async def signed_in(service, name="bob_b"):
    user = await service.users.add(email=f"{name}@example.test", username=name, verified=True)
    opened = await service.sessions.issue(user.id, method="password_login", auth_epoch=0, amr=("pwd",))
    return {"user_id": user.id, "session_id": opened.session_id}


@pytest.mark.parametrize("audience", [IOS, ANDROID])
async def test_an_id_token_for_any_client_of_the_issuer_opens_the_same_account(app, browser, audience):
    app.audience = audience
    opened = await app.login()
    assert (opened.flow, opened.provider, opened.created) == ("login", "loop", True)
    claims = await app.service.tokens.verify(opened.pair.access_token)
    assert (claims.raw["provider"], claims.raw["amr"]) == ("loop", ("fed",))
    assert (await app.login()).created is False
    # It is the account that the browser opens.
    assert (await browser.login()).pair.user_id == opened.pair.user_id


@pytest.mark.parametrize(
    ("claims", "check"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": CLIENT}, "audience"),
        ({"aud": "another app"}, "audience"),
        ({"aud": [IOS, "another app"]}, "azp"),
        ({"azp": "another app"}, "azp"),
        ({"azp": CLIENT}, "azp"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"exp": 1}, "expiry"),
        ({"sub": "a\x00b"}, "subject"),
    ],
    ids=json.dumps,
)
async def test_an_id_token_that_fails_a_check_opens_nothing_and_uses_the_login_up(app, claims, check):
    begun = await app.begin()
    with pytest.raises(errors.ProviderRefused) as refused:
        await app.present(begun, app.token(begun.nonce, **claims))
    assert refused.value.metadata == {"check": check}
    with pytest.raises(errors.InvalidState):
        await app.present(begun)
    assert await app.service.users.newest() == []
    (failed,) = await events(app.service, "session_failed")
    assert failed["reason"] == "oidc_exchange_failed"


async def test_an_azp_among_the_clients_of_the_apps_is_accepted(app):
    begun = await app.begin()
    assert (await app.present(begun, app.token(begun.nonce, aud=[IOS, CLIENT], azp=ANDROID))).pair


async def test_an_id_token_alone_opens_nothing(app):
    begun = await app.begin()
    assert begun.login_id not in app.token(begun.nonce)
    assert begun.nonce != begun.login_id
    for guessed in (begun.nonce, "x" * 43, "", "\x00", begun.login_id[:-1] + "\ud800"):
        with pytest.raises(errors.InvalidState):
            await app.service.oidc_login.finish_native("loop", guessed, app.token(begun.nonce))
    assert begun.login_id not in repr(begun)
    assert (await app.present(begun)).pair


async def test_an_id_token_of_a_browser_is_for_no_app_and_the_other_way_round(app, browser):
    browser.idp.claims["aud"] = IOS
    landing = await browser.land()
    assert isinstance(landing.refusal, errors.ProviderRefused)
    assert landing.refusal.metadata == {"check": "audience"}


async def test_a_login_of_an_app_is_used_once_within_ten_minutes(app, clock):
    begun = await app.begin()
    assert begun.expires_in == 600
    token = app.token(begun.nonce)
    assert (await app.present(begun, token)).pair
    with pytest.raises(errors.InvalidState):
        await app.present(begun, token)
    if app.service.ephemeral_mode == "memory":
        late = await app.begin()
        clock.advance(601)
        with pytest.raises(errors.InvalidState):
            await app.present(late)


async def test_one_id_token_presented_fifty_times_at_once_opens_one_session(app, rounds):
    user_id = (await app.login()).pair.user_id
    for _ in range(rounds(50)):
        await app.service.sessions.revoke_all(user_id)
        begun = await app.begin()
        token = app.token(begun.nonce)
        outcomes = await gather(*[lambda begun=begun, token=token: app.present(begun, token)] * 50)
        lost = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert len(lost) == 49
        assert all(isinstance(outcome, errors.InvalidState) for outcome in lost)
        assert len(await app.service.sessions.list_for_user(user_id)) == 1


async def test_parallel_first_logins_of_an_app_and_a_browser_make_one_user(app, browser, rounds):
    for number in range(rounds(20)):
        app.idp.person = {
            "sub": f"person-{number}",
            "email": f"p{number}@example.test",
            "email_verified": True,
        }
        begun, started = [await app.begin() for _ in range(3)], [await browser.begin() for _ in range(3)]
        opened, landings = await asyncio.gather(
            asyncio.gather(*(app.present(one) for one in begun)),
            asyncio.gather(*(browser.back(one, directly=True) for one in started)),
        )
        assert [landing.refusal for landing in landings] == [None] * 3
        users = {one.pair.user_id for one in (*opened, *(landing.opened for landing in landings))}
        assert len(users) == 1
        assert len(await app.service.users.newest(1000)) == number + 1


async def test_an_address_that_an_account_has_is_never_merged_silently(app):
    await app.service.users.add(email="ada@example.test", username="victim", verified=True)
    with pytest.raises(errors.AccountExistsLinkRequired):
        await app.login()


async def test_a_second_factor_is_asked_for(app, mailbox):
    user_id, _ = await with_email_factor(app.service, mailbox)
    await app.service.providers.link_by_issuer(user_id, app.idp.issuer, "loop", "person-1")
    with pytest.raises(errors.TwoFactorRequired) as required:
        await app.login()
    code = mailbox.last("ada@example.test").code
    pair = await app.service.logins.complete_two_factor(user_id, required.value.metadata["challenge"], code)
    assert pair.user_id == user_id


async def test_a_link_is_for_the_user_whose_session_began_it(app, mailbox):
    who = await signed_in(app.service)
    linked = await app.present(await app.begin(flow="link", **who))
    assert (linked.flow, linked.pair, linked.access) == ("link", None, None)
    assert (await app.login()).pair.user_id == who["user_id"]
    await finish_background(app.service)
    assert "provider_linked" in [message.kind for message in mailbox.to("bob_b@example.test")]
    begun = await app.begin(flow="link", **who)
    await app.service.sessions.revoke_all(who["user_id"])
    with pytest.raises(errors.SessionEnded):
        await app.present(begun)
    with pytest.raises(errors.SessionEnded):
        await app.begin(flow="link", **who)
    with pytest.raises(errors.SessionEnded):
        await app.begin(flow="link")


async def test_a_login_is_still_pending_after_an_outage_of_the_keys(app, clock):
    begun = await app.begin()
    app.idp.replies["/jwks"] = Reply(status=500)
    with pytest.raises(errors.ProviderUnavailable):
        await app.present(begun)
    del app.idp.replies["/jwks"]
    clock.advance(60)  # past the pause between two fetches of keys
    assert (await app.present(begun)).pair


async def test_an_organization_that_is_refused_leaves_the_login_pending(app):
    who = await signed_in(app.service)
    begun = await app.begin(flow="link", **who)
    with pytest.raises(errors.Invalid):
        await app.present(begun, org="acme")
    assert await app.service.providers.list_for_user(who["user_id"]) == []
    assert (await app.present(begun)).flow == "link"


async def test_native_sign_in_is_off_by_default(make_service, providers):
    service = await make_service(providers=providers, base_url="https://id.example.test")
    with pytest.raises(errors.NotConfigured):
        await service.oidc_login.begin_native("loop")
    with pytest.raises(errors.UnknownProvider):
        await service.oidc_login.begin_native("unknown")


@pytest.mark.parametrize(
    ("provider", "ids"), [("github", ("x",)), ("discord", ("x",)), ("google", ("",)), ("google", (" ",))]
)
def test_native_client_ids_that_cannot_work_are_refused(provider, ids):
    with pytest.raises(errors.ConfigError, match="native_client_ids"):
        Config(
            issuer="https://i.example",
            issued_audiences=("a",),
            environment="test",
            providers={provider: ProviderConfig(client_id="c", native_client_ids=ids)},
        )
