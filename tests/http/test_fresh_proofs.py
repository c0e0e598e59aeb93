"""What cannot be taken back asks for a fresh proof; SECURITY.md lists what a stolen access token can do."""

from __future__ import annotations

import re

import pytest

from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.errors import StepUpRequired
from authkit_issuer.http.operations import Operation
from fakes.laws import for_each
from fakes.repository import ROOT

PARTLY = {
    "POST /auth/user/password": "with the present password, without a second factor",
    "POST /auth/user/email/change/request": "with the present password, without a second factor",
    "POST /auth/user/phone/change/request": "with the present password, without a second factor",
    "POST /auth/orgs/{org}/invites": "unless it makes an owner: an invite can be withdrawn",
    "POST /auth/orgs/{org}/members": "unless it makes an owner: an invite can be withdrawn",
    "DELETE /auth/orgs/{org}/members": "unless it is an owner: an owner invites the member again",
    "DELETE /auth/orgs/{org}/members/{user_id}": "unless it is an owner: an owner invites the member again",
    "POST /auth/orgs/{org}/members/{user_id}/roles": "unless it is owner: an owner takes it back",
    "DELETE /auth/orgs/{org}/members/{user_id}/roles": "unless it is owner: an owner gives it again",
    "DELETE /auth/orgs/{org}/members/{user_id}/roles/{role}": "unless it is owner: an owner gives it again",
}
"""Operations that ask for a fresh proof in some cases, and when they do not."""

WITHOUT = {
    "DELETE /auth/logout": "ends the session itself",
    "DELETE /auth/user/sessions/{session_id}": "must be easy when a device is lost",
    "DELETE /auth/user/sessions": "must be easy when a device is lost",
    "POST /auth/token/org": "gives a token with the user's own roles, as a refresh does",
    "PATCH /auth/user/username": "the user may take the former name back, and gets a notice",
    "PATCH /auth/user/biography": "opens nothing and can be written again",
    "POST /auth/user/email/change/confirm": "the request asked for the proof; the code is in the new mailbox",
    "POST /auth/user/email/change/resend": "the request asked for the proof",
    "DELETE /auth/user/email/change": "keeps the present address",
    "POST /auth/user/phone/change/confirm": "the request asked for the proof; the code is on the new phone",
    "POST /auth/user/phone/change/resend": "the request asked for the proof",
    "DELETE /auth/user/phone/change": "keeps the present number",
    "POST /auth/user/2fa/start-phone": "sends a code; enabling the factor asks for the proof",
    "POST /auth/user/2fa/start-email": "sends a code; enabling the factor asks for the proof",
    "POST /auth/step-up/oidc/{provider}/start": "is itself a proof",
    "POST /auth/step-up/password": "is itself a proof",
    "POST /auth/step-up/2fa": "is itself a proof",
    "POST /auth/step-up/solana": "is itself a proof",
    "POST /auth/orgs/{org}/invites/{invite_id}/revoke": "an owner invites again",
    "POST /auth/org-invites/{invite_id}/accept": "the user may leave the organization",
    "POST /auth/org-invites/{invite_id}/decline": "an owner invites again",
    "POST /auth/orgs": "the founder may delete the organization",
    "POST /auth/orgs/{org}/roles": "an owner deletes the role",
    "DELETE /auth/orgs/{org}/roles": "owner is protected; others can be defined and given again",
    "DELETE /auth/orgs/{org}/roles/{role}": "owner is protected; others can be defined and given again",
}
"""Operations that ask for no fresh proof, and why."""

HEADING = "### What an access token can do without a fresh proof"


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


WRITING = [operation for operation in OPERATIONS if operation.auth.takes_token and operation.method != "GET"]
ALWAYS = [operation for operation in OPERATIONS if operation.auth.takes_token and operation.fresh is True]


@for_each(WRITING, _name)
def test_a_change_asks_for_a_fresh_proof_or_says_why_it_does_not(operation: Operation) -> None:
    name = _name(operation)
    assert (bool(operation.fresh), name in PARTLY, name in WITHOUT).count(True) == 1
    assert (StepUpRequired in operation.errors) == (name in PARTLY)


def test_the_table_names_only_what_there_is() -> None:
    assert PARTLY.keys() | WITHOUT.keys() <= {_name(operation) for operation in WRITING}


def _section() -> str:
    """Return the part of SECURITY.md that the table makes."""
    reasons = PARTLY | WITHOUT
    rows = [
        f"| `{_name(operation)}` | {reasons[_name(operation)]} |"
        for operation in WRITING
        if _name(operation) in reasons
    ]
    return "\n".join(["| Operation | Allowed without a fresh proof, because or when |", "|---|---|", *rows])


def test_the_security_document_lists_what_the_table_allows() -> None:
    """After a change of the table, replace the list by the one that this shows."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    part = text.partition(f"{HEADING}\n")[2]
    listed = re.search(r"^\|.*?(?=\n\n|\Z)", part.rstrip("\n"), re.MULTILINE | re.DOTALL)
    assert listed is not None, f"write this below {HEADING}:\n{_section()}"
    assert listed[0] == _section(), f"the list is now:\n{_section()}"


@pytest.fixture
async def stale(make_service, serve, sign_up, age):
    """Ada, an administrator and the owner of ``acme``, whose proof is twenty minutes old."""
    service = await make_service(org_mode="multi")
    async with serve(service) as api:
        tokens = await sign_up(api, "ada_l")
        ada = (await service.users.get_by_username("ada_l")).id
        await service.roles.assign(ada, "admin")
        await service.orgs.create("acme", owner_user_id=ada)
        (session,) = await service.sessions.list_for_user(ada)
        await age("refresh_sessions", session.id, auth_time=1200)
        api.headers["authorization"] = f"Bearer {tokens['access_token']}"
        yield api, ada


async def test_what_asks_for_a_fresh_proof_refuses_a_stale_token(stale) -> None:
    api, ada = stale
    answers = {}
    for operation in ALWAYS:
        path = operation.path.replace("{org}", "acme").replace("{user_id}", ada)
        answer = await api.request(operation.method, re.sub(r"\{\w+\}", "any", path))
        answers[_name(operation)] = (answer.status_code, answer.json()["error"])
    offered = {name: told for name, told in answers.items() if told != (404, "not_found")}
    assert set(offered.values()) == {(403, "step_up_required")}, offered
    assert {"DELETE /auth/user", "DELETE /auth/orgs/{org}", "POST /auth/admin/users/ban"} <= offered.keys()
