"""An organization's owner may be anybody: inviting an address does not reveal if it has an account."""

from __future__ import annotations

from fakes.users import EMAIL


async def test_an_invited_address_looks_alike_with_and_without_an_account(
    make_service, serve, sign_up
) -> None:
    service = await make_service(org_mode="multi")
    async with serve(service) as api:
        tokens = await sign_up(api, "owner_o")
        headers = {"authorization": f"Bearer {tokens['access_token']}"}
        await api.post("/auth/orgs", json={"slug": "acme"}, headers=headers)
        account = await service.users.add(email=EMAIL, username="ada_l", verified=True)
        invites = "/auth/orgs/acme/invites"
        for address in (EMAIL, "unknown@example.test"):
            answer = await api.post(invites, json={"email": address}, headers=headers)
            assert (answer.status_code, answer.json()["user_id"]) == (201, None)
        listed = (await api.get(invites, headers=headers)).json()["invites"]
        assert [invite["user_id"] for invite in listed] == [None, None]
        await service.org_invites.accept(listed[1]["id"], account.id)
        listed = (await api.get(invites, headers=headers)).json()["invites"]
        assert [invite["user_id"] for invite in listed] == [None, account.id]
        invited = (await api.post(invites, json={"email": EMAIL}, headers=headers)).json()
        await service.org_invites.decline(invited["id"], account.id)
        declined = (await api.get(f"{invites}?status=declined", headers=headers)).json()["invites"]
        assert [invite["user_id"] for invite in declined] == [None]
