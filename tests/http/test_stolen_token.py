"""What a stolen access token can do, observed on the served operations, and SECURITY.md's list of it.

An attacker holds the token of a session whose last proof is old. Each operation that changes something asks
for a fresh proof, or a row here says why not.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from authkit_issuer.config import ProviderConfig
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.errors import StepUpRequired
from authkit_issuer.http.operations import Auth, NoBody, Operation
from fakes.calls import refusal
from fakes.laws import for_each
from fakes.repository import ROOT
from fakes.users import PASSWORD

WITH_TOKEN = [operation for operation in OPERATIONS if operation.auth.takes_token]
CHANGING = [operation for operation in WITH_TOKEN if operation.method != "GET"]

TAKES_A_PROOF = {
    "confirmEmailChange": "the code of the email",
    "confirmPhoneChange": "the code of the SMS",
    "startExternalStepUp": "a sign-in at the provider",
    "stepUpWithPassword": "the password",
    "beginPasskeyStepUp": "the challenge for a passkey",
    "finishPasskeyStepUp": "the response of a passkey",
    "stepUpWithSolana": "the wallet's signature",
    "stepUpWithTwoFactor": "the second factor",
}
"""Operations whose request is the proof, or leads to it."""

ALONE = {
    "acceptOrgInvite": "the user can leave again",
    "addOrgMember": "an owner can withdraw the invite",
    "assignOrgRole": "another owner can take the role away",
    "cancelEmailChange": "keeps the present address",
    "cancelOwnRecovery": "keeps the second factors",
    "cancelPhoneChange": "keeps the present number",
    "createOrg": "the founder can delete the organization",
    "createOrgInvite": "an owner can withdraw it",
    "declineOrgInvite": "an owner can invite again",
    "defineOrgRole": "an owner can delete the role",
    "deleteOrgRole": "others can be defined and given again; `owner` is protected",
    "deleteOrgRoleByBody": "others can be defined and given again; `owner` is protected",
    "forgetDevice": "the device is asked for the second factor again",
    "forgetDevices": "devices are asked for the second factor again",
    "issueOrgToken": "gives a token with the user's own roles, which ends with the one that asks",
    "logout": "signing out must be easy when a device is lost",
    "removeOrgMember": "an owner can invite the member again",
    "removeOrgMemberByBody": "an owner can invite the member again",
    "renamePasskey": "opens nothing and can be renamed again",
    "resendEmailChange": "a fresh proof began the change",
    "resendPhoneChange": "a fresh proof began the change",
    "revokeOrgInvite": "an owner can invite again",
    "revokeSession": "signing out must be easy when a device is lost",
    "revokeSessions": "signing out must be easy when a device is lost",
    "signOut": "signing out must be easy when a device is lost",
    "startTwoFactorEmail": "enabling the factor asks for a fresh proof",
    "startTwoFactorPhone": "enabling the factor asks for a fresh proof",
    "unassignOrgRole": "an owner can give the role again",
    "unassignOrgRoleByBody": "an owner can give the role again",
    "updateBiography": "opens nothing and can be written again",
    "updateUsername": "the user can take the former name back, and gets a notice",
}
"""Operations that a token alone is enough for, and why."""

_FOR_OWNERS = "for the role `owner`, it asks for one"
SOMETIMES: dict[str, tuple[str, dict[str, Any]]] = {
    "addOrgMember": (_FOR_OWNERS, {"user_id": "{guest}", "role": "owner"}),
    "assignOrgRole": (_FOR_OWNERS, {"role": "owner"}),
    "createOrgInvite": (_FOR_OWNERS, {"user_id": "{guest}", "role": "owner"}),
    "removeOrgMember": (_FOR_OWNERS, {"user_id": "{eve}"}),
    "removeOrgMemberByBody": (_FOR_OWNERS, {"user_id": "{eve}"}),
    "unassignOrgRole": (_FOR_OWNERS, {"role": "owner"}),
    "unassignOrgRoleByBody": (_FOR_OWNERS, {"role": "owner"}),
    "revokeSessions": ("with `keep_current`, it asks for one", {"keep_current": "true"}),
    "updateUsername": (
        "for a user with a password who has neither address nor number, it asks for one",
        {"username": "eve_three"},
    ),
}
"""Of the operations in ``ALONE``: when they ask for a proof nevertheless, and what makes them ask.

They are members of the body, or of the path and the query of an operation without a body.
"""

BODIES: dict[str, dict[str, Any]] = {
    "changePassword": {"new_password": "another horse battery"},
    "requestEmailChange": {"new_email": "thief@example.test"},
    "requestPhoneChange": {"phone_number": "+4915187654321"},
    "acceptOrgInvite": {},
    "addOrgMember": {"user_id": "{guest}"},
    "assignOrgRole": {"role": "editor"},
    "createOrg": {"slug": "other-org"},
    "createOrgInvite": {"user_id": "{guest}"},
    "defineOrgRole": {"role": "writer"},
    "deleteOrgRoleByBody": {"role": "editor"},
    "issueOrgToken": {"org": "{org}"},
    "removeOrgMemberByBody": {"user_id": "{member}"},
    "unassignOrgRoleByBody": {"role": "editor"},
    "startTwoFactorPhone": {"phone": "+4915187654321"},
    "updateBiography": {"biography": "x"},
    "updateUsername": {"username": "eve_two"},
}
"""What reaches the decision; every other operation that is called here needs no body."""


def _name(operation: Operation) -> str:
    return operation.name


def _always_asks(operation: Operation) -> bool:
    return operation.fresh is True or (StepUpRequired in operation.errors and operation.name not in SOMETIMES)


@for_each(CHANGING, _name)
def test_a_change_asks_for_a_fresh_proof_or_says_why_not(operation: Operation) -> None:
    excused = (operation.name in ALONE) + (operation.name in TAKES_A_PROOF)
    assert excused == (not _always_asks(operation))
    assert (StepUpRequired in operation.errors) >= (operation.name in SOMETIMES)


def test_no_row_is_about_an_operation_that_does_not_exist() -> None:
    names = {operation.name for operation in CHANGING}
    assert ALONE.keys() | TAKES_A_PROOF.keys() <= names
    assert SOMETIMES.keys() <= ALONE.keys()
    assert BODIES.keys() <= names


async def people(service, number: int) -> list[str]:
    """Return the ids of three users with an email address."""
    names = [f"{name}_{number}" for name in ("eve", "member", "guest")]
    return [(await service.users.create(f"{name}@example.test", name)).id for name in names]


async def user_of_a_name(service, name: str) -> str:
    """Return the id of a user who signs in with this name and a password, and has no contact."""
    user = await service.users.create(None, name)
    await service.passwords.admin_set(user.id, PASSWORD)
    return user.id


@pytest.fixture
async def stolen(make_service, serve, age):
    """Send an operation with the token of a session whose proof is old, as an owner and administrator."""
    provider = ProviderConfig(client_id="us", client_secret="a secret of theirs")
    service = await make_service(
        org_mode="multi",
        base_url="http://127.0.0.1:8000",
        solana_domains=("app.example",),
        webauthn_rp_id="app.example",
        recovery_delay=259_200,
        providers=dict.fromkeys(("github", "discord"), provider)
        | {"google": dataclasses.replace(provider, native_client_ids=("an app of ours",))},
    )
    async with serve(service) as api:

        async def send(
            operation: Operation, given: dict[str, Any] | None, number: int, *, by_name: bool = False
        ) -> Any:
            eve, member, guest = await people(service, number)
            if by_name:
                eve = await user_of_a_name(service, f"eve_{number}_alone")
            org = f"acme-{number}"
            await service.orgs.create(org, owner_user_id=eve)
            await service.orgs.define_role(org, "editor")
            await service.org_members.add(org, member)
            await service.roles.assign(eve, "admin")
            session = (await service.sessions.issue(eve, method="password")).session_id
            await age("refresh_sessions", session, auth_time=service.config.step_up_max_age + 60)
            token = await service.tokens.issue_access(eve, session_id=session)
            names = {"{guest}": guest, "{member}": member, "{eve}": eve, "{org}": org}
            body = {key: names.get(value, value) for key, value in (given or {}).items()}
            known = {
                "org": org, "user_id": member, "role": "editor",
                "provider": "google" if "native" in operation.path else "github",
            } | body  # fmt: skip
            path = re.sub(r"{(\w+)}", lambda name: known.get(name[1], "missing"), operation.path)
            bearer = {"authorization": f"Bearer {token.token}"}
            sent = {} if given is None or operation.body is NoBody else {"json": body}
            query = {name: known[name] for name in operation.params.model_fields if name in known}
            return await api.request(operation.method, path, headers=bearer, params=query, **sent)

        yield send


async def test_an_old_proof_opens_what_the_table_says_and_nothing_else(stolen) -> None:
    observed: dict[str, str] = {}
    for number, operation in enumerate(WITH_TOKEN):
        answer = await stolen(operation, BODIES.get(operation.name), number)
        assert answer.status_code != 401, (operation.name, answer.text)
        if operation.name in BODIES:
            assert answer.json().get("error") != "invalid_request", (operation.name, answer.text)
        observed[operation.name] = "" if answer.status_code < 400 else answer.json()["error"]
    asks = {name for name, error in observed.items() if error == "step_up_required"}
    assert asks == {operation.name for operation in WITH_TOKEN if _always_asks(operation)}
    reached = {name for name in BODIES if name in ALONE and not observed[name]}
    assert reached == BODIES.keys() & ALONE.keys() - {"acceptOrgInvite", "unassignOrgRoleByBody"}


async def test_what_sometimes_asks_for_a_proof_asks(stolen) -> None:
    by_name = {operation.name: operation for operation in CHANGING}
    for number, (name, (_, body)) in enumerate(SOMETIMES.items()):
        answer = await stolen(by_name[name], body, number, by_name=name == "updateUsername")
        assert (answer.status_code, answer.json()["error"]) == (403, "step_up_required"), (name, answer.text)


@pytest.mark.parametrize(
    "repeated", ["DELETE /user/sessions?keep_current=true", "POST /user/2fa/forget-devices"]
)
async def test_a_stolen_token_keeps_no_owner_out(
    make_service, serve, sign_up, mailbox, age, repeated
) -> None:
    """What ends sign-ins and resets in progress is not repeated by a session that stays, without a proof."""
    service = await make_service(two_factor_remember=1000.0)
    async with serve(service) as api:
        tokens = await sign_up(api)
        bearer = {"authorization": f"Bearer {tokens['access_token']}"}
        session = (await api.get("/auth/user/me", headers=bearer)).json()
        await age("refresh_sessions", session["session_id"], auth_time=service.config.step_up_max_age + 60)
        await api.post("/auth/password/reset/request", json={"identifier": session["email"]})
        await api.delivered()
        method, path = repeated.split()
        await api.request(method, f"/auth{path}", headers=bearer)
        assert (await api.get("/auth/user/me", headers=bearer)).status_code == 200
        proof = {"token": mailbox.last(session["email"]).token, "new_password": "another horse battery"}
        assert (await api.post("/auth/password/reset/confirm-link", json=proof)).status_code == 200


async def test_a_stolen_token_takes_no_name_with_which_alone_its_owner_signs_in(
    make_service, serve, age
) -> None:
    service = await make_service()
    await user_of_a_name(service, "ada_l")
    who = {"identifier": "ada_l", "password": PASSWORD}
    async with serve(service) as api:
        tokens = (await api.post("/auth/password/login", json=who)).json()
        bearer = {"authorization": f"Bearer {tokens['access_token']}"}
        session = (await api.get("/auth/user/me", headers=bearer)).json()["session_id"]
        await age("refresh_sessions", session, auth_time=service.config.step_up_max_age + 60)
        renaming = {"headers": bearer, "json": {"username": "mallory"}}
        assert refusal(await api.patch("/auth/user/username", **renaming)) == (403, "step_up_required")
        assert (await api.post("/auth/password/login", json=who)).status_code == 200
        proof = {"headers": bearer, "json": {"password": PASSWORD}}
        assert (await api.post("/auth/step-up/password", **proof)).status_code == 200
        assert (await api.patch("/auth/user/username", **renaming)).status_code == 200


# --- SECURITY.md ------------------------------------------------------------------------------------------

BEGIN, END = "<!-- what a token alone can do: begin -->\n", "<!-- what a token alone can do: end -->\n"


def what_a_token_alone_can_do() -> str:
    """Return the section of SECURITY.md: a table of changes, then what can be read."""
    lines = ["| Change | Why no fresh proof is asked for |", "|---|---|"]
    for operation in sorted(CHANGING, key=lambda o: (o.path, o.method)):
        if operation.name in ALONE:
            reason = ALONE[operation.name]
            if operation.name in SOMETIMES:
                reason += f"; {SOMETIMES[operation.name][0]}"
            lines.append(f"| {operation.summary}: `{operation.method} {operation.path}` | {reason} |")
    for auth, who in ((Auth.USER, "any user"), (Auth.ADMIN, "an administrator")):
        lines += ["", f"The token of {who} reads:", ""]
        lines += [
            f"- {operation.summary}: `{operation.path}`"
            for operation in sorted(WITH_TOKEN, key=lambda o: o.path)
            if operation.auth is auth and operation.method == "GET" and not _always_asks(operation)
        ]
    return "\n".join([*lines, ""])


def test_security_lists_what_a_token_alone_can_do() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0]
    expected = what_a_token_alone_can_do()
    assert written == expected, f"SECURITY.md must have between its markers:\n{expected}"
