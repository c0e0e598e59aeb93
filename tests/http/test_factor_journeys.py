"""Every first factor with every second one, under every policy, with and without an organization."""

from __future__ import annotations

import jwt
import pytest

from authkit_issuer.security.siws import SignInInput
from fakes.calls import assert_tokens, log_in, refusal
from fakes.factors import PASSWORD, add_app, app_code, new_user
from fakes.wallets import Wallet

DOMAIN = "app.example.test"
SECONDS = ("none", "totp", "email", "sms", "backup")


class Person:
    """A user with a password, a wallet and one second factor, who owns an organization."""

    def __init__(self, api, mailbox, number: int, second: str) -> None:
        self.api, self.mailbox, self.second = api, mailbox, second
        self.email, self.phone = f"{second}{number}@example.test", f"+155501002{number:02d}"
        self.wallet, self.secret, self.backup = Wallet(number + 1), "", []
        self.org = f"{second}-org"

    async def prepare(self, service, *, multi: bool) -> None:
        user_id = await new_user(service, self.email, password=PASSWORD)
        challenge = await service.solana.generate_challenge(DOMAIN, self.wallet.address)
        await service.solana.link_wallet(user_id, self.wallet.sign(challenge))
        if multi:
            await service.orgs.create(self.org, owner_user_id=user_id)
            await service.orgs.require_two_factor(self.org, required=True, actor=user_id)
        if self.second in {"totp", "backup"}:
            self.secret, backup = await add_app(service, user_id)
            self.backup = backup or []
        elif self.second == "email":
            await service.two_factor.send_email_setup_code(user_id)
            await service.second_factors.add(user_id, "email", code=self.mailbox.last(self.email).code)
        elif self.second == "sms":
            await service.two_factor.send_phone_setup_code(user_id, self.phone)
            code = self.mailbox.last(self.phone).code
            await service.second_factors.add(user_id, "sms", phone_number=self.phone, code=code)
        await service.rt.background.drain(timeout=5)

    async def sign_in(self, first: str, org: str | None):
        more = {"org": org} if org else {}
        if first == "password":
            body = {"identifier": self.email, "password": PASSWORD} | more
            return await self.api.post("/auth/password/login", json=body)
        asked = await self.api.post("/auth/solana/challenge", json={"address": self.wallet.address})
        output = self.wallet.sign(SignInInput.from_json(asked.json()["input"])).to_json()
        return await self.api.post("/auth/solana/login", json={"output": output} | more)

    def proof(self) -> dict[str, object]:
        if self.second == "backup":
            return {"code": self.backup[0], "backup_code": True}
        if self.second == "totp":
            return {"code": app_code(self.secret)}
        return {"code": self.mailbox.last(self.email if self.second == "email" else self.phone).code}


def expected(second: str, policy: str, org: str | None) -> tuple[int, str]:
    """What a right first factor answers."""
    if second != "none":
        return (401, "two_factor_required")
    if policy == "required":
        return (401, "two_factor_enrollment_required")
    return (403, "two_factor_required_by_org") if org else (200, "")


@pytest.mark.parametrize("first", ["password", "wallet"])
@pytest.mark.parametrize("policy", ["off", "optional", "required"])
@pytest.mark.parametrize("multi", [False, True], ids=["alone", "org"])
async def test_every_way_to_sign_in(make_service, serve, mailbox, first, policy, multi):
    settings = {"org_mode": "multi" if multi else "single", "solana_domains": (DOMAIN,), "code_cooldown": 0.0}
    people = [Person(None, mailbox, number, second) for number, second in enumerate(SECONDS)]
    open_service = await make_service(**settings)
    for person in people:
        await person.prepare(open_service, multi=multi)
    service = await make_service(two_factor_policy=policy, **settings)
    async with serve(service) as api:
        for person in people:
            person.api = api
            # A wallet signs in without an organization; its session asks for one at a refresh.
            org = person.org if multi and first == "password" else None
            answer = await person.sign_in(first, org)
            status, code = expected(person.second, policy, org)
            assert answer.status_code == status, (person.second, answer.text)
            if status != 200:
                assert answer.json()["error"] == code, person.second
            if code != "two_factor_required":
                assert ("enrollment_token" in answer.text) is (code == "two_factor_enrollment_required")
                continue
            metadata = answer.json()["metadata"]
            body = {"user_id": metadata["user_id"], "challenge": metadata["challenge"]}
            wrong = await api.post("/auth/2fa/verify", json=body | {"code": "000000x"})
            assert refusal(wrong) == (400, "invalid_or_expired_code")
            tokens = assert_tokens(await api.post("/auth/2fa/verify", json=body | person.proof()))
            claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
            assert "mfa" in claims["amr"]
            assert claims.get("org") == org
        assert (await log_in(api, "none0@example.test", "wrong password")).status_code == 401
