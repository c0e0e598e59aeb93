"""Hostile input on every operation: always a refusal with a documented code, never a 5xx."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Any, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from authkit_issuer.config import ProviderConfig
from authkit_issuer.http import openapi
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import Auth, NoBody, Operation
from authkit_issuer.http.routes import inbox

ALL = [operation for operation in OPERATIONS if not operation.form]
"""What a browser posts to is answered with a page or a redirect, and has tests of its own."""
JSON = "application/json"

SAMPLES = {
    "password": "correct horse battery", "code": "123456", "registration_id": "r" * 22,
    "grant_type": "refresh_token", "refresh_token": "akr_x", "org": "acme", "banned": True,
    "credential": {
        "id": "x", "rawId": "x", "type": "public-key",
        "response": dict.fromkeys(
            ("clientDataJSON", "attestationObject", "authenticatorData", "signature"), "x"
        ),
    },
    "output": {"account": {"address": "x"}, "signature": "", "signedMessage": ""},
}  # fmt: skip
Law = Callable[[Any, Any], Awaitable[None]]
Request = Callable[..., Awaitable[Any]]
CLIENT = ("checker", "a secret of the checker")
documented_errors = cache(openapi.documented_errors)
PATHS = {"{session_id}": "missing", "{user_id}": "missing", "{provider}": "github"}


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def _sample(operation: Operation) -> dict[str, Any]:
    # Names of its own: what one operation counts for an account would hide what the next answers.
    number = ALL.index(operation)
    address, username = f"eve{number}@example.test", f"eve_{number}"
    samples = SAMPLES | {"identifier": address, "email": address, "login": username, "username": username}
    required = (name for name, field in operation.body.model_fields.items() if field.is_required())
    return {name: samples.get(name, "x") for name in required}


def _raw(operation: Operation) -> Iterator[tuple[str, bytes, str, int]]:
    """Yield a label, a body, its content type and the status it must get."""
    sample = _sample(operation)
    text = json.dumps(sample)
    yield "not JSON", b"this is not JSON", JSON, 400
    yield "truncated", text.encode()[:-1] + b",", JSON, 400
    yield "a list", b"[]", JSON, 400
    yield "a text", b'"x"', JSON, 400
    yield "null", b"null", JSON, 400
    yield "two documents", f"{text}{text}".encode(), JSON, 400
    yield "invalid UTF-8", b'{"x": "\xff\xfe"}', JSON, 400
    yield "UTF-16", text.encode("utf-16"), JSON, 400
    yield "raw NUL", b'{"x": "\x00"}', JSON, 400
    yield "escaped NUL", b'{"x": "\\u0000"}', JSON, 400
    yield "lone surrogate", b'{"x": "\\ud800"}', JSON, 400
    yield "duplicate members", b'{"x": 1, "x": 2}', JSON, 400
    yield "deep nesting", b'{"x":' + b"[" * 50_000, JSON, 400
    yield "NaN", b'{"x": NaN}', JSON, 400
    yield "an integer of 5000 digits", b'{"x": ' + b"9" * 5000 + b"}", JSON, 400
    yield "1 MiB", b'{"x": "' + b"a" * 1024 * 1024 + b'"}', JSON, 413
    yield "no content type", text.encode(), "", 415
    yield "wrong content type", text.encode(), "text/plain", 415
    yield "XML", b"<a/>", "application/xml", 415
    yield "multipart", b"--x--", "multipart/form-data; boundary=x", 415
    yield "another charset", text.encode(), "application/json; charset=latin-1", 415
    if not operation.oauth:
        yield "a form", b"a=b", "application/x-www-form-urlencoded", 415
        yield "an unknown member", json.dumps(sample | {"extra_member": 1}).encode(), JSON, 400
        yield "a prototype", json.dumps(sample | {"__proto__": {"x": 1}}).encode(), JSON, 400
    else:
        form = "application/x-www-form-urlencoded"
        yield "a form with a repeated name", b"grant_type=a&grant_type=b", form, 400
        yield "a form that is not UTF-8", b"grant_type=%ff", form, 400
        yield "a form with NUL", b"grant_type=%00", form, 400
        yield "a form of 5000 members", b"&".join(b"a%d=1" % n for n in range(5000)), form, 400


def _typed(operation: Operation) -> Iterator[tuple[str, bytes, str]]:
    """Yield bodies that are wrong in exactly one member, with that member's name."""
    sample = _sample(operation)
    for name, field in operation.body.model_fields.items():
        flag: list[Any] = [] if bool in {field.annotation, *get_args(field.annotation)} else [True]
        lists: list[Any] = [] if get_origin(field.annotation) is list else [[], ["x"]]
        wrong = [1, 1.5, *flag, *lists, {}, {"$ne": None}]
        nothing: list[Any] = [None] if field.is_required() and not _may_be_null(field) else []
        for value in wrong + nothing:
            yield f"{name}={value!r}", json.dumps(sample | {name: value}).encode(), name
        yield f"{name} with NUL", json.dumps(sample | {name: "a\x00b"}).encode(), name
        yield f"{name} with a lone surrogate", json.dumps(sample | {name: "a\ud800"}).encode(), name
        twice = json.dumps(sample | {name: "x"})[:-1] + f', "{name}": "y"}}'
        yield f"{name} twice", twice.encode(), name
        if field.is_required():
            rest = {other: value for other, value in sample.items() if other != name}
            yield f"{name} missing", json.dumps(rest).encode(), name


def _may_be_null(field: FieldInfo) -> bool:
    return type(None) in get_args(field.annotation)


@pytest.fixture
async def request_of(make_service, serve, sign_up, mailbox):
    provider = ProviderConfig(client_id="us", client_secret="a secret of theirs")
    native = dataclasses.replace(provider, native_client_ids=("an app of ours",))
    service = await make_service(
        org_mode="multi",
        base_url="http://127.0.0.1:8000",
        introspection_clients=dict([CLIENT]),
        solana_domains=("app.example",),
        webauthn_rp_id="app.example",
        passwordless="both",
        recovery_delay=259_200,
        webauthn_related_origins=("https://app.example.org",),
        providers={"github": provider, "discord": provider, "google": native},
    )
    async with serve(service) as api:

        async def join(name: str) -> str:
            tokens = await sign_up(api, name)
            user = await service.users.get_by_username(name)
            await service.roles.assign(user.id, "admin")
            return tokens["access_token"]

        async def inbox_of_its_own(method: str, path: str, **options: Any) -> Any:
            dev = await make_service(dev=True, email_sender=None, sms_sender=None)
            async with serve(dev) as dev_api:
                return await dev_api.request(method, path, **options)

        sender = Sender(api.request, inbox_of_its_own, join)
        await sender.begin()
        yield sender


class Sender:
    """Sends an operation with whatever is given, as a user that may call it."""

    def __init__(self, request: Request, inbox_request: Request, join: Callable[[str], Awaitable[str]]):
        self._request, self._inbox_request, self._join = request, inbox_request, join
        self._users, self._token, self._changed = 0, "", True

    async def begin(self) -> None:
        """Go on as another user if what this one has sent may have changed something."""
        if self._changed:
            self._users += 1
            self._token, self._changed = await self._join(f"hostile_{self._users}"), False

    async def __call__(self, operation: Operation, **options: Any) -> Any:
        headers = dict(options.pop("headers", {}))
        if operation.auth.takes_token:
            headers["authorization"] = f"Bearer {self._token}"
        if operation.auth is Auth.CLIENT:
            options["auth"] = CLIENT
        path = options.pop("path", None) or _path(operation, org=f"hostile-{self._users}")
        request = self._inbox_request if operation.auth is Auth.LOOPBACK else self._request
        answer = await request(operation.method, path, headers=headers, **options)
        self._changed |= answer.status_code < 400 and operation.method != "GET"
        return answer


def _path(operation: Operation, *, org: str) -> str:
    path = operation.path.replace("{org}", org)
    if "/native" in path:
        path = path.replace("{provider}", "google")  # GitHub issues no ID tokens
    for name, value in PATHS.items():
        path = path.replace(name, value)
    return re.sub(r"{\w+}", "nothing", path)


def _check(answer: Any, operation: Operation, label: str) -> dict[str, Any]:
    body = answer.json()
    where = f"{_name(operation)}, {label}: {answer.status_code} {answer.text}"
    assert 400 <= answer.status_code < 500, where
    assert body["error"] in documented_errors(operation).get(answer.status_code, ()), where
    assert body["request_id"] == answer.headers["x-request-id"], where
    assert body["error_description"].endswith("."), where
    assert set(body) <= {"error", "error_description", "param", "metadata", "request_id"}, where
    return body


def over(operations: list[Operation]) -> Callable[[Law], Law]:
    """Make a law into a test for each tag: a new user for each would take longer than most operations."""
    tags = {operation.tag: None for operation in operations}

    def made(law: Law) -> Law:
        @pytest.mark.parametrize("tag", tags)
        async def test(tag: str, request_of: Any) -> None:
            for operation in operations:
                if operation.tag == tag:
                    await request_of.begin()
                    await law(operation, request_of)

        return test

    return made


@over(ALL)
async def test_a_hostile_body_is_refused_with_the_fitting_status(operation, request_of):
    for label, raw, kind, status in _raw(operation):
        answer = await request_of(operation, content=raw, headers={"content-type": kind} if kind else {})
        body = _check(answer, operation, label)
        assert answer.status_code == status, (label, answer.text)
        assert body["error"] == {
            400: "invalid_request", 413: "payload_too_large", 415: "unsupported_media_type"
        }[status], label  # fmt: skip


async def _mebibyte():
    for _ in range(1024):
        yield b" " * 1024


@over(ALL)
async def test_a_mebibyte_without_an_announced_length_is_too_large(operation, request_of):
    answer = await request_of(operation, content=_mebibyte(), headers={"content-type": JSON})
    assert _check(answer, operation, "streamed")["error"] == "payload_too_large"


WITH_BODY = [operation for operation in ALL if operation.body is not NoBody]


@over(WITH_BODY)
async def test_a_member_of_the_wrong_type_is_named(operation, request_of):
    for label, raw, name in _typed(operation):
        answer = await request_of(operation, content=raw, headers={"content-type": JSON})
        body = _check(answer, operation, label)
        assert (body["error"], body.get("param")) == ("invalid_request", name), (label, answer.text)


ODD_TEXTS = [
    "", " ", "x" * 60_000, "é" * 20_000, "' or 1=1 --", "\u202egnp.exe", "\N{GRINNING FACE}" * 50, "\u2028",
    "\x7f",
    "../../etc/passwd", "%00", "${jndi:ldap://x}", "{{7*7}}", "a@b@c", "+", "+0000", "-1", "\r\nX: y",
]  # fmt: skip


LIMITED_BY_ITSELF = {"POST /auth/password/login"}
"""What so many odd texts lock. A limit of another operation would come from a name that both were given."""


@over(WITH_BODY)
async def test_odd_texts_never_break_anything(operation, request_of):
    sample = _sample(operation)
    for name in operation.body.model_fields:
        if name == "password":
            continue  # any text of a fitting length is a password
        for text in ODD_TEXTS:
            answer = await request_of(operation, json=sample | {name: text})
            assert answer.status_code != 429 or _name(operation) in LIMITED_BY_ITSELF, _name(operation)
            if answer.status_code >= 300:
                _check(answer, operation, f"{name}={text[:40]!r}")


@pytest.mark.parametrize(
    "session_id",
    ["%00", "%ff", "%ed%a0%80", "%2e%2e", "a" * 5000, "%F0%9F%98%80", "1;drop table", "{}", "null"],
)
async def test_an_odd_session_id_is_nobodys_session(session_id, request_of):
    (operation,) = [o for o in ALL if o.path == "/auth/user/sessions/{session_id}"]
    answer = await request_of(operation, path=f"/auth/user/sessions/{session_id}")
    assert answer.status_code == 404
    assert answer.json()["error"] in {"session_not_found", "not_found"}


@pytest.mark.parametrize("query", ["to=%00", "to=%ff", "to=a&to=b", "to=%ed%a0%80"])
async def test_an_odd_filter_of_the_inbox_is_refused(query, request_of):
    operation = inbox.routes.operations[0]
    answer = await request_of(operation, path=f"/dev/inbox?{query}")
    assert _check(answer, operation, query)["error"] == "invalid_request"


@over(ALL)
async def test_odd_headers_break_nothing(operation, request_of):
    odd = {
        "accept": "\xff;q=x, text/html;;;q=", "if-none-match": '"' * 500, "x-forwarded-for": ", ,\xff,::::",
        "user-agent": "\xff\x1b[2J" + "x" * 9000, "x-request-id": "a\tb", "accept-language": "*" * 5000,
    }  # fmt: skip
    headers = {name: value.encode("latin-1") for name, value in odd.items()}
    if operation.auth is Auth.LOOPBACK:
        del headers["x-forwarded-for"]
    if operation.method == "DELETE":
        headers["content-type"] = b"\xff"
        answer = await request_of(operation, headers=headers, content=b"x")
        assert answer.status_code == 415, _name(operation)
        return
    answer = await request_of(operation, headers=headers)
    assert answer.status_code < 500, (_name(operation), answer.text)


async def test_no_path_with_a_line_feed_behind_it_is_that_path(api):
    paths = {operation.path for operation in OPERATIONS}
    named = [re.sub(r"{\w+}", "[^/]+", path) for path in paths if path.endswith("}")]
    assert (await api.get("/readyz")).status_code == 200
    for path in sorted(paths):
        if any(re.fullmatch(pattern, path) for pattern in named):
            continue  # what is behind the last slash is an id, whatever it is
        answer = await api.get(f"{re.sub(r'{.*?}', 'x', path)}%0A")
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found"), path
