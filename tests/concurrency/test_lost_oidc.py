"""The connection is killed at every statement of an external login."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.config import ProviderConfig
from authkit_issuer.domains.login.external.service import CallbackParameters
from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment
from fakes.provider import CLIENT, SECRET, LoopbackProvider
from fakes.users import finish_background


@pytest.fixture
async def idp(clock):
    provider = LoopbackProvider(clock)
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture
async def service(make_service, idp) -> Service:
    loop = ProviderConfig(
        client_id=CLIENT,
        client_secret=SECRET,
        native_client_ids=("the app",),
        issuer=idp.issuer,
        allow_http_loopback=True,
    )
    return await make_service(providers={"loop": loop}, base_url="https://id.example.test")


async def land(service: Service, idp: LoopbackProvider):
    begun = await service.oidc_login.begin("loop")
    cookies = ((begun.cookie.name, begun.cookie.value),)
    returned = CallbackParameters(**idp.approve(begun.auth_url), cookies=cookies)
    return await service.oidc_login.finish("loop", returned), cookies


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_first_login_is_made_wholly_or_not_at_all(
    service: Service, idp: LoopbackProvider, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    assert service.pool is not None
    step = 0
    while True:
        step += 1
        idp.person = {"sub": f"p{step}", "email": f"p{step}@example.test", "email_verified": True}
        connection_killer.arm(moment, step)
        landing, _ = await land(service, idp)
        connection_killer.disarm()
        await finish_background(service)
        counts = await service.pool.fetchrow(
            "select (select count(*) from profiles.users) as users,"
            " (select count(*) from profiles.user_providers) as links"
        )
        assert counts["users"] == counts["links"]
        assert counts["users"] in {step - 1, step}
        if not connection_killer.struck:
            assert landing.code
            break
        assert isinstance(landing.refusal, errors.DatabaseUnavailable | None)
        again, cookies = await land(service, idp)
        assert (await service.oidc_login.trade(again.code, cookies)).pair
        assert await service.pool.fetchval("select count(*) from profiles.users") == step
    assert step > 8


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_result_can_be_traded_again_until_it_is_answered(
    service: Service, idp: LoopbackProvider, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    step = 0
    await land(service, idp)
    while True:
        step += 1
        landing, cookies = await land(service, idp)
        connection_killer.arm(moment, step)
        try:
            opened = await service.oidc_login.trade(landing.code, cookies)
        except errors.DatabaseUnavailable:
            opened = None
        connection_killer.disarm()
        if not connection_killer.struck:
            assert opened is not None
            break
        if opened is None:
            assert (await service.oidc_login.trade(landing.code, cookies)).pair
        with pytest.raises(errors.InvalidOrExpiredCode):
            await service.oidc_login.trade(landing.code, cookies)
    assert step > 3


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_id_token_can_be_presented_again_until_it_is_answered(
    service: Service, idp: LoopbackProvider, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    assert service.pool is not None
    step = 0
    while True:
        step += 1
        idp.person = {"sub": f"p{step}", "email": f"p{step}@example.test", "email_verified": True}
        begun = await service.oidc_login.begin_native("loop")
        token = idp.sign(idp.right_claims(begun.nonce) | {"aud": "the app"})
        connection_killer.arm(moment, step)
        try:
            opened = await service.oidc_login.finish_native("loop", begun.login_id, token)
        except errors.DatabaseUnavailable:
            opened = None
        connection_killer.disarm()
        await finish_background(service)
        if not connection_killer.struck:
            assert opened is not None
            break
        if opened is None:
            assert (await service.oidc_login.finish_native("loop", begun.login_id, token)).pair
        with pytest.raises(errors.InvalidState):
            await service.oidc_login.finish_native("loop", begun.login_id, token)
        assert await service.pool.fetchval("select count(*) from profiles.users") == step
    assert step > 8
