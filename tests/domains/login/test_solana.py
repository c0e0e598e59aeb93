"""Wallets: a challenge takes one answer, of the wallet it was made for, on a configured domain."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import pytest

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.domains.login.solana.service import ChallengeData
from authkit_issuer.ports import Client
from authkit_issuer.security.siws import SignInInput, SignInOutput, build_message
from authkit_issuer.service import Service
from fakes.factors import EMAIL, events, with_email_factor
from fakes.mail import Mailbox
from fakes.wallets import Wallet, long_envelope

DOMAIN = "app.example.test"
CLIENT = Client(ip="192.0.2.7", user_agent="Wallet")


@pytest.fixture
async def solana(make_service) -> Service:
    return await make_service(solana_domains=(DOMAIN,), base_url="https://app.example.test/")


async def answer(service: Service, wallet: Wallet, username: str | None = None) -> SignInOutput:
    return wallet.sign(await service.solana.generate_challenge(DOMAIN, wallet.address, username))


def claims(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


async def test_a_challenge_says_what_it_is_for(solana: Service, clock) -> None:
    wallet = Wallet()
    challenge = await solana.solana.generate_challenge(f" {DOMAIN.upper()} ", wallet.address)
    assert challenge.to_json().keys() == {
        "domain", "address", "uri", "version", "chainId", "nonce", "issuedAt", "expirationTime",
    }  # fmt: skip
    assert (challenge.domain, challenge.address, challenge.uri) == (
        DOMAIN,
        wallet.address,
        "https://app.example.test/",
    )
    assert (challenge.version, challenge.chain_id) == ("1", "mainnet")
    nonce = challenge.nonce or ""
    assert len(nonce) == 32
    assert nonce.isalnum()
    other = await solana.solana.generate_challenge(DOMAIN, wallet.address)
    assert other.nonce != nonce


async def test_a_wallet_gets_an_account_and_comes_back_to_it(solana: Service) -> None:
    wallet = Wallet()
    first = await solana.solana.verify_and_login(
        await answer(solana, wallet), {"theme": "dark"}, client=CLIENT
    )
    assert first.created
    user = await solana.users.get(first.user_id)
    assert user is not None
    assert (user.email, user.username) == (None, f"u_{wallet.address[:4].lower()}")
    assert user.last_login is not None
    said = claims(first.access_token)
    assert (said["provider"], said["solana_address"], said["theme"]) == ("solana", wallet.address, "dark")
    assert (said["sid"], said["amr"]) == (first.session_id, ["pop"])
    (session,) = await solana.sessions.list_for_user(user.id)
    assert (session.ip, session.user_agent) == ("192.0.2.7", "Wallet")
    again = await solana.solana.verify_and_login(await answer(solana, wallet), ip="192.0.2.8")
    assert (again.user_id, again.created) == (first.user_id, False)
    assert await solana.solana.get_address(user.id) == wallet.address
    assert await solana.solana.get_user_by_address(wallet.address) == await solana.users.get(user.id)
    methods = [event["method"] for event in await events(solana, "session_created")]
    assert methods == ["solana_login"] * 2
    assert [event["method"] for event in await events(solana, "provider_linked")] == ["solana"]
    assert [event["method"] for event in await events(solana, "user_created")] == ["solana_login"]


async def test_a_new_account_is_called_as_it_asked_or_nearly(solana: Service) -> None:
    assert await solana.users.create("ada@example.test", "Ada_L")
    one = await solana.solana.verify_and_login(await answer(solana, Wallet(), "Grace_H"))
    two = await solana.solana.verify_and_login(await answer(solana, Wallet(), "ada_l"))
    assert [(await solana.users.get(who.user_id)).username for who in (one, two)] == ["Grace_H", "ada_l1"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("admin", errors.UsernameReserved),
        ("a@b.example", errors.UsernameCannotContainAt),
        ("+15550100200", errors.UsernameMustStartWithLetter),
        ("abc", errors.UsernameTooShort),
    ],
)
async def test_a_wanted_name_is_judged_when_it_is_wanted(
    solana: Service, name: str, refusal: type[errors.AuthError]
) -> None:
    with pytest.raises(refusal):
        await solana.solana.generate_challenge(DOMAIN, Wallet().address, name)


@pytest.mark.parametrize("address", ["", "1" * 32, "no address", "2" * 10_000])
async def test_only_a_wallets_address_is_challenged(solana: Service, address: str) -> None:
    with pytest.raises(errors.InvalidAddress):
        await solana.solana.generate_challenge(DOMAIN, address)
    assert await solana.solana.get_user_by_address(address) is None


async def test_domains_come_from_the_configuration_ports_included(make_service) -> None:
    wallet = Wallet()
    nowhere = await make_service()
    local = await make_service(dev=True, issuer="http://127.0.0.1:8000")
    for service, good, bad in (
        (nowhere, (), ("", "localhost", DOMAIN, "issuer.example.test")),
        (local, ("localhost:8000",), ("localhost", "127.0.0.1:8000", DOMAIN)),
        (await make_service(solana_domains=(f"{DOMAIN}:8443",)), (f"{DOMAIN}:8443",), (DOMAIN,)),
    ):
        for domain in good:
            await service.solana.generate_challenge(domain, wallet.address)
        for domain in bad:
            with pytest.raises(errors.SiwsDomainInvalid):
                await service.solana.generate_challenge(domain, wallet.address)
    development = await local.solana.generate_challenge("localhost:8000", wallet.address)
    assert development.chain_id == "testnet"


def test_the_network_is_configured_first_and_read_from_the_environment_second() -> None:
    env = {"AUTHKIT_ISSUER": "https://i.example.test", "AUTHKIT_AUDIENCES": "app"}
    assert Config.from_env(env).solana_chain == "mainnet"
    assert Config.from_env(env | {"SOLANA_NETWORK": "Mainnet-Beta"}).solana_chain == "mainnet"
    both = env | {"SOLANA_NETWORK": "devnet", "AUTHKIT_SOLANA_NETWORK": "custom"}
    assert Config.from_env(both).solana_chain == "custom"
    assert Config.from_env(both, solana_network="testnet").solana_chain == "testnet"


async def test_the_networks_are_worlds_of_their_own(make_service) -> None:
    wallet = Wallet()
    users = set()
    for network in ("mainnet", "devnet"):
        service = await make_service(solana_domains=(DOMAIN,), solana_network=network)
        users.add((await service.solana.verify_and_login(await answer(service, wallet))).user_id)
    assert len(users) == 2


async def refusal_code(service: Service, output: SignInOutput) -> str:
    with pytest.raises(errors.AuthError) as refusal:
        await service.solana.verify_and_login(output)
    return refusal.value.code


async def test_a_nonce_is_good_once(solana: Service) -> None:
    output = await answer(solana, Wallet())
    await solana.solana.verify_and_login(output)
    assert await refusal_code(solana, output) == "siws_challenge_not_found"


async def test_a_refused_answer_has_spent_its_challenge(solana: Service) -> None:
    wallet = Wallet()
    output = await answer(solana, wallet)
    forged = dataclasses.replace(output, signature=bytes(64))
    assert await refusal_code(solana, forged) == "siws_signature_invalid"
    assert await refusal_code(solana, output) == "siws_challenge_not_found"
    reasons = [event["reason"] for event in await events(solana, "session_failed")]
    assert reasons == ["siws_signature_invalid", "siws_challenge_not_found"]


async def test_a_message_for_another_site_is_refused(solana: Service) -> None:
    wallet = Wallet()
    challenge = await solana.solana.generate_challenge(DOMAIN, wallet.address)
    phished = dataclasses.replace(challenge, domain="evil.example.test", uri="https://evil.example.test")
    assert await refusal_code(solana, wallet.sign(phished)) == "siws_domain_invalid"


@pytest.mark.parametrize("nonce", [None, "x", "unknown0", "../../../etc", "*", "a" * 65, "0" * 32])
async def test_a_nonce_that_was_never_issued_is_not_found(solana: Service, nonce: str | None) -> None:
    wallet = Wallet()
    message = SignInInput(
        domain=DOMAIN, address=wallet.address, nonce=nonce, issued_at="2030-01-15T12:00:00Z"
    )
    assert await refusal_code(solana, wallet.sign(message)) == "siws_challenge_not_found"


async def test_a_challenge_ends_by_our_clock(solana: Service, clock) -> None:
    wallet = Wallet()
    late, just = await answer(solana, wallet), await answer(solana, wallet)
    clock.advance(899)
    await solana.solana.verify_and_login(just)
    clock.advance(1)
    assert await refusal_code(solana, late) == "siws_challenge_not_found"


class Hoard:
    """A host's cache that never forgets by itself."""

    def __init__(self) -> None:
        self.kept: dict[str, ChallengeData] = {}

    async def put(self, nonce: str, data: ChallengeData) -> None:
        self.kept[nonce] = data

    async def get(self, nonce: str) -> ChallengeData | None:
        return self.kept.get(nonce)

    async def delete(self, nonce: str) -> None:
        self.kept.pop(nonce, None)

    async def consume(self, nonce: str) -> ChallengeData | None:
        return self.kept.pop(nonce, None)


async def test_a_hosts_cache_is_used_and_not_trusted_with_the_time(solana: Service, clock) -> None:
    wallet, hoard = Wallet(), Hoard()
    for seconds in (0, 900):
        challenge = await solana.solana.generate_challenge(DOMAIN, wallet.address, cache=hoard)
        assert list(hoard.kept) == [challenge.nonce]
        clock.advance(seconds)
        if seconds:
            with pytest.raises(errors.SiwsChallengeExpired):
                await solana.solana.verify_and_login(wallet.sign(challenge), cache=hoard)
        else:
            assert await solana.solana.verify_and_login(wallet.sign(challenge), cache=hoard)
        assert hoard.kept == {}


async def test_a_device_may_answer_in_an_envelope(solana: Service) -> None:
    wallet = Wallet()
    challenge = await solana.solana.generate_challenge(DOMAIN, wallet.address)
    envelope = long_envelope(build_message(challenge).encode(), wallet.public_key)
    assert (await solana.solana.verify_and_login(wallet.sign_bytes(envelope))).created


async def test_the_banned_and_the_deleted_stay_out(solana: Service) -> None:
    wallet = Wallet()
    user_id = (await solana.solana.verify_and_login(await answer(solana, wallet))).user_id
    for end, code in ((solana.lifecycle.ban, "user_banned"), (solana.lifecycle.soft_delete, "user_deleted")):
        await end(user_id)
        assert await refusal_code(solana, await answer(solana, wallet)) == code
        with pytest.raises(errors.UserBanned):
            await solana.solana.link_wallet(user_id, await answer(solana, wallet))
    assert await solana.sessions.list_for_user(user_id) == []
    assert [(event["user_id"], event["reason"]) for event in await events(solana, "session_failed")] == [
        (user_id, "user_banned"), (user_id, "user_deleted"),
    ]  # fmt: skip


async def test_the_owner_of_a_deleted_account_restores_it_with_the_wallet(solana: Service) -> None:
    wallet = Wallet()
    user_id = (await solana.solana.verify_and_login(await answer(solana, wallet))).user_id
    await solana.lifecycle.soft_delete(user_id)
    with pytest.raises(errors.UserDeleted) as refused:
        await solana.solana.verify_and_login(await answer(solana, wallet))
    await solana.deleted_accounts.restore_by_token(str(refused.value.metadata["restore_token"]))
    assert (await solana.solana.verify_and_login(await answer(solana, wallet))).user_id == user_id


async def test_a_wallet_is_asked_for_the_second_factor(solana: Service, mailbox: Mailbox) -> None:
    wallet = Wallet()
    user_id, _ = await with_email_factor(solana, mailbox)
    await solana.solana.link_wallet(user_id, await answer(solana, wallet))
    with pytest.raises(errors.TwoFactorRequired) as required:
        await solana.solana.verify_and_login(await answer(solana, wallet))
    assert await solana.sessions.list_for_user(user_id) == []
    pair = await solana.logins.complete_two_factor(
        user_id, str(required.value.metadata["challenge"]), mailbox.last(EMAIL).code
    )
    said = claims(pair.access_token)
    assert (said["solana_address"], said["amr"]) == (wallet.address, ["pop", "otp", "mfa"])


async def test_a_callers_claims_may_not_be_ours_and_are_not_changed(solana: Service) -> None:
    output, extra = await answer(solana, Wallet()), {"theme": "dark"}
    with pytest.raises(errors.ReservedClaim):
        await solana.solana.verify_and_login(output, {"sub": "somebody"})
    await solana.solana.verify_and_login(output, extra)
    assert extra == {"theme": "dark"}


async def test_linking_is_once_per_wallet_and_once_per_user(solana: Service) -> None:
    ada = (await solana.users.create("ada@example.test", "ada_l")).id
    eve = (await solana.users.create("eve@example.test", "eve_l")).id
    wallet, other = Wallet(), Wallet()
    await solana.solana.link_wallet(ada, await answer(solana, wallet))
    await solana.solana.link_wallet(ada, await answer(solana, wallet))
    assert len(await events(solana, "provider_linked")) == 1
    for replace in (False, True):
        with pytest.raises(errors.WalletAlreadyLinked):
            await solana.solana.link_wallet(eve, await answer(solana, wallet), replace=replace)
    with pytest.raises(errors.WalletAlreadyLinked):
        await solana.solana.link_wallet(ada, await answer(solana, other))
    assert await solana.solana.get_address(ada) == wallet.address
    await solana.solana.link_wallet(ada, await answer(solana, other), replace=True)
    assert await solana.solana.get_address(ada) == other.address
    (gone,) = await events(solana, "provider_unlinked")
    assert (gone["user_id"], gone["method"], gone["reason"]) == (ada, "solana", "replaced")
    assert await solana.solana.get_user_by_address(wallet.address) is None
    assert await solana.solana.get_address(eve) is None
    signed_in = await solana.solana.verify_and_login(await answer(solana, other))
    assert signed_in.user_id == ada


async def test_the_trail_says_from_where_a_wallet_was_linked(solana: Service) -> None:
    ada = (await solana.users.create("ada@example.test", "ada_l")).id
    here = Client(ip="192.0.2.7", user_agent="Phantom")
    await solana.solana.link_wallet(ada, await answer(solana, Wallet()), client=here)
    await solana.solana.verify_and_login(await answer(solana, Wallet()), client=here)
    trail = await solana.events.list_session_events("", "provider_linked")
    assert [(event.ip_addr, event.user_agent) for event in trail] == [("192.0.2.7", "Phantom")] * 2


async def test_a_wallet_of_another_user_replaces_nothing(solana: Service) -> None:
    ada = (await solana.users.create("ada@example.test", "ada_l")).id
    own, foreign = Wallet(), Wallet()
    await solana.solana.verify_and_login(await answer(solana, foreign))
    await solana.solana.link_wallet(ada, await answer(solana, own))
    with pytest.raises(errors.WalletAlreadyLinked):
        await solana.solana.link_wallet(ada, await answer(solana, foreign), replace=True)
    assert await solana.solana.get_address(ada) == own.address


async def test_a_wallet_is_not_linked_to_an_unknown_user(solana: Service) -> None:
    for unknown in ("", "no-id", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(errors.UserNotFound):
            await solana.solana.link_wallet(unknown, await answer(solana, Wallet()))
        assert await solana.solana.get_address(unknown) is None


async def test_a_failing_lookup_makes_no_second_account(solana: Service) -> None:
    wallet = Wallet()
    await solana.solana.verify_and_login(await answer(solana, wallet))
    output = await answer(solana, wallet)
    assert solana.pool is not None
    await solana.pool.execute("alter table profiles.user_providers rename to gone")
    try:
        with pytest.raises(Exception, match="user_providers"):
            await solana.solana.verify_and_login(output)
    finally:
        await solana.pool.execute("alter table profiles.gone rename to user_providers")
    assert await solana.pool.fetchval("select count(*) from profiles.users") == 1


async def test_without_the_store_no_wallet_signs_in(make_service, own_redis) -> None:
    service: Service = await make_service(redis_url=own_redis.url, solana_domains=(DOMAIN,))
    user_id = (await service.users.create("ada@example.test", "ada_l")).id
    wallet = Wallet()
    output = await answer(service, wallet)
    own_redis.stop()
    for call in (
        service.solana.generate_challenge(DOMAIN, wallet.address),
        service.solana.verify_and_login(output),
        service.solana.link_wallet(user_id, output),
    ):
        with pytest.raises(errors.EphemeralStoreUnavailable):
            await call


async def test_nothing_secret_is_logged_or_shown(solana: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    output = await answer(solana, Wallet())
    signed_in = await solana.solana.verify_and_login(output)
    shown = f"{caplog.text} {output!r} {signed_in!r}"
    for secret in (signed_in.access_token, signed_in.refresh_token, repr(output.signature)):
        assert secret not in shown
