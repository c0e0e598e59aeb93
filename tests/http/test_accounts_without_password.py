"""Accounts without a password, which a passkey opens."""

from __future__ import annotations

import dataclasses

import pytest

from fakes import passkeys
from fakes.calls import assert_tokens, bearer, log_in, me, refusal
from fakes.passkeys import Authenticator

ADA = "ada_l@example.test"


@pytest.fixture
def config(config):
    return dataclasses.replace(config, code_cooldown=0.0, **passkeys.SETTINGS)


async def register(api, **more):
    return await api.post("/auth/register", json={"identifier": ADA, "username": "ada_l"} | more)


async def joined(api, mailbox) -> dict:
    answer = await register(api)
    assert answer.status_code == 202, answer.text
    await api.delivered()
    body = {"email": ADA, "code": mailbox.last(ADA).code, "registration_id": answer.json()["registration_id"]}
    return assert_tokens(await api.post("/auth/email/verify/confirm", json=body))


async def add_passkey(api, tokens, authenticator: Authenticator) -> dict:
    begun = await api.post("/auth/passkeys/register/begin", headers=bearer(tokens))
    body = {"credential": authenticator.create(begun.json()["options"])}
    answer = await api.post("/auth/passkeys/register/finish", json=body, headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_registration_without_a_password_leads_to_a_passkey(api, mailbox, service):
    tokens, authenticator = await joined(api, mailbox), Authenticator()
    assert (await me(api, tokens))["has_password"] is False
    added = await add_passkey(api, tokens, authenticator)
    options = (await api.post("/auth/passkeys/login/begin")).json()["options"]
    body = {"credential": authenticator.get(options)}
    again = assert_tokens(await api.post("/auth/passkeys/login/finish", json=body))
    for password in ("", "correct horse battery"):
        assert refusal(await log_in(api, ADA, password)) == (401, "invalid_credentials")
    path = f"/auth/passkeys/{added['id']}"
    assert refusal(await api.delete(path, headers=bearer(again))) == (409, "cannot_unlink_last_login_method")
    exported = (await api.get("/auth/user/export", headers=bearer(again))).json()
    assert (exported["password"], len(exported["passkeys"])) == (None, 1)
    first = {"new_password": "a first fine horse"}
    assert (await api.post("/auth/user/password", json=first, headers=bearer(again))).status_code == 200
    assert_tokens(await log_in(api, ADA, first["new_password"]))


async def test_an_account_without_a_password_proves_itself_by_a_code_or_its_passkey(api, mailbox, service):
    tokens = await joined(api, mailbox)
    user = (await me(api, tokens))["id"]
    assert await service.logins.step_up_methods(user) == ["code"]
    await add_passkey(api, tokens, Authenticator())
    assert await service.logins.step_up_methods(user) == ["passkey", "code"]


async def test_a_password_is_set_by_a_reset_where_there_was_none(api, mailbox):
    await joined(api, mailbox)
    asked = await api.post("/auth/password/reset/request", json={"identifier": ADA})
    await api.delivered()
    proof = {
        "identifier": ADA,
        "code": mailbox.last(ADA).token,
        "request_id": asked.json()["request_id"],
        "new_password": "a first fine horse",
    }
    answer = await api.post("/auth/password/reset/confirm", json=proof)
    assert answer.status_code == 200, answer.text
    assert_tokens(await log_in(api, ADA, "a first fine horse"))


async def test_a_taken_address_gets_the_answer_of_a_free_one(api, mailbox):
    free = await register(api)
    await joined(api, mailbox)
    taken = await register(api, username="ada_two")
    assert taken.status_code == free.status_code == 202
    assert taken.json().keys() == free.json().keys()
    await api.delivered()
    assert mailbox.last(ADA).kind == "registration_attempt"


@pytest.mark.parametrize(
    "settings", [{"webauthn_rp_id": None, "webauthn_origins": ()}, {"verification_required": False}], ids=str
)
async def test_a_password_is_required_where_nothing_else_could_open_the_account(
    make_service, serve, settings
):
    async with serve(await make_service(**settings)) as api:
        answer = await register(api)
        assert refusal(answer) == (400, "invalid_request")
        assert answer.json()["param"] == "password"
