"""``service.verifier()``: what an application that contains the service verifies tokens with."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from authkit_issuer.security import key_file, key_rotation
from authkit_issuer.security.key_sources import FileKeys
from authkit_verify import AuthMiddleware, TokenError, Verifier


@pytest.fixture
def keys(tmp_path: Path, clock) -> FileKeys:
    path = tmp_path / "keys.json"
    key_file.create(path, key_file.generate("ES256", os.urandom))
    return FileKeys(path, access_life=900.0, clock=clock)


async def test_tokens_of_the_service_are_verified_without_any_request(service, monkeypatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a request")

    monkeypatch.setattr(httpx.AsyncClient, "send", refuse)
    async with service.verifier() as verifier:
        assert isinstance(verifier, Verifier)
        user = await service.users.create("ada@example.test", "ada_l")
        issued = await service.tokens.issue_access(user.id)
        assert (await verifier.verify(issued.token)).user_id == user.id
        with pytest.raises(TokenError, match="invalid_token"):
            await verifier.verify(issued.token[:-4] + "AAAA")


async def test_an_issuer_that_is_no_url_is_verified_too(make_service) -> None:
    service = await make_service(issuer="urn:my-service")
    user = await service.users.create("ada@example.test", "ada_l")
    issued = await service.tokens.issue_access(user.id)
    assert (await service.verifier().verify(issued.token)).user_id == user.id


async def test_only_the_chosen_audiences_are_accepted(service) -> None:
    user = await service.users.create("ada@example.test", "ada_l")
    issued = await service.tokens.issue_access(user.id)
    with pytest.raises(TokenError, match="bad_audience"):
        await service.verifier(audiences=["another"]).verify(issued.token)


async def test_a_key_that_begins_to_sign_is_known_at_once(make_service, keys, tmp_path, clock) -> None:
    service = await make_service(keys=keys)
    verifier = service.verifier()
    user = await service.users.create("ada@example.test", "ada_l")
    await verifier.verify((await service.tokens.issue_access(user.id)).token)
    path = tmp_path / "keys.json"
    new = await asyncio.to_thread(
        key_rotation.rotate, path, alg="EdDSA", now=clock(), access_life=900.0, at_once=True
    )
    await keys.refresh()
    issued = await service.tokens.issue_access(user.id)
    assert (await verifier.verify(issued.token)).user_id == user.id
    assert new in verifier.health()["issuers"][service.config.issuer]["kids"]


async def test_a_key_that_left_the_set_verifies_no_longer(make_service, keys, tmp_path, clock) -> None:
    service = await make_service(keys=keys)
    verifier = service.verifier()
    user = await service.users.create("ada@example.test", "ada_l")
    issued = await service.tokens.issue_access(user.id)
    await verifier.verify(issued.token)
    other = key_file.generate("ES256", os.urandom)
    await asyncio.to_thread(key_file.replace, tmp_path / "keys.json", other)
    await keys.refresh()
    clock.advance(service.config.key_reload_interval + 1)
    with pytest.raises(TokenError, match="unknown_kid"):
        await verifier.verify(issued.token)


async def test_a_middleware_of_the_host_takes_it(service) -> None:
    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["state"]["authkit"].user_id.encode()})

    guarded = AuthMiddleware(app, verifier=service.verifier(), enrichment=service.enrichment())
    ada, bob = [await service.users.create(f"{name}@example.test", name) for name in ("ada_l", "bob_m")]
    sent = [
        {"authorization": f"Bearer {(await service.tokens.issue_access(user.id)).token}"}
        for user in (ada, bob)
    ]
    await service.lifecycle.ban(bob.id)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=guarded), base_url="http://host.test"
    ) as client:
        assert (await client.get("/", headers=sent[0])).text == ada.id
        assert (await client.get("/", headers=sent[1])).status_code == 401
