"""What a refusal costs: twice the bytes cost twice the time, and a body little more than its parsing.

Measured in CPU time of this thread, so that a busy machine changes nothing.
"""

from __future__ import annotations

import contextlib
import gc
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authkit_issuer import identifiers
from authkit_issuer.config.trusted_proxies import TrustedProxies
from authkit_issuer.errors import AuthError
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.client_address import client_facts
from authkit_issuer.http.cookies import cookies_of
from authkit_issuer.http.languages import preferred
from authkit_issuer.http.operations import NoBody, NoParams, Operation
from authkit_issuer.http.request_body import read_body, read_query
from authkit_issuer.security import siws
from authkit_verify import TokenError, bearer_token
from authkit_verify._asgi.credentials import HandshakeSources
from authkit_verify._jose.compact import read_object, split
from authkit_verify._jose.jwk import UnusableDocument, read_jwks

JSON = b"application/json"
FORM = b"application/x-www-form-urlencoded"
MARKS = "\u0323\u0301"
"""Two combining marks in the wrong order: normalization sorts a run of them by insertion."""


def _members(size: int, value: str = "0") -> list[str]:
    one = len(f'"k00000":{value},')
    return [f'"k{n:05}":{value}' for n in range(size // one)]


def _object(members: list[str]) -> bytes:
    return ("{" + ",".join(members) + "}").encode()


def _deep(size: int) -> bytes:
    return b'{"x":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}"


BODIES: dict[str, Callable[[int], bytes]] = {
    "a member repeated at the end": lambda size: _object([*_members(size), _members(size)[-1]]),
    "every member repeated": lambda size: _object(sorted(_members(size // 2) * 2)),
    "unknown members": lambda size: _object(_members(size)),
    "unknown members of one object": lambda size: b'{"output":' + _object(_members(size)) + b"}",
    "a member repeated in an object": lambda size: b'{"x":' + _object([*_members(size), '"k00000":1']) + b"}",
    "unknown members with escapes": lambda size: _object(_members(size, '"\\u00e9"')),
    "deep nesting": _deep,
    "a long list": lambda size: b'{"x":[' + b",".join([b"300"] * (size // 4)) + b"]}",
    "a list of empty objects": lambda size: b'{"x":[' + b",".join([b"{}"] * (size // 3)) + b"]}",
    "a long number": lambda size: b'{"x":' + b"1" * size + b"}",
    "many numbers": lambda size: b'{"x":[' + b",".join([b"1" * 4000] * (size // 4000)) + b"]}",
    "a text without an end": lambda size: b'{"x":"' + b"a" * size,
    "text with escapes without an end": lambda size: b'{"x":"' + b"\\u0041" * (size // 6),
}  # fmt: skip
OF_ONE_MEMBER: dict[str, Callable[[int], Any]] = {
    "a list of wrong items": lambda size: [300] * (size // 5),
    "an object of unknown members": lambda size: {f"k{n}": 0 for n in range(size // 12)},
    "combining marks": lambda size: MARKS * (size // 4),
}
FORMS: dict[str, Callable[[int], bytes]] = {
    "many parameters": lambda size: b"&".join(b"k%05d=0" % n for n in range(size // 9)),
    "a repeated parameter": lambda size: b"&".join([b"a=1"] * (size // 4)),
    "separators": lambda size: b"&" * size,
    "escapes": lambda size: b"a=" + b"%00" * (size // 3),
}

SMALL, LARGE = 30_000, 60_000
_COSTLY = ("a member repeated at the end", "unknown members")


async def _cost(run: Callable[[], Awaitable[Any]], rounds: int = 3) -> float:
    """Return the least CPU seconds of several runs."""
    best = float("inf")
    gc.disable()
    try:
        for _ in range(rounds):
            begun = time.thread_time()
            with contextlib.suppress(AuthError, TokenError, UnusableDocument):
                await run()
            best = min(best, time.thread_time() - begun)
    finally:
        gc.enable()
    return best


async def _grows_in_line(
    run_of: Callable[[int], Callable[[], Awaitable[Any]]], *, small: int = SMALL
) -> None:
    """Assert that twice the size takes less than three times as long; three tries, for a busy machine."""
    for _ in range(3):
        first, second = await _cost(run_of(small)), await _cost(run_of(2 * small))
        if second < 3 * first + 0.0005:
            return
    pytest.fail(f"{second * 1e3:.1f} ms for twice what takes {first * 1e3:.1f} ms")


def _body(operation: Operation, raw: bytes, kind: bytes = JSON) -> Callable[[], Awaitable[Any]]:
    scope = {"headers": [(b"content-type", kind), (b"content-length", b"%d" % len(raw))], "query_string": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw}

    return lambda: read_body(scope, receive, operation.body, form=operation.oauth or operation.form)


def _member(operation: Operation, name: str, value: Any) -> Callable[[], Awaitable[Any]]:
    return _body(operation, json.dumps({name: value}, ensure_ascii=False).encode())


def _different(by: Callable[[Operation], object]) -> list[Operation]:
    return list({by(operation): operation for operation in OPERATIONS}.values())


WITH_BODY = _different(lambda operation: (operation.body, operation.oauth or operation.form))
# What a body is read by before its members are known depends on three things.
OF_EACH_READER = _different(
    lambda operation: (operation.body is NoBody, operation.oauth, operation.body.model_config.get("extra"))
)


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda operation: operation.body.__name__)
async def test_the_refusal_of_a_body_grows_in_line_with_it(operation: Operation) -> None:
    for make in BODIES.values() if operation in OF_EACH_READER else ():
        await _grows_in_line(lambda size, make=make: _body(operation, make(size)))
    for name in operation.body.model_fields:
        for value in OF_ONE_MEMBER.values():
            await _grows_in_line(lambda size, name=name, value=value: _member(operation, name, value(size)))
    if operation.oauth or operation.form:
        for make in FORMS.values():
            await _grows_in_line(lambda size, make=make: _body(operation, make(size), FORM))


async def test_the_refusal_of_a_body_costs_little_more_than_its_parsing() -> None:
    async def parsed(raw: bytes) -> None:
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(raw)

    for operation in WITH_BODY:
        for label, raw in ((label, BODIES[label](LARGE)) for label in _COSTLY):
            limit = 6 * await _cost(lambda raw=raw: parsed(raw)) + 0.003
            cost = await _cost(_body(operation, raw))
            assert cost < limit, f"{operation.path}, {label}: {cost * 1e3:.1f} ms"


def _query(operation: Operation) -> Callable[[bytes], Any]:
    return lambda raw: read_query({"query_string": raw}, operation.params)


@pytest.mark.parametrize(
    "operation",
    [found for found in _different(lambda operation: operation.params) if found.params is not NoParams],
    ids=lambda operation: operation.params.__name__,
)
async def test_the_refusal_of_a_query_grows_in_line_with_it(operation: Operation) -> None:
    for make in FORMS.values():
        await _grows_in_line(_reading(_query(operation), make), small=15_000)


def _reading(read: Callable[[bytes], Any], make: Callable[[int], bytes]) -> Callable[[int], Any]:
    """Return what runs a reader that is no coroutine over bytes of a size."""

    def of(size: int) -> Callable[[], Awaitable[Any]]:
        raw = make(size)

        async def run() -> None:
            read(raw)

        return run

    return of


def _header(name: bytes) -> Callable[[bytes], Any]:
    trusted = TrustedProxies(["10.0.0.0/8"])
    return lambda raw: client_facts({"headers": [(name, raw)], "client": ("10.0.0.1", 1)}, trusted)


def _handshake(raw: bytes) -> Any:
    sources = HandshakeSources(query="access_token", subprotocol="bearer")
    offered = raw.decode("latin-1").split(",")
    return sources.token({"headers": [], "query_string": raw, "subprotocols": offered})


def _address(raw: bytes) -> Any:
    return identifiers.email(raw.decode())


def _phone(raw: bytes) -> Any:
    return identifiers.phone(raw.decode())


_SIWS = b"a.test wants you to sign in with your Solana account:\n" + b"1" * 32 + b"\n"
READERS: dict[str, tuple[Callable[[bytes], Any], Callable[[int], bytes]]] = {
    "cookies": (lambda raw: cookies_of([(b"cookie", raw)]), lambda size: b"a=b;" * (size // 4)),
    "cookies of one character": (lambda raw: cookies_of([(b"cookie", raw)]), lambda size: b";" * size),
    "hops": (_header(b"x-forwarded-for"), lambda size: b"10.0.0.1," * (size // 9)),
    "commas": (_header(b"x-forwarded-for"), lambda size: b"," * size),
    "languages": (lambda raw: preferred(raw.decode(), ("en", "de")), lambda size: b"de;q=0.1," * (size // 9)),
    "misplaced credentials": (bearer_token, lambda size: b"Basic x" + b", " * (size // 2)),
    "blanks before a credential": (bearer_token, lambda size: b"Basic x," + b" " * size),
    "subprotocols": (_handshake, lambda size: b"bearer,a," * (size // 9)),
    "parameters of a handshake": (_handshake, lambda size: b"access_token=a&" * (size // 15)),
    "dots of a token": (lambda raw: split(raw.decode()), lambda size: b"." * size),
    "braces of a token": (read_object, lambda size: b"{" * size),
    "quotes of a token": (read_object, lambda size: b"{" * 64 + b'"' + b'\\"' * (size // 2)),
    "members of a token": (read_object, lambda size: _object([*_members(size), '"k00000":1'])),
    "blanks of a token": (read_object, lambda size: b" " * size),
    "a number of a token": (read_object, lambda size: b'{"x":' + b"1" * size + b"}"),
    "keys without members": (read_jwks, lambda size: b'{"keys":[' + b",".join([b"{}"] * (size // 3)) + b"]}"),
    "a wallet's lines": (siws.parse_message, lambda size: _SIWS + b"\nURI: a" * (size // 7)),
    "a wallet's resources": (
        siws.parse_message,
        lambda size: _SIWS + b"\nResources:" + b"\n- a" * (size // 4),
    ),
    "a wallet's key": (
        siws.parse_message,
        lambda size: _SIWS.replace(b"1" * 32, b"z" * size),
    ),
    "a wallet's domain": (siws.parse_message, lambda size: b"a." * (size // 2) + _SIWS),
    "dots of an address": (_address, lambda size: b"a." * (size // 2) + b"@"),
    "blanks of an address": (_address, lambda size: b" ,;" * (size // 3) + b"a"),
    "a host": (_address, lambda size: b"a@" + b"b." * (size // 2)),
    "combining marks of a host": (_address, lambda size: b"a@" + (MARKS * (size // 4)).encode()),
    "a phone number": (_phone, lambda size: b"+1" + b" 1" * (size // 2)),
    "a phone number of digits": (_phone, lambda size: b"+1" + b"1" * size),
}  # fmt: skip


@pytest.mark.parametrize("label", READERS)
async def test_the_refusal_of_what_a_caller_sends_grows_in_line_with_it(label: str) -> None:
    read, make = READERS[label]
    await _grows_in_line(_reading(read, make), small=8_000)
