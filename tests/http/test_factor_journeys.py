"""Every first factor with every second one, under every policy, with and without an organization."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest

from authkit_issuer.config import ProviderConfig
from authkit_issuer.security.siws import SignInInput
from authkit_issuer.service import Service
from fakes.calls import log_in, refusal
from fakes.factors import PASSWORD, add_app, app_code, let_codes_be_new, new_user
from fakes.mail import Mailbox
from fakes.passkeys import SETTINGS as PASSKEYS
from fakes.passkeys import Authenticator, add_passkey
from fakes.provider import CLIENT, SECRET, LoopbackProvider
from fakes.users import finish_background
from fakes.wallets import Wallet

BASE, DOMAIN, APP = "https://id.example.test", "app.example.test", "the app"
FIRSTS = ("password", "wallet", "provider", "native", "message")
SECONDS = ("none", "totp", "email", "sms", "backup", "passkey")
SETTINGS: dict[str, Any] = PASSKEYS | {
    "base_url": BASE, "solana_domains": (DOMAIN,), "session_max_per_user": None,
    "passwordless": "code", "code_cooldown": 0.0, "max_codes_per_hour": 100, "max_codes_per_target_hour": 100,
}  # fmt: skip


@pytest.fixture
async def idp(clock):
    provider = LoopbackProvider(clock)
    await provider.start()
    yield provider
    await provider.stop()


class Person:
    """A user with a password, a wallet, an external login and one second factor, who owns an organization."""

    def __init__(self, mailbox: Mailbox, idp: LoopbackProvider, number: int, second: str) -> None:
        self.mailbox, self.idp, self.second = mailbox, idp, second
        self.email, self.phone = f"{second}{number}@example.test", f"+155501002{number:02d}"
        self.subject = {"sub": f"person-{number}", "email": self.email, "email_verified": True}
        self.wallet, self.authenticator = Wallet(number + 1), Authenticator()
        self.user_id, self.secret, self.backup = "", "", list[str]()
        self.org = f"{second}-org"

    async def prepare(self, service: Service, *, multi: bool) -> None:
        self.user_id = await new_user(service, self.email, password=PASSWORD)
        challenge = await service.solana.generate_challenge(DOMAIN, self.wallet.address)
        await service.solana.link_wallet(self.user_id, self.wallet.sign(challenge))
        await service.providers.link(self.user_id, self.idp.issuer, self.subject["sub"])
        if multi:
            await service.orgs.create(self.org, owner_user_id=self.user_id)
            await service.orgs.require_two_factor(self.org, required=True, actor=self.user_id)
        if self.second in {"totp", "backup", "passkey"}:
            self.secret, backup = await add_app(service, self.user_id)
            self.backup = backup or []
        if self.second == "passkey":
            await self.add_passkey(service)
        elif self.second == "email":
            await service.two_factor.send_email_setup_code(self.user_id)
            await service.second_factors.add(self.user_id, "email", code=self.sent(self.email))
        elif self.second == "sms":
            await service.two_factor.send_phone_setup_code(self.user_id, self.phone)
            code = self.sent(self.phone)
            await service.second_factors.add(self.user_id, "sms", phone_number=self.phone, code=code)
        await finish_background(service)

    async def add_passkey(self, service: Service) -> None:
        if not self.authenticator.credentials:
            await add_passkey(service, self.user_id, self.authenticator)
            await finish_background(service)

    def sent(self, to: str) -> str:
        """The last code to an address; notices have none."""
        return next(mail.code for mail in reversed(self.mailbox.messages) if mail.to == to and mail.code)

    async def sign_in(self, api: Any, first: str, org: str | None) -> httpx.Response:
        more = {"org": org} if org else {}
        if first == "password":
            body = {"identifier": self.email, "password": PASSWORD} | more
            return await api.post("/auth/password/login", json=body)
        if first == "message":
            started = await api.post("/auth/passwordless/start", json={"identifier": self.email} | more)
            await api.delivered()
            body = {"flow_id": started.json()["flow_id"], "code": self.sent(self.email)}
            return await api.post("/auth/passwordless/confirm", json=body)
        if first == "passkey":
            options = (await api.post("/auth/passkeys/login/begin")).json()["options"]
            body = {"credential": self.authenticator.get(options)} | more
            return await api.post("/auth/passkeys/login/finish", json=body)
        if first == "provider":
            sent = await api.get("/auth/oidc/loop/login")
            self.idp.person = self.subject
            back = await api.get(
                "/auth/oidc/loop/callback", params=self.idp.approve(sent.headers["location"])
            )
            code = dict(parse_qsl(urlsplit(back.headers["location"]).fragment))["result_code"]
            return await api.post("/auth/oidc/result", json={"code": code} | more)
        if first == "native":
            begun = (await api.post("/auth/oidc/loop/native/start")).json()
            claims = self.idp.right_claims(begun["nonce"]) | self.subject | {"aud": APP}
            body = {"login_id": begun["login_id"], "id_token": self.idp.sign(claims)} | more
            return await api.post("/auth/oidc/loop/native", json=body)
        asked = await api.post("/auth/solana/challenge", json={"address": self.wallet.address})
        output = self.wallet.sign(SignInInput.from_json(asked.json()["input"])).to_json()
        return await api.post("/auth/solana/login", json={"output": output} | more)

    async def prove(self, api: httpx.AsyncClient, waiting: dict[str, str], first: str) -> httpx.Response:
        """Answer a challenge wrongly, which opens nothing, and then rightly."""
        if self.second == "passkey" != first:
            path = "/auth/2fa/passkey/"
            for lies in ({"signature": b"x"}, {}):
                options = (await api.post(f"{path}begin", json=waiting)).json()["options"]
                body = waiting | {"credential": self.authenticator.get(options, **lies)}
                answer = await api.post(f"{path}finish", json=body)
                assert not lies or refusal(answer) == (401, "passkey_invalid")
            return answer
        wrong = await api.post("/auth/2fa/verify", json=waiting | {"code": "000000x"})
        assert refusal(wrong) == (400, "invalid_or_expired_code")
        return await api.post("/auth/2fa/verify", json=waiting | self._right())

    def _right(self) -> dict[str, object]:
        if self.second == "backup":
            return {"code": self.backup.pop(), "backup_code": True}
        if self.second in {"totp", "passkey"}:
            return {"code": app_code(self.secret)}
        return {"code": self.sent(self.email if self.second == "email" else self.phone)}


def expected(second: str, policy: str, org: str | None) -> tuple[int, str]:
    """What a right first factor answers."""
    if second != "none":
        return (401, "two_factor_required")
    if policy == "required":
        return (401, "two_factor_enrollment_required")
    return (403, "two_factor_required_by_org") if org else (200, "")


def assert_signed_in(answer: httpx.Response, org: str | None, *, two_factors: bool) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["refresh_token"]
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert ("mfa" in claims["amr"]) is two_factors
    assert claims.get("org") == org


async def journey(api: httpx.AsyncClient, service: Service, person: Person, first: str) -> None:
    # A wallet signs in without an organization; its session asks for one at a refresh.
    org = person.org if service.config.org_mode == "multi" and first != "wallet" else None
    answer = await person.sign_in(api, first, org)
    status, code = expected(person.second, service.config.two_factor_policy, org)
    if status == 200:
        assert_signed_in(answer, org, two_factors=False)
        return
    assert refusal(answer) == (status, code), answer.text
    assert ("enrollment_token" in answer.text) is (code == "two_factor_enrollment_required")
    assert "access_token" not in answer.text
    if code == "two_factor_required":
        found = answer.json()["metadata"]
        await let_codes_be_new(service)
        waiting = {"user_id": found["user_id"], "challenge": found["challenge"]}
        # A second code to the address of the first one is no second factor.
        two_factors = (first, person.second) != ("message", "email")
        answer = await person.prove(api, waiting, first)
        if org and not two_factors:
            assert refusal(answer) == (403, "two_factor_required_by_org")
        else:
            assert_signed_in(answer, org, two_factors=two_factors)


@pytest.mark.parametrize("policy", ["off", "optional", "required"])
@pytest.mark.parametrize("multi", [False, True], ids=["alone", "org"])
async def test_every_way_to_sign_in(make_service, serve, mailbox, idp, policy, multi):
    loop = ProviderConfig(
        client_id=CLIENT,
        client_secret=SECRET,
        issuer=idp.issuer,
        allow_http_loopback=True,
        native_client_ids=(APP,),
    )
    settings = SETTINGS | {"org_mode": "multi" if multi else "single", "providers": {"loop": loop}}
    people = [Person(mailbox, idp, number, second) for number, second in enumerate(SECONDS)]
    open_service = await make_service(**settings)
    for person in people:
        await person.prepare(open_service, multi=multi)
    settings["two_factor_policy"] = policy
    service = await make_service(**settings)
    async with serve(service, base_url=BASE) as api:
        for first in FIRSTS:
            for person in people:
                await journey(api, service, person, first)
        assert (await log_in(api, "none0@example.test", "wrong password")).status_code == 401
        for person in people:
            await person.add_passkey(service)
            org = person.org if multi else None
            assert_signed_in(await person.sign_in(api, "passkey", org), org, two_factors=True)
    one_factor = await make_service(**settings, passkey_counts_as_two_factors=False)
    async with serve(one_factor, base_url=BASE) as api:
        for person in people:
            await journey(api, one_factor, person, "passkey")
