"""What another program wrote below our keys is a failure of the store: 503, not "absent" and no defect."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from authkit_issuer.domains.base import stored_values
from authkit_issuer.domains.codes.one_time import OneTimeCodes
from authkit_issuer.domains.credentials.login_attempts import LoginAttempts
from authkit_issuer.domains.login.external.flow_store import FlowStore
from authkit_issuer.domains.login.solana.records import StoredChallenges
from authkit_issuer.domains.passkeys.records import Challenges
from authkit_issuer.ephemeral.memory import MemoryStore
from authkit_issuer.errors import EphemeralStoreUnavailable
from authkit_issuer.http import create_app
from authkit_issuer.runtime import Runtime
from authkit_issuer.service import Service
from fakes.repository import sources

SECRET = "s" * 43
READS: dict[str, Callable[[Service, Runtime], Awaitable[Any]]] = {
    "count": lambda _, rt: LoginAttempts(rt, "tries", "ada").retry_after(),
    "lock": lambda _, rt: LoginAttempts(rt, "tries", "ada").check(),
    "link": lambda _, rt: OneTimeCodes(rt).find_link("email_verify", SECRET),
    "passkey": lambda _, rt: Challenges(rt).take(bytes(32)),
    "wallet": lambda _, rt: StoredChallenges(rt.ephemeral, rt.clock).consume("a" * 16),
    "wallet, before": lambda _, rt: StoredChallenges(rt.ephemeral, rt.clock).get("a" * 16),
    "provider": lambda _, rt: FlowStore(rt).take_pending("google", SECRET, {}),
    "provider, verified": lambda _, rt: FlowStore(rt).take_verified(SECRET, {}),
    "provider, native": lambda _, rt: FlowStore(rt).take_native("google", SECRET),
    "passwordless": lambda service, _: service.passwordless.start("ada@example.test"),
    "registration": lambda service, _: service.registration.get_pending_by_email("ada@example.test"),
}


class ForeignStore(MemoryStore):
    """Every key that is read holds the value of another program."""

    value = b""

    async def get(self, key: str) -> bytes | None:
        return self.value

    async def take(self, key: str) -> bytes | None:
        return self.value


@pytest.fixture
async def foreign(make_service: Callable[..., Awaitable[Service]], clock: Any) -> Service:
    service = await make_service(ephemeral_store=ForeignStore(clock), passwordless="code")
    await service.users.add(email="ada@example.test", username="ada_l", verified=True)
    return service


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\x00[", b"na\xefve"])
@pytest.mark.parametrize("read", READS)
async def test_a_value_of_another_program_is_a_failure_of_the_store(
    foreign: Service, monkeypatch: pytest.MonkeyPatch, read: str, value: bytes
) -> None:
    monkeypatch.setattr(ForeignStore, "value", value)
    with pytest.raises(EphemeralStoreUnavailable) as refused:
        await READS[read](foreign, foreign.rt)
    assert "another program wrote to it" in refused.value.reason
    assert refused.value.__cause__ is None  # whose text quotes the value


@pytest.mark.parametrize("value", [b"nan", b"inf", b"", b"1e999"])
def test_a_time_is_a_number_that_comes(value: bytes) -> None:
    with pytest.raises(EphemeralStoreUnavailable):
        stored_values.moment(value)


async def test_a_request_is_503_with_one_line_that_says_why_and_quotes_nothing(
    foreign: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ForeignStore, "value", b"sesame \xff")
    transport = httpx.ASGITransport(app=create_app(foreign), client=("203.0.113.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://id.test") as api:
        with caplog.at_level(logging.WARNING, "authkit.http"):
            body = {"identifier": "ada@example.test", "password": "a good long password"}
            answer = await api.post("/auth/password/login", json=body)
    assert (answer.status_code, answer.json()["error"]) == (503, "ephemeral_store_unavailable")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "authkit.http"]
    assert "another program wrote to it" in line
    assert "ValueError" in line
    assert "sesame" not in line


def test_no_domain_reads_a_stored_value_by_itself() -> None:
    where = inspect.getfile(stored_values)
    for path in sources("authkit_issuer/domains"):
        for line in path.read_text().splitlines():
            if str(path) != where and ("ephemeral.get(" in line or "ephemeral.take(" in line):
                assert ".decode(" not in line, f"{path}: {line}"
                assert not {"int(await", "float(await"} & set(line.split()), f"{path}: {line}"
