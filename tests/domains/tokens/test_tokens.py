"""Access tokens: their claims, and the checks of further claims."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum

import jwt
import pytest

from authkit_issuer import errors
from authkit_issuer.domains.tokens.claims import RESERVED_CLAIMS
from authkit_issuer.keys import KeySet, SigningKey, StaticKeys
from authkit_issuer.ports import Entitlement
from authkit_issuer.security import key_file
from authkit_issuer.service import Service
from authkit_verify import TokenError

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def claims_of(token: str) -> dict[str, object]:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture
async def user(service: Service) -> str:
    return (await service.users.create("ada@example.test", "ada_l")).id


async def test_a_token_says_what_rfc_9068_and_we_promise(service: Service, user: str, clock) -> None:
    issued = await service.tokens.issue_access(user, extra={"tenant": "blue"}, session_id="s-1")
    claims = claims_of(issued.token)
    now = int(clock())
    assert jwt.get_unverified_header(issued.token)["typ"] == "at+jwt"
    expected = {
        "iss": service.config.issuer,
        "sub": user,
        "aud": service.config.issued_audiences[0],
        "client_id": service.config.client_id,
        "iat": now,
        "email": "ada@example.test",
        "email_verified": False,
        "username": "ada_l",
        "discord_username": "",
        "roles": [],
        "entitlements": [],
        "sid": "s-1",
        "tenant": "blue",
    }
    assert {name: claims[name] for name in expected} == expected
    assert set(claims) == {*expected, "exp", "jti"}
    life = service.config.access_token_duration
    assert now + life * 0.95 <= claims["exp"] <= now + life  # type: ignore[operator]
    assert issued.expires_at == datetime.fromtimestamp(claims["exp"], UTC)  # type: ignore[arg-type]
    assert issued.token not in repr(issued)


async def test_lives_are_spread_and_ids_never_repeat(service: Service, user: str) -> None:
    tokens = [claims_of((await service.tokens.issue_access(user)).token) for _ in range(30)]
    assert len({claims["exp"] for claims in tokens}) > 5
    assert len({claims["jti"] for claims in tokens}) == 30


async def test_several_audiences_are_a_list(make_service) -> None:
    service = await make_service(issued_audiences=("api", "billing"))
    user = (await service.users.create("ada@example.test", "ada_l")).id
    assert claims_of((await service.tokens.issue_access(user)).token)["aud"] == ["api", "billing"]


@pytest.mark.parametrize("name", sorted(RESERVED_CLAIMS))
async def test_no_caller_sets_a_claim_of_ours(service: Service, user: str, name: str) -> None:
    extra = {name: "forged"}
    with pytest.raises(errors.ReservedClaim) as refused:
        await service.tokens.issue_access(user, extra=extra)
    assert refused.value.param == name
    assert extra == {name: "forged"}


async def test_a_claim_named_by_anything_but_a_text_is_refused(service: Service, user: str) -> None:
    """An enumeration's member would be written as its value, beside ours."""
    name = Enum("Name", {"SUBJECT": "sub"}).SUBJECT
    for extra in ({name: "forged"}, {b"sub": "forged"}, {1: "forged"}):
        with pytest.raises(errors.Invalid):
            await service.tokens.issue_access(user, extra=extra)  # type: ignore[arg-type]


async def test_the_stored_address_counts_and_not_the_callers(service: Service) -> None:
    user = (await service.users.create(None, "phone_only")).id
    claims = claims_of((await service.tokens.issue_access(user, "ceo@example.test")).token)
    assert claims["email"] is None
    assert claims["username"] == "phone_only"


async def test_roles_are_current_sorted_and_without_deleted_ones(service: Service, user: str) -> None:
    await service.pool.execute(
        "insert into profiles.roles (id, slug, name, deleted_at)"
        " values (gen_random_uuid(), 'zeta', 'Z', null), (gen_random_uuid(), 'gone', 'G', now())"
    )
    await service.pool.execute(
        "insert into profiles.user_roles (user_id, role_id) select $1::text::uuid, id from profiles.roles",
        user,
    )
    assert claims_of((await service.tokens.issue_access(user)).token)["roles"] == ["admin", "zeta"]


async def test_the_discord_name_is_the_stored_one_else_the_profiles(service: Service, user: str) -> None:
    await service.pool.execute(
        "insert into profiles.user_providers (user_id, issuer, provider_slug, subject, profile)"
        """ values ($1::text::uuid, 'https://discord.com', 'discord', '1', '{"username": "ada#1"}')""",
        user,
    )
    assert claims_of((await service.tokens.issue_access(user)).token)["discord_username"] == "ada#1"
    await service.pool.execute("update profiles.users set discord_username = 'ada'")
    assert claims_of((await service.tokens.issue_access(user)).token)["discord_username"] == "ada"


async def test_who_may_not_act_gets_no_token(service: Service, user: str) -> None:
    for user_id in (UNKNOWN, "no id"):
        with pytest.raises(errors.UserNotFound):
            await service.tokens.issue_access(user_id)
    await service.pool.execute("update profiles.users set banned_at = now()")
    with pytest.raises(errors.UserBanned):
        await service.tokens.issue_access(user)


class Grants:
    """An entitlements provider that answers as set, or fails, or hangs."""

    def __init__(self, *entries: Entitlement, error: Exception | None = None, hang: bool = False) -> None:
        self.entries, self.error, self.hang = entries, error, hang

    async def list_entitlements(self, user_id: str) -> Sequence[Entitlement]:
        if self.hang:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return self.entries


async def test_entitlements_in_force_stand_in_the_token(make_service, clock) -> None:
    now = datetime.fromtimestamp(clock(), UTC)
    service = await make_service(
        entitlements_provider=Grants(
            Entitlement(name="premium"),
            Entitlement(name=" Premium "),
            Entitlement(name=" "),
            Entitlement(name="later", expires_at=now + timedelta(seconds=1)),
            Entitlement(name="expired", expires_at=now),
            Entitlement(name="revoked", revoked_at=now - timedelta(days=1)),
        )
    )
    user = (await service.users.create("ada@example.test", "ada_l")).id
    assert await service.entitlements.list_names(user) == ["later", "premium"]
    assert claims_of((await service.tokens.issue_access(user)).token)["entitlements"] == ["later", "premium"]


@pytest.mark.parametrize(
    "provider",
    [
        Grants(error=RuntimeError("down")),
        Grants(Entitlement(name="naive", expires_at=datetime(2030, 1, 1))),  # noqa: DTZ001 - the mistake
        Grants(None),  # type: ignore[arg-type]
    ],
    ids=["fails", "naive time", "not an entitlement"],
)
async def test_a_failing_provider_costs_the_entitlements_and_not_the_login(
    make_service, provider: Grants
) -> None:
    service = await make_service(entitlements_provider=provider)
    user = (await service.users.create("ada@example.test", "ada_l")).id
    assert claims_of((await service.tokens.issue_access(user)).token)["entitlements"] == []
    with pytest.raises(errors.EntitlementsUnavailable):
        await service.entitlements.list(user)


async def test_a_hanging_provider_is_given_up(make_service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authkit_issuer.domains.base.entitlements.TIMEOUT", 0.01)
    service = await make_service(entitlements_provider=Grants(hang=True))
    with pytest.raises(errors.EntitlementsUnavailable):
        await service.entitlements.list_names(UNKNOWN)


class TestVerify:
    async def test_only_our_own_access_tokens_pass(self, service: Service, user: str, clock) -> None:
        token = (await service.tokens.issue_access(user)).token
        claims = await service.tokens.verify(token)
        assert claims.user_id == user
        head, body, signature = token.split(".")
        for broken in (
            f"{head}.{body}.{signature[:-4]}AAAA",
            f"{head}.{body}.",
            "x",
            f"{head}.{body[:-2]}.{signature}",
        ):
            with pytest.raises(TokenError):
                await service.tokens.verify(broken)
        clock.advance(service.config.access_token_duration + 2)
        with pytest.raises(TokenError) as refused:
            await service.tokens.verify(token)
        assert refused.value.code == "token_expired"

    async def test_a_key_that_left_the_set_stops_verifying_at_once(self, make_service) -> None:
        one = await make_service()
        private = key_file.new_private_key("ES256")
        keys = KeySet(
            signing=SigningKey(kid="other", private_key=private),
            public={"other": private.public_key()},
            refresh_secrets={1: b"s" * 32},
            active_secret=1,
        )
        other = await make_service(keys=StaticKeys(keys))
        user = (await one.users.create("ada@example.test", "ada_l")).id
        token = (await one.tokens.issue_access(user)).token
        with pytest.raises(TokenError):
            await other.tokens.verify(token)


class TestKeys:
    async def test_the_published_document_is_the_key_set(self, service: Service) -> None:
        import json

        document = service.tokens.jwks_document()
        assert json.loads(document.body) == service.tokens.jwks()
        assert document.etag.startswith('"')
        assert set(service.tokens.jwks()["keys"][0]) >= {"kty", "kid", "alg", "use"}
        assert not {"d", "p", "q"} & set(service.tokens.jwks()["keys"][0])

    async def test_a_key_is_found_by_kid_and_must_fit_the_algorithm(self, service: Service) -> None:
        published = service.tokens.jwks()["keys"][0]
        key = service.tokens.key_for({"kid": published["kid"], "alg": published["alg"]})
        assert service.tokens.key_for({"alg": published["alg"]}) is key
        with pytest.raises(errors.UnknownKid):
            service.tokens.key_for({"kid": "other", "alg": published["alg"]})
        with pytest.raises(errors.DisallowedAlg):
            service.tokens.key_for({"kid": published["kid"], "alg": "none"})

    async def test_of_two_keys_none_is_the_default(self, make_service) -> None:
        one, two = key_file.new_private_key("ES256"), key_file.new_private_key("ES256")
        keys = KeySet(
            signing=SigningKey(kid="one", private_key=one),
            public={"one": one.public_key(), "two": two.public_key()},
            refresh_secrets={1: b"s" * 32},
            active_secret=1,
        )
        service = await make_service(keys=StaticKeys(keys))
        with pytest.raises(errors.UnknownKid):
            service.tokens.key_for({"alg": "ES256"})

    async def test_a_service_that_cannot_sign_uses_no_refresh_token_up(
        self, service: Service, make_service, key_source, user: str
    ) -> None:
        keys = key_source.current()
        mute = await make_service(keys=StaticKeys(dataclasses.replace(keys, signing=None)))
        assert mute.tokens.jwks() == service.tokens.jwks()
        issued = await service.sessions.issue(user)
        for attempt in (
            mute.sessions.exchange(issued.refresh_token),
            mute.sessions.sign_in(user, method="x", auth_epoch=0, amr=()),
            mute.tokens.issue_access(user),
        ):
            with pytest.raises(errors.MissingSigner):
                await attempt
        pair = await service.sessions.exchange(issued.refresh_token)
        assert (await mute.tokens.verify(pair.access_token)).user_id == user
        assert len(await service.sessions.list_for_user(user)) == 1


async def test_a_resource_server_learns_of_a_ban(service: Service, user: str) -> None:
    source = service.enrichment()
    known = await source.enrich(user)
    assert (known.allowed, known.email, known.roles) == (True, "ada@example.test", ())
    await service.pool.execute("update profiles.users set banned_at = now()")
    assert not (await source.enrich(user)).allowed
    for unknown in (UNKNOWN, "no id"):
        assert not (await source.enrich(unknown)).allowed
