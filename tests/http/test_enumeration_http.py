"""Who has an account shows in no answer, no header and no work: over every public operation.

The work is counted and not timed: hashes, what they cost, statements, and what the store is asked, all before
the answer goes out.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Awaitable, Iterator
from typing import Any

import httpx
import pytest

from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import Auth
from fakes.work_counter import WorkCounter

PASSWORD, WRONG = "correct horse battery", "wrong horse battery"
PEOPLE = 20


class Watch(WorkCounter):
    """Counts one request."""

    async def of(self, call: Awaitable[httpx.Response]) -> tuple[Any, ...]:
        """Send a request; return all that the caller, or counts on this side, can tell it by."""
        async with self.foreground() as work:
            answer = await call
        return answer.status_code, _shape(answer.json()), tuple(_shown(answer.headers)), work


def _shape(body: dict[str, Any]) -> tuple[Any, ...]:
    """Return a body without what differs between any two answers: ids, and the address that was sent."""
    names = {"request_id", "registration_id", "flow_id"}
    return tuple(
        (name, len(value)) if name in names else name if name in {"email", "phone"} else (name, str(value))
        for name, value in body.items()
    )


def _shown(headers: httpx.Headers) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if name == "content-length":
            continue  # the address itself stands in some answers
        if name == "set-cookie":  # without the id of the flow, which is another each time
            yield value.partition("=")[0], value.partition(";")[2]
            continue
        yield name, "" if name in {"x-request-id", "ratelimit-remaining", "ratelimit-reset"} else value


def _mail(known: object, number: int) -> str:
    return f"{'known' if known else 'other'}{number:02}@example.test"


def _phone(known: object, number: int) -> str:
    return f"+1555010{1 if known else 2}{number:03}"


def _name(known: object, number: int) -> str:
    return f"{'known' if known else 'other'}_{number}"


@pytest.fixture
def config(config):
    """With what is served only where it is configured."""
    return dataclasses.replace(
        config, webauthn_rp_id="example.test", passwordless="both", recovery_delay=259_200
    )


@pytest.fixture
async def watch(service, monkeypatch):
    hashed = await service.passwords.hash(PASSWORD)
    for number in range(PEOPLE):
        user = await service.users.add(
            email=_mail(True, number), phone=_phone(True, number), username=_name(True, number)
        )
        await service.passwords.store_hash(user.id, hashed)
    await service.logins.step_up_methods(user.id)
    return Watch(service, monkeypatch)


VERIFIED = "update profiles.users set email_verified = true, phone_verified = true"
REQUESTS = [
    ("/auth/password/login", lambda k, n: {"identifier": _mail(k, n), "password": WRONG}, True),
    ("/auth/password/login", lambda k, n: {"identifier": _phone(k, n), "password": WRONG}, True),
    ("/auth/password/login", lambda k, n: {"identifier": _name(k, n), "password": WRONG}, True),
    (
        "/auth/register",
        lambda k, n: {"identifier": _mail(k, n), "username": f"new_{k:d}_{n}", "password": PASSWORD},
        True,
    ),
    (
        "/auth/register",
        lambda k, n: {"identifier": _phone(k, n), "username": f"fresh_{k:d}_{n}", "password": PASSWORD},
        True,
    ),
    ("/auth/password/reset/request", lambda k, n: {"identifier": _mail(k, n)}, True),
    ("/auth/password/reset/request", lambda k, n: {"identifier": _phone(k, n)}, True),
    ("/auth/password/reset/request", lambda k, n: {"identifier": _name(k, n)}, True),
    ("/auth/phone/password/reset/request", lambda k, n: {"phone_number": _phone(k, n)}, True),
    (
        "/auth/password/replace",
        lambda k, n: {"identifier": _mail(k, n), "current_password": WRONG, "new_password": PASSWORD + "!"},
        True,
    ),
    # The rules of a new password are no answer about the account either.
    (
        "/auth/password/replace",
        lambda k, n: {"identifier": _name(k, n), "current_password": WRONG, "new_password": "short"},
        True,
    ),
    ("/auth/passwordless/start", lambda k, n: {"identifier": _mail(k, n)}, True),
    ("/auth/passwordless/start", lambda k, n: {"identifier": _phone(k, n)}, True),
    ("/auth/passwordless/start", lambda k, n: {"identifier": _mail(k, n), "return_to": "/"}, False),
    ("/auth/passwordless/start", lambda k, n: {"identifier": _phone(k, n), "return_to": "/"}, False),
    ("/auth/deleted-account/restore", lambda k, n: {"identifier": _mail(k, n), "password": WRONG}, True),
    ("/auth/deleted-account/erase", lambda k, n: {"identifier": _phone(k, n), "password": WRONG}, True),
    # Only unverified accounts get a verification; verified ones look like unknown ones.
    ("/auth/email/verify/request", lambda k, n: {"email": _mail(k, n)}, False),
    ("/auth/phone/verify/request", lambda k, n: {"phone_number": _phone(k, n)}, False),
    ("/auth/email/verify/request", lambda k, n: {"email": _mail(k, n)}, True),
    ("/auth/phone/verify/request", lambda k, n: {"phone_number": _phone(k, n)}, True),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "verified"), REQUESTS)
async def test_an_answer_and_its_work_are_alike_with_and_without_an_account(
    watch, api, service, mailbox, clock, path, body, verified
):
    if verified:
        await service.pool.execute(VERIFIED)
    await api.post(path, json=body(False, 99))  # the first request of a process learns what is stored
    await watch.finish()
    seen: dict[bool, Counter[Any]] = {True: Counter(), False: Counter()}
    for number in range(PEOPLE):
        for known in (number % 2 == 0, number % 2 == 1):
            clock.advance(61)  # a flood of failures from one address is recorded ever more seldom
            seen[known][await watch.of(api.post(path, json=body(known, number)))] += 1
    assert seen[True] == seen[False]
    assert len(seen[True]) == 1
    await watch.finish()
    reached = {message.to for message in mailbox.messages}
    if "reset" in path or "passwordless" in path or ("verify" in path and not verified):
        assert reached, "nothing was sent at all: the test would prove nothing"
        assert all(not address.startswith(("other", "+15550102")) for address in reached)


GUESSES = [
    ("/auth/email/verify/confirm", lambda k, n: {"email": _mail(k, n), "code": "123456"}),
    ("/auth/phone/verify/confirm", lambda k, n: {"phone_number": _phone(k, n), "code": "123456"}),
    (
        "/auth/password/reset/confirm",
        lambda k, n: {"identifier": _mail(k, n), "code": "123456", "new_password": PASSWORD + "!"},
    ),
    (
        "/auth/phone/password/reset/confirm",
        lambda k, n: {"phone_number": _phone(k, n), "code": "123456", "new_password": PASSWORD + "!"},
    ),
    ("/auth/passwordless/confirm", lambda _k, _n: {"code": "123456"}),
]


@pytest.mark.parametrize(("path", "body"), GUESSES)
async def test_a_guess_learns_nothing_of_who_has_an_account(watch, api, service, path, body):
    await service.pool.execute(VERIFIED)
    ids: dict[bool, list[str]] = {True: [], False: []}
    for known in (True, False):
        for number in range(PEOPLE):
            asked = await _ask(api, path, known, number)
            ids[known].append(asked.json()["flow_id" if "passwordless" in path else "request_id"])
    await watch.finish()
    seen: dict[bool, Counter[Any]] = {True: Counter(), False: Counter()}
    for number in range(PEOPLE):
        for known in (True, False):
            named = "flow_id" if "passwordless" in path else "request_id"
            guess = body(known, number) | {named: ids[known][number]}
            answer, shape, headers, *_ = await watch.of(api.post(path, json=guess))
            seen[known][answer, shape, headers] += 1
    assert seen[True] == seen[False]
    assert len(seen[True]) == 1


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("new", ["short", "x" * 1025, "password123"])
@pytest.mark.parametrize("path", ["/auth/password/reset/confirm", "/auth/phone/password/reset/confirm"])
async def test_a_refused_password_tells_nothing_of_who_has_an_account(watch, api, service, path, new, links):
    if not links:
        plain = dataclasses.replace(service.rt.senders, email_reset_link=None, sms_reset_link=None)
        object.__setattr__(service.rt, "senders", plain)
    await service.pool.execute(VERIFIED)
    seen: dict[bool, set[Any]] = {True: set(), False: set()}
    for known in (True, False):
        for number in range(2):
            request_id = (await _ask(api, path, known, number)).json()["request_id"]
            await watch.finish()
            contact = _phone(known, number) if "phone" in path else _mail(known, number)
            member = "phone_number" if "phone" in path else "identifier"
            guess = {member: contact, "code": "123456", "new_password": new, "request_id": request_id}
            seen[known].add(await watch.of(api.post(path, json=guess)))
    assert seen[True] == seen[False]
    assert len(seen[True]) == 1


CREDENTIAL = {
    "id": "AAAA",
    "rawId": "AAAA",
    "type": "public-key",
    "clientExtensionResults": {},
    "response": {"clientDataJSON": "AAAA", "authenticatorData": "AAAA", "signature": "AAAA"},
}
OF_A_CHALLENGE: list[tuple[str, dict[str, Any]]] = [
    ("/auth/2fa/verify", {"code": "123456", "backup_code": True}),
    ("/auth/2fa/verify", {"code": "123456", "backup_code": False}),
    ("/auth/2fa/challenge", {"factor_id": "00000000-0000-4000-8000-000000000000"}),
    ("/auth/2fa/passkey/begin", {}),
    ("/auth/2fa/passkey/finish", {"credential": CREDENTIAL}),
    ("/auth/recovery/start", {}),
    ("/auth/recovery/complete", {}),
]


@pytest.mark.parametrize(("path", "tried"), OF_A_CHALLENGE)
async def test_a_challenge_that_was_never_made_is_alike_for_every_user_id(watch, api, service, path, tried):
    known = (await service.users.get_by_username(_name(True, 1))).id
    other = f"{'0' if known[0] != '0' else '1'}{known[1:]}"
    seen: dict[str, set[Any]] = {known: set(), other: set()}
    for _ in range(2):
        for user_id, answers in seen.items():
            guess = {"user_id": user_id, "challenge": "c" * 43, **tried}
            answers.add(await watch.of(api.post(path, json=guess)))
    assert seen[known] == seen[other]
    assert {status for status, *_ in seen[known]} in ({400}, {401})
    assert len(seen[known]) == 1


STANDINGS = {
    "known": "",
    "unverified": "email_verified = false, proved_email = null",
    "banned": "banned_at = now()",
    "deleted": "deleted_at = now(), deleted_by_owner = true",
    "removed": "deleted_at = now(), deleted_by_owner = false",
    "frozen": "email_verified = false, email_frozen_at = now()",
}


async def test_a_start_without_a_password_is_alike_whatever_the_account_is(watch, api, service):
    await service.pool.execute(VERIFIED)
    for number, change in enumerate(STANDINGS.values()):
        if change:
            await service.pool.execute(
                f"update profiles.users set {change} where email = $1", _mail(True, number)
            )
    await api.post("/auth/passwordless/start", json={"identifier": _mail(False, 99)})
    await watch.finish()
    seen = set()
    for number in range(len(STANDINGS)):
        for known in (True, False):
            call = api.post("/auth/passwordless/start", json={"identifier": _mail(known, number)})
            seen.add(await watch.of(call))
    assert len(seen) == 1


NOT_ABOUT_AN_ACCOUNT = {
    "/auth/register/resend-email": "names a random id, which only the registering browser has",
    "/auth/register/resend-phone": "names a random id, which only the registering browser has",
    "/auth/email/verify/confirm-link": "names a token of 256 bits, which only the mailbox has",
    "/auth/email/verify/not-mine": "names a token of 256 bits, which only the mailbox has",
    "/auth/passkeys/login/begin": "names nothing; an identifier in the body is ignored",
    "/auth/passkeys/login/finish": "needs the signature of the passkey",
    "/auth/password/reset/confirm-link": "names a token of 256 bits, which only the mailbox has",
    "/auth/recovery/cancel": "names a token of 256 bits, which only the contacts of the account have",
    "/auth/sms/status": "needs the signature of the provider of SMS",
    "/auth/token": "names a token that the service signed",
    "/auth/revoke": "names a token that the service signed",
    "/auth/sessions/current": "names a token that the service signed",
    "/auth/solana/challenge": "reads no account",
    "/auth/solana/login": "needs the signature of the wallet",
    "/auth/oidc/{provider}/callback": "needs a state of the same browser",
    "/auth/oidc/result": "names a code of 256 bits",
    "/auth/oidc/{provider}/native/start": "names nothing",
    "/auth/oidc/{provider}/native": "needs an ID token of the provider",
}
"""Public operations that cannot be asked about the account of another person, and why."""


def test_every_public_operation_is_alike_for_every_account_or_cannot_be_asked_about_one() -> None:
    closed = {Auth.USER, Auth.ADMIN, Auth.CLIENT, Auth.LOOPBACK}
    served = {o.path for o in OPERATIONS if o.auth not in closed and o.method != "GET"}
    alike = {path for path, *_ in [*REQUESTS, *GUESSES]} | {path for path, _ in OF_A_CHALLENGE}
    assert alike & NOT_ABOUT_AN_ACCOUNT.keys() == set()
    assert alike | NOT_ABOUT_AN_ACCOUNT.keys() == served


async def _ask(api: Any, path: str, known: object, number: int) -> httpx.Response:
    asking = path.replace("/confirm", "/start" if "passwordless" in path else "/request")
    contact = _phone(known, number) if "phone" in path else _mail(known, number)
    member = "phone_number" if "phone" in path else "identifier" if "password" in path else "email"
    answer = await api.post(asking, json={member: contact})
    assert answer.status_code == 202
    return answer
