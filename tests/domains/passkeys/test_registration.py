"""Adding passkeys."""

from __future__ import annotations

import asyncio
import dataclasses

import cbor2
import pytest

from authkit_issuer import errors
from authkit_issuer.domains.passkeys.authenticators import AUTHENTICATORS
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes import passkeys
from fakes.factors import EMAIL, events, new_user
from fakes.passkeys import BE, BS, PRESENT, UP, UV, Authenticator, add_passkey, b64, unb64
from fakes.users import finish_background


async def test_the_options_ask_for_a_discoverable_credential_that_verifies_its_user(service, user_id):
    options = await service.passkeys.begin_registration(user_id)
    assert options["authenticatorSelection"] == {
        "residentKey": "required", "requireResidentKey": True, "userVerification": "required",
    }  # fmt: skip
    assert (options["attestation"], options["excludeCredentials"]) == ("none", [])
    assert [entry["alg"] for entry in options["pubKeyCredParams"]] == [-8, -7, -257]
    assert options["rp"] == {"id": passkeys.RP_ID, "name": "issuer.example.test"}
    assert len(unb64(options["challenge"])) == 32
    user = options["user"]
    assert (user["name"], user["displayName"], len(unb64(user["id"]))) == (EMAIL, "ada_user", 64)
    again = await service.passkeys.begin_registration(user_id)
    assert again["user"] == user
    assert again["challenge"] != options["challenge"]


async def test_the_handle_of_a_user_says_nothing_of_the_account(service, user_id):
    first, second = [
        (await service.passkeys.begin_registration(who))["user"]["id"]
        for who in (user_id, await new_user(service, "bob@example.test"))
    ]
    assert first != second
    assert user_id.replace("-", "") not in unb64(first).hex()


@pytest.mark.parametrize("algorithm", [-8, -7, -257])
async def test_a_passkey_of_every_algorithm_is_added_and_signs_in(service, user_id, algorithm):
    authenticator = Authenticator(algorithm=algorithm)
    added = await add_passkey(service, user_id, authenticator)
    assert added.credential_id == authenticator.credentials[0].id
    pair = await service.passkey_logins.finish_login(
        authenticator.get(await service.passkey_logins.begin_login())
    )
    assert pair.user_id == user_id


async def test_a_passkey_is_listed_with_what_the_signal_methods_take(service, user_id, authenticator):
    empty = await service.passkeys.accepted_for_user(user_id)
    assert (empty.user_handle, empty.passkeys, empty.accepted) == (None, [], [])
    authenticator.flags = PRESENT | BE | BS
    added = await add_passkey(service, user_id, authenticator)
    found = await service.passkeys.accepted_for_user(user_id)
    assert found.passkeys == [added] == await service.passkeys.list_for_user(user_id)
    assert (found.rp_id, found.name, found.display_name) == (passkeys.RP_ID, EMAIL, "ada_user")
    assert (found.user_handle, found.accepted) == (authenticator.credentials[0].handle, [added.credential_id])
    assert (added.backup_eligible, added.backed_up) == (True, True)
    assert added.transports == ["hybrid", "internal"]
    assert (added.last_used_at, added.suspended, added.frozen) == (None, False, False)
    excluded = (await service.passkeys.begin_registration(user_id))["excludeCredentials"]
    assert excluded == [
        {"type": "public-key", "id": b64(added.credential_id), "transports": ["hybrid", "internal"]}
    ]


async def test_a_passkey_is_called_by_its_user_its_authenticator_or_the_day(service, user_id, clock):
    known, name = next((key, value) for key, value in AUTHENTICATORS.items() if value == "1Password")
    vault = Authenticator(aaguid=bytes.fromhex(known.replace("-", "")))
    assert (await add_passkey(service, user_id, vault)).name == name
    assert (await add_passkey(service, user_id, Authenticator())).name.startswith("Passkey 20")
    named = await add_passkey(service, user_id, Authenticator(), name="  My phone ")
    assert named.name == "My phone"
    assert (await service.passkeys.rename(user_id, named.id, "Grün 🔑")).name == "Grün 🔑"
    with pytest.raises(errors.PasskeyNotFound):
        await service.passkeys.rename(await new_user(service, "bob@example.test"), named.id, "Mine")


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\nb", "a\u202eb", "\x00", "\ud800"])
async def test_a_name_that_cannot_be_shown_is_refused(service, user_id, authenticator, name):
    added = await add_passkey(service, user_id, authenticator)
    with pytest.raises(errors.InvalidPasskeyName):
        await service.passkeys.rename(user_id, added.id, name)
    with pytest.raises(errors.InvalidPasskeyName):
        await add_passkey(service, user_id, Authenticator(), name=name)


async def test_adding_leaves_an_event_and_a_notice(service, user_id, authenticator, mailbox):
    added = await add_passkey(service, user_id, authenticator, client=Client(ip="192.0.2.9"))
    (event,) = await events(service, "passkey_added")
    assert (event["user_id"], event["target"], event["actor"]) == (user_id, added.id, None)
    await finish_background(service)
    assert mailbox.last(EMAIL).kind == "passkey_added"


@pytest.mark.parametrize(
    ("setting", "asked", "ends"), [(True, None, True), (False, True, True), (True, False, False)]
)
async def test_adding_ends_the_other_sessions_if_that_is_wished_for(
    make_service, authenticator, setting, asked, ends
):
    service = await make_service(**passkeys.SETTINGS, factor_change_ends_sessions=setting)
    user_id = await new_user(service)
    kept, other = [(await service.sessions.issue(user_id)).session_id for _ in range(2)]
    await add_passkey(service, user_id, authenticator, keep_session_id=kept, end_other_sessions=asked)
    live = {session.id for session in await service.sessions.list_for_user(user_id)}
    assert live == ({kept} if ends else {kept, other})


async def test_a_challenge_is_good_for_one_response_of_its_user_within_five_minutes(service, user_id, clock):
    bob = await new_user(service, "bob@example.test")
    for spoil in ("used", "other", "late", "login"):
        options = await service.passkeys.begin_registration(user_id)
        response = Authenticator().create(options)
        who = user_id
        if spoil == "used":
            await service.passkeys.finish_registration(user_id, response)
        elif spoil == "other":
            who = bob
        elif spoil == "late":
            clock.advance(301)
        else:
            options |= {"challenge": (await service.passkey_logins.begin_login())["challenge"]}
            response = Authenticator().create(options)
        with pytest.raises(errors.PasskeyChallengeExpired):
            await service.passkeys.finish_registration(who, response)
    assert len(await service.passkeys.list_for_user(user_id)) == 1
    assert await service.passkeys.list_for_user(bob) == []


async def test_a_challenge_ends_with_a_change_of_the_account(service, user_id, authenticator):
    options = await service.passkeys.begin_registration(user_id)
    await service.sessions.revoke_all(user_id)
    with pytest.raises(errors.PasskeyChallengeExpired):
        await service.passkeys.finish_registration(user_id, authenticator.create(options))


async def test_fifty_responses_to_one_challenge_add_one_passkey(service, user_id):
    options = await service.passkeys.begin_registration(user_id)
    responses = [Authenticator().create(options) for _ in range(50)]
    answers = await asyncio.gather(
        *(service.passkeys.finish_registration(user_id, response) for response in responses),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, Exception) for answer in answers) == 1
    assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {
        errors.PasskeyChallengeExpired
    }
    assert len(await service.passkeys.list_for_user(user_id)) == 1


async def test_a_user_has_a_limited_number_of_passkeys_parallel_ones_included(make_service):
    service: Service = await make_service(**passkeys.SETTINGS, passkeys_max_per_user=3)
    user_id = await new_user(service)
    options = [await service.passkeys.begin_registration(user_id) for _ in range(8)]
    answers = await asyncio.gather(
        *(service.passkeys.finish_registration(user_id, Authenticator().create(given)) for given in options),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert {type(answer) for answer in refused} == {errors.PasskeyLimitExceeded}
    assert len(refused) == 5
    with pytest.raises(errors.PasskeyLimitExceeded):
        await service.passkeys.begin_registration(user_id)


async def test_a_credential_belongs_to_one_account(service, user_id, authenticator):
    await add_passkey(service, user_id, authenticator)
    stolen = dataclasses.replace(authenticator.credentials[0])
    for who in (user_id, await new_user(service, "bob@example.test")):
        options = await service.passkeys.begin_registration(who)
        with pytest.raises(errors.PasskeyAlreadyRegistered):
            await service.passkeys.finish_registration(who, authenticator.create(options, credential=stolen))


@pytest.mark.parametrize(
    "lies",
    [
        {"flags": UP},
        {"flags": UV},
        {"flags": 0},
        {"flags": PRESENT | BS},
        {"rp_id": "evil.test"},
        {"client": {"type": "webauthn.get"}},
        {"client": {"origin": "https://app.example.test.evil.test"}},
        {"client": {"origin": "http://app.example.test"}},
        {"client": {"origin": "https://example.test"}},
        {"client": {"origin": "https://app.example.test:8443"}},
        {"client": {"crossOrigin": True}},
        {"client": {"crossOrigin": True, "topOrigin": "https://evil.test"}},
        {"client": {"topOrigin": passkeys.ORIGIN}},
        {"client": {"crossOrigin": "yes"}},
        {"client_data": b"{}"},
        {"client_data": b"\xff\xfe"},
        {"client_data": b"[" * 4000},
        {"attestation": b""},
        {"attestation": b"\xa0"},
        {"attestation": cbor2.dumps([1, 2])},
        {"statement": {"fmt": "none", "attStmt": {"sig": b"x"}}},
        {"statement": {"fmt": "packed", "attStmt": {"alg": -7, "sig": b"nonsense"}}},
        {"statement": {"fmt": "tpm", "attStmt": {}}},
        {"statement": {"fmt": "android-safetynet", "attStmt": {"ver": "1", "response": b"x.y.z"}}},
        {"named": b"another credential id!"},
        {"named": b""},
        {"extensions": b"\x00"},
        {"public_key": b""},
        {"public_key": b"\x04" + bytes(64)},
        {"cose": {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)}},
        {"cose": {1: 2, 3: -7}},
        {"cose": {1: 1, 3: -8, -1: 6, -2: b"short"}},
        {"cose": {1: 3, 3: -257, -1: b"\xc1" + bytes(126) + b"\x01", -2: b"\x01\x00\x01"}},
        {"cose": {1: 3, 3: -257, -1: b"\xc1" + bytes(254) + b"\x01", -2: b"\x03"}},
        {"cose": {1: 3, 3: -257, -1: b"\xc1" + bytes(8000) + b"\x01", -2: b"\x01\x00\x01"}},
        {"cose": {1: 3, 3: -65535, -1: b"\xc1" + bytes(254) + b"\x01", -2: b"\x01\x00\x01"}},
        {"envelope": {"rawId": "AAAA"}},
        {"envelope": {"type": "password"}},
        {"envelope": {"id": "a b", "rawId": "a b"}},
    ],
    ids=str,
)
async def test_a_response_with_one_lie_adds_nothing(service, user_id, authenticator, lies):
    options = await service.passkeys.begin_registration(user_id)
    with pytest.raises((errors.PasskeyInvalid, errors.PasskeyChallengeExpired)):
        await service.passkeys.finish_registration(user_id, authenticator.create(options, **lies))
    assert await service.passkeys.list_for_user(user_id) == []


async def test_short_and_long_credential_ids_are_refused(service, user_id):
    for length, accepted in ((15, False), (16, True), (1023, True), (1024, False)):
        made = passkeys.Credential(id=bytes([length % 251]) * length, key=passkeys.new_key(), handle=b"")
        options = await service.passkeys.begin_registration(user_id)
        response = Authenticator().create(options, credential=made)
        if accepted:
            await service.passkeys.finish_registration(user_id, response)
        else:
            with pytest.raises(errors.PasskeyInvalid):
                await service.passkeys.finish_registration(user_id, response)


async def test_a_key_of_another_curve_is_refused(service, user_id, authenticator):
    from cryptography.hazmat.primitives.asymmetric import ec

    numbers = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    cose = {1: 2, 3: -7, -1: 2, -2: numbers.x.to_bytes(48, "big"), -3: numbers.y.to_bytes(48, "big")}
    options = await service.passkeys.begin_registration(user_id)
    with pytest.raises(errors.PasskeyInvalid):
        await service.passkeys.finish_registration(user_id, authenticator.create(options, cose=cose))


async def test_a_conditional_registration_needs_no_gesture_and_verifies_the_user(service, user_id):
    for conditional, flags, accepted in ((True, UV, True), (True, UP, False), (False, UV, False)):
        options = await service.passkeys.begin_registration(user_id, conditional=conditional)
        response = Authenticator(flags=flags).create(options)
        if accepted:
            await service.passkeys.finish_registration(user_id, response)
        else:
            with pytest.raises(errors.PasskeyInvalid):
                await service.passkeys.finish_registration(user_id, response)


async def test_a_frame_on_an_accepted_page_may_add_a_passkey(service, user_id, authenticator):
    options = await service.passkeys.begin_registration(user_id)
    framed = {"crossOrigin": True, "topOrigin": passkeys.ORIGIN}
    response = authenticator.create(options, client=framed)
    assert await service.passkeys.finish_registration(user_id, response)


async def test_an_outage_leaves_the_challenge_to_the_next_try(service, user_id, authenticator, monkeypatch):
    from authkit_issuer.runtime import Runtime

    options = await service.passkeys.begin_registration(user_id)
    response = authenticator.create(options)

    def down(self):
        raise errors.DatabaseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(Runtime, "transaction", down)
        with pytest.raises(errors.DatabaseUnavailable):
            await service.passkeys.finish_registration(user_id, response)
    assert await service.passkeys.finish_registration(user_id, response)


async def test_without_the_setting_there_are_no_passkeys(make_service):
    service = await make_service()
    user_id = await new_user(service)
    with pytest.raises(errors.PasskeysNotConfigured):
        await service.passkeys.begin_registration(user_id)
    with pytest.raises(errors.PasskeysNotConfigured):
        await service.passkey_logins.begin_login()
    assert await service.passkeys.list_for_user(user_id) == []
