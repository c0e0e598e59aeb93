"""Responses that no authenticator has made: each is refused, and none is an error of the service."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import cbor2
import pytest

from authkit_issuer import errors
from authkit_issuer.domains.passkeys.records import Challenges, Purpose
from authkit_issuer.security import webauthn_responses
from authkit_issuer.service import Service
from authkit_issuer.store.query import Query
from fakes import passkeys
from fakes.factors import new_user
from fakes.passkeys import ED, PRESENT, Authenticator, Credential, add_passkey, b64, new_key, unb64

REFUSED = (errors.PasskeyInvalid, errors.PasskeyChallengeExpired)


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Return other bytes: some are flipped, cut, doubled, put in or taken out."""
    found = bytearray(raw)
    while bytes(found) == raw:
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(found) + 1)
            kind = chance.randrange(5)
            if kind == 0 and place < len(found):
                found[place] ^= 1 << chance.randrange(8)
            elif kind == 1:
                del found[place:]
            elif kind == 2:
                found[place:place] = chance.randbytes(chance.randint(1, 8))
            elif kind == 3:
                del found[place : place + chance.randint(1, 8)]
            else:
                found[place:place] = found[place : place + 16]
    return bytes(found)


def lies(response: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Return the response with one member that is wrong."""
    inner = response["response"]
    members = sorted(set(inner) - {"transports"})
    name = chance.choice([*members, *members, *members, "id", "shape"])
    if name == "shape":
        wrong = chance.choice([None, 5, [], {}, "", "!", "a" * chance.randrange(2000), {"x": "y"}])
        place = chance.choice(["response", "id", "rawId", "type", *members])
        if place in inner:
            # An authenticator may leave the user handle out, and then means the same.
            return {**response, "response": {**inner, place: wrong}}
        return {**response, place: wrong}
    if name == "id":
        text = b64(mutated(unb64(response["id"]), chance))
        return {**response, "id": text, "rawId": text}
    return {**response, "response": {**inner, name: b64(mutated(unb64(inner[name]), chance))}}


async def options(service: Service, purpose: Purpose, user_id: str = "") -> dict[str, Any]:
    """Return new options as cheaply as thousands of them have to be."""
    challenge = b64(await Challenges(service.rt).issue(purpose, user_id=user_id))
    return {"challenge": challenge, "rpId": passkeys.RP_ID, "allowCredentials": []}


async def test_no_mutation_of_an_assertion_signs_in(service, user_id, rounds: Callable[[int], int]):
    chance, made = random.Random(1), [Authenticator(algorithm=number) for number in (-8, -7, -257)]
    for authenticator in made:
        await add_passkey(service, user_id, authenticator)
    for number in range(rounds(10_000)):
        response = made[number % 3].get(await options(service, "login"))
        wrong = lies(response, chance)
        with pytest.raises(REFUSED):
            await service.passkey_logins.finish_login(wrong)
    assert await service.sessions.list_for_user(user_id) == []
    for authenticator in made:
        assert await service.passkey_logins.finish_login(authenticator.get(await options(service, "login")))


async def test_no_mutation_of_a_signed_registration_is_stored(service, user_id, rounds: Callable[[int], int]):
    """Self attestation signs all of a registration, so that every mutation must be refused."""
    chance, handle = random.Random(2), bytes(64)
    epoch = await service.rt.one(EPOCH, user_id)
    for number in range(rounds(10_000)):
        credential = Credential(id=chance.randbytes(32), key=KEYS[number % len(KEYS)], handle=handle)
        challenge = await Challenges(service.rt).issue("register", user_id=user_id, auth_epoch=epoch)
        response = self_attested(credential, b64(challenge))
        wrong = lies(response, chance)
        with pytest.raises(REFUSED):
            await service.passkeys.finish_registration(user_id, wrong)
    assert await service.passkeys.list_for_user(user_id) == []
    challenge = await Challenges(service.rt).issue("register", user_id=user_id, auth_epoch=epoch)
    assert await service.passkeys.finish_registration(user_id, self_attested(credential, b64(challenge)))


EPOCH = Query(int, "select auth_epoch from profiles.users where id = $1::uuid")
KEYS = [new_key(-8), new_key(-7)]


def self_attested(credential: Credential, challenge: str) -> dict[str, Any]:
    """Return a registration that the new key itself has signed."""
    asked = {"challenge": challenge, "rp": {"id": passkeys.RP_ID}, "user": {"id": b64(credential.handle)}}
    plain = Authenticator().create(asked, credential=credential)
    data = cbor2.loads(unb64(plain["response"]["attestationObject"]))["authData"]
    client_data = unb64(plain["response"]["clientDataJSON"])
    signature = credential.sign(data + hashlib.sha256(client_data).digest())
    statement = {"alg": credential.cose()[3], "sig": signature}
    whole = cbor2.dumps({"fmt": "packed", "attStmt": statement, "authData": data})
    return {**plain, "response": {**plain["response"], "attestationObject": b64(whole)}}


def bombs() -> Iterator[bytes]:
    """Yield CBOR that is small and means to be large, deep or slow."""
    yield b"\x81" * 900 + b"\x00"
    yield b"\xc2" * 900
    yield b"\x9b" + b"\xff" * 8
    yield b"\x5b" + b"\xff" * 8
    yield b"\xbb\x00\x00\x00\x00\x10\x00\x00\x00"
    yield b"\xd8\x23\x78\x40" + b"(a+)+" * 12 + b"(a*)*"[:4]
    yield b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01"
    yield b"\xc5\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01"
    yield b"\xd8\x1c\x81\xd8\x1d\x00"
    yield b"\x9f" * 500
    yield b"\xf9\x7e\x00"
    yield b"\xa1\xa1\x00\x00\x00"


@pytest.mark.parametrize("bomb", list(bombs()), ids=lambda raw: raw[:6].hex())
async def test_hostile_cbor_is_refused_at_once(service, user_id, authenticator, bomb):
    await add_passkey(service, user_id, authenticator)
    flags, other = PRESENT | ED, new_key()
    before = time.thread_time()
    # The signature is another key's: extension data is read before it is checked.
    stolen = Credential(
        id=authenticator.credentials[0].id, key=other, handle=authenticator.credentials[0].handle
    )
    response = authenticator.get(
        await options(service, "login"), credential=stolen, flags=flags, extensions=bomb
    )
    with pytest.raises(errors.PasskeyInvalid):
        await service.passkey_logins.finish_login(response)
    for place in ("public_key", "attestation"):
        asked = await service.passkeys.begin_registration(user_id)
        with pytest.raises(errors.PasskeyInvalid):
            await service.passkeys.finish_registration(
                user_id, Authenticator().create(asked, **{place: bomb})
            )
    assert time.thread_time() - before < 0.5


async def test_a_truncated_response_is_refused_at_every_length(service, user_id, authenticator):
    await add_passkey(service, user_id, authenticator)
    whole = authenticator.get(await options(service, "login"))
    length = len(unb64(whole["response"]["authenticatorData"]))
    for size in range(length):
        response = authenticator.get(await options(service, "login"))
        cut = unb64(response["response"]["authenticatorData"])[:size]
        response["response"]["authenticatorData"] = b64(cut)
        with pytest.raises(errors.PasskeyInvalid):
            await service.passkey_logins.finish_login(response)


async def test_a_truncated_attestation_is_refused_at_every_length(service, user_id):
    asked = await service.passkeys.begin_registration(user_id)
    length = len(unb64(Authenticator().create(asked)["response"]["attestationObject"]))
    for size in range(length):
        challenge = await Challenges(service.rt).issue("register", user_id=user_id)
        response = Authenticator().create({**asked, "challenge": b64(challenge)})
        cut = unb64(response["response"]["attestationObject"])[:size]
        response["response"]["attestationObject"] = b64(cut)
        with pytest.raises(errors.PasskeyInvalid):
            await service.passkeys.finish_registration(user_id, response)


async def test_no_decoder_reads_a_tag(service: Service, monkeypatch) -> None:
    """A regular expression of a kilobyte takes half a second to build, before any signature is checked."""

    def reached(**_: object) -> None:
        pytest.fail("a decoder got what a client tagged")

    user_id, authenticator = await new_user(service), Authenticator()
    await add_passkey(service, user_id, authenticator)
    expression = cbor2.dumps({"a": cbor2.CBORTag(35, "(?i)" + "[^a-\u1e9e]" * 100)})
    monkeypatch.setattr(webauthn_responses, "verify_authentication_response", reached)
    monkeypatch.setattr(webauthn_responses, "verify_registration_response", reached)
    nobodys = Credential(id=bytes(32), key=new_key(), handle=bytes(64))
    for credential, refusal in ((None, errors.PasskeyInvalid), (nobodys, errors.PasskeyUnknown)):
        options = await service.passkey_logins.begin_login()
        response = authenticator.get(
            options, credential=credential, flags=PRESENT | ED, extensions=expression
        )
        with pytest.raises(refusal):
            await service.passkey_logins.finish_login(response)
    for lie in (
        {"attestation": expression},
        {"flags": PRESENT | ED, "extensions": expression},
        {"public_key": expression},
        {"statement": {"fmt": "none", "attStmt": cbor2.CBORTag(35, "a")}},
    ):
        options = await service.passkeys.begin_registration(user_id)
        with pytest.raises(errors.PasskeyInvalid):
            await service.passkeys.finish_registration(user_id, authenticator.create(options, **lie))
