"""Frozen logins and factors over HTTP: the owner sees them, confirms them and removes them."""

from __future__ import annotations

import pytest

from fakes.calls import PASSWORD, bearer, log_in, me, refusal
from fakes.wallets import Wallet

EMAIL, NUMBER = "ada_l@example.test", "+4915112345678"


@pytest.fixture
async def service(make_service):
    return await make_service(verification_required=False)


@pytest.fixture
async def owner(api, service, mailbox) -> dict[str, str]:
    """The tokens of an owner who recovered an account that another person had furnished."""
    user = (await service.users.create(EMAIL, "ada_l")).id
    await service.providers.link_by_issuer(user, "https://git.example.test", "github", "other")
    await service.two_factor.send_phone_setup_code(user, NUMBER)
    await service.two_factor.enable(user, "sms", NUMBER, code=mailbox.last(NUMBER).code)
    await service.passwords.request_reset(EMAIL)
    await api.delivered()
    await service.passwords.confirm_reset(mailbox.last(EMAIL).token, PASSWORD)
    return (await log_in(api, EMAIL)).json()


async def test_the_owner_confirms_a_frozen_login(api, owner):
    listed = (await api.get("/auth/user/providers", headers=bearer(owner))).json()["data"]
    assert [(login["provider_slug"], login["frozen"]) for login in listed] == [("github", True)]
    path = "/auth/user/providers/github/confirm"
    assert (await api.post(path, headers=bearer(owner))).status_code == 200
    listed = (await api.get("/auth/user/providers", headers=bearer(owner))).json()["data"]
    assert [login["frozen"] for login in listed] == [False]
    assert refusal(await api.post(path, headers=bearer(owner))) == (404, "provider_not_linked")


async def test_a_frozen_wallet_is_not_the_address_of_the_account(api, service, owner):
    account, wallet = await me(api, owner), Wallet().address
    await service.providers.link_by_issuer(account["id"], "solana:mainnet", "solana", wallet)
    assert (await me(api, owner))["solana_address"] == wallet
    await service.pool.execute("update profiles.user_providers set frozen_at = now()")
    assert (await me(api, owner))["solana_address"] is None
    assert await service.solana.get_user_by_address(wallet) is None


async def test_the_owner_removes_a_frozen_login(api, owner):
    assert (await api.delete("/auth/user/providers/github", headers=bearer(owner))).status_code == 200
    assert (await api.get("/auth/user/providers", headers=bearer(owner))).json()["data"] == []


async def test_the_owner_confirms_a_frozen_factor(api, owner):
    seen = (await api.get("/auth/user/2fa", headers=bearer(owner))).json()
    assert (seen["enabled"], seen["frozen"], seen["phone_number"]) == (False, True, NUMBER)
    assert (await api.post("/auth/user/2fa/confirm", headers=bearer(owner))).status_code == 200
    assert refusal(await log_in(api, EMAIL)) == (401, "two_factor_required")


async def test_the_owner_disables_a_frozen_factor(api, owner):
    assert (await api.post("/auth/user/2fa/disable", headers=bearer(owner))).status_code == 200
    seen = (await api.get("/auth/user/2fa", headers=bearer(owner))).json()
    assert seen["enabled"] is False
    assert "frozen" not in seen
    answer = await api.post("/auth/user/2fa/confirm", headers=bearer(owner))
    assert refusal(answer) == (409, "2fa_not_enabled")
