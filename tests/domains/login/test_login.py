"""Password logins: one refusal without the right password, the reason with it."""

from __future__ import annotations

import argon2
import bcrypt
import jwt
import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.users import finish_background

EMAIL = "ada@example.test"
PASSWORD = "correct horse battery"
HOME = Client(ip="192.0.2.1", user_agent="browser")


@pytest.fixture
async def ada(service: Service, mailbox) -> str:
    started = await service.registration.register(EMAIL, "Ada_L", PASSWORD)
    await finish_background(service)
    return await service.registration.confirm_email(
        EMAIL, mailbox.last(EMAIL).code, registration_id=started.registration_id
    )


async def set_user(service: Service, change: str) -> None:
    await service.pool.execute(f"update profiles.users set {change}")


async def test_a_login_opens_a_session_and_its_token_says_so(service: Service, ada: str) -> None:
    pair = await service.logins.with_password(EMAIL, PASSWORD, client=HOME)
    claims = await service.tokens.verify(pair.access_token)
    assert (claims.user_id, claims.session_id, claims.email) == (ada, pair.session_id, EMAIL)
    assert (claims.amr, claims.username, claims.email_verified) == (("pwd",), "Ada_L", True)
    (session,) = await service.sessions.list_for_user(ada)
    assert (session.ip, session.user_agent) == ("192.0.2.1", "browser")
    row = await service.pool.fetchrow("select * from profiles.session_events where event = 'session_created'")
    assert (row["method"], row["session_id"], str(row["ip_addr"])) == (
        "password_login", pair.session_id, "192.0.2.1"
    )  # fmt: skip


@pytest.mark.parametrize("identifier", [EMAIL, f"  {EMAIL.upper()} ", "Ada_L", "ada_l"])
async def test_the_address_and_the_name_sign_in_in_any_case(
    service: Service, ada: str, identifier: str
) -> None:
    assert (await service.logins.with_password(identifier, PASSWORD)).user_id == ada


@pytest.mark.parametrize(
    "identifier",
    [EMAIL, "Ada_L", "unknown@example.test", "unknown", "+4915112345678", "", "\x00", "a\ud800@b.c"],
)
async def test_every_wrong_login_costs_one_hash_and_says_the_same(
    service: Service, ada: str, identifier: str
) -> None:
    before = service.rt.hasher.computed
    with pytest.raises(errors.InvalidCredentials) as refused:
        await service.logins.with_password(identifier, PASSWORD + "!", client=HOME)
    assert (refused.value.code, refused.value.metadata) == ("invalid_credentials", {})
    assert service.rt.hasher.computed == before + 1


async def test_an_account_without_a_password_refuses_like_an_unknown_one(service: Service) -> None:
    await service.users.create("bob@example.test", "bob_1")
    before = service.rt.hasher.computed
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password("bob@example.test", PASSWORD)
    assert service.rt.hasher.computed == before + 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("banned_at = now()", errors.UserBanned),
        ("deleted_at = now()", errors.UserBanned),
        ("email_verified = false", errors.EmailNotVerified),
    ],
)
async def test_what_is_wrong_with_an_account_shows_only_after_the_right_password(
    service: Service, ada: str, change: str, error: type[errors.AuthError]
) -> None:
    await set_user(service, change)
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password(EMAIL, PASSWORD + "!")
    with pytest.raises(error):
        await service.logins.with_password(EMAIL, PASSWORD)
    assert await service.sessions.list_for_user(ada) == []


async def test_a_second_factor_is_never_passed_over(service: Service, ada: str) -> None:
    await service.pool.execute(
        "insert into profiles.two_factor_settings (user_id, enabled) values ($1::text::uuid, true)", ada
    )
    with pytest.raises(errors.TwoFactorRequired):
        await service.logins.with_password(EMAIL, PASSWORD)
    with pytest.raises(errors.TwoFactorRequired):
        await service.passwords.login(EMAIL, PASSWORD)
    assert await service.sessions.list_for_user(ada) == []


async def test_a_password_that_must_change_opens_nothing(service: Service, ada: str) -> None:
    await service.pool.execute("update profiles.user_passwords set must_change = true")
    with pytest.raises(errors.PasswordResetRequired):
        await service.logins.with_password(EMAIL, PASSWORD)


async def test_a_legacy_hash_that_must_be_reset_never_verifies(service: Service, ada: str) -> None:
    await service.pool.execute("update profiles.user_passwords set hash_algo = 'legacy-reset-required'")
    with pytest.raises(errors.PasswordResetRequired):
        await service.logins.with_password(EMAIL, PASSWORD)


async def test_verification_can_be_switched_off(make_service, mailbox) -> None:
    service = await make_service(verification_required=False)
    await service.registration.register(EMAIL, "ada_l", PASSWORD)
    pair = await service.logins.with_password(EMAIL, PASSWORD)
    assert not (await service.tokens.verify(pair.access_token)).email_verified


async def test_a_bcrypt_hash_signs_in_and_becomes_argon2id(service: Service, ada: str) -> None:
    legacy = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await service.pool.execute(
        "update profiles.user_passwords set password_hash = $1, hash_algo = 'bcrypt'", legacy
    )
    await service.logins.with_password(EMAIL, PASSWORD)
    row = await service.pool.fetchrow("select * from profiles.user_passwords")
    assert row["hash_algo"] == "argon2id"
    assert row["password_hash"].startswith("$argon2id$")
    await service.logins.with_password(EMAIL, PASSWORD)


async def test_a_rehash_does_not_bring_back_a_password_that_was_just_changed(
    service: Service, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await service.pool.execute(
        "update profiles.user_passwords set password_hash = $1, hash_algo = 'bcrypt'", legacy
    )
    fresh = await service.passwords.hash("the new password")
    original = service.rt.hasher.rehash

    async def change_meanwhile(password: str, **lane: object) -> str:
        await service.passwords.store_hash(ada, fresh)
        await service.sessions.revoke_all(ada)
        return await original(password, **lane)

    monkeypatch.setattr(service.rt.hasher, "rehash", change_meanwhile)
    with pytest.raises(errors.InvalidCredentials):
        await service.logins.with_password(EMAIL, PASSWORD)
    assert await service.passwords.verify(ada, "the new password")
    assert await service.sessions.list_for_user(ada) == []


async def test_a_stronger_target_replaces_a_weaker_hash(make_service, mailbox) -> None:
    service = await make_service(argon2_time=2)
    user = await service.users.create(EMAIL, "ada_l")
    await set_user(service, "email_verified = true")
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    await service.passwords.store_hash(user.id, weak)
    await service.logins.with_password(EMAIL, PASSWORD)
    assert ",t=2," in await service.pool.fetchval("select password_hash from profiles.user_passwords")


async def test_a_login_that_proved_itself_before_everything_was_signed_out_opens_nothing(
    service: Service, ada: str
) -> None:
    proof = await service.passwords.prove(EMAIL, PASSWORD)
    await service.sessions.revoke_all(ada)
    with pytest.raises(errors.InvalidCredentials):
        await service.sessions.sign_in(
            ada, method="password_login", auth_epoch=proof.auth_epoch, amr=("pwd",)
        )


async def test_an_organization_is_refused_before_a_session_is_opened(service: Service, ada: str) -> None:
    with pytest.raises(errors.OrgModeNotMulti):
        await service.logins.with_password(EMAIL, PASSWORD, org="acme")
    assert await service.sessions.list_for_user(ada) == []


async def test_refused_logins_are_recorded_and_a_flood_is_counted(service: Service, ada: str) -> None:
    for number in range(40):
        with pytest.raises(errors.InvalidCredentials):
            await service.logins.with_password(f"unknown{number}@example.test", "wrong password", client=HOME)
    rows = await service.pool.fetch(
        "select reason, data::text from profiles.session_events where event = 'session_failed' order by id"
    )
    assert [row["reason"] for row in rows] == ["invalid_credentials"] * 12
    assert [row["data"] for row in rows[9:]] == ["{}", '{"count": 16}', '{"count": 32}']


async def test_a_registration_code_signs_its_owner_in(service: Service, mailbox) -> None:
    started = await service.registration.register("new@example.test", "newbie", PASSWORD)
    await finish_background(service)
    pair = await service.logins.with_registration_code(
        "new@example.test",
        mailbox.last("new@example.test").code,
        registration_id=started.registration_id,
        client=HOME,
    )
    claims = await service.tokens.verify(pair.access_token)
    assert (claims.email, claims.amr) == ("new@example.test", ("otp",))
    with pytest.raises(errors.InvalidOrExpiredCode):
        await service.logins.with_registration_code(
            "new@example.test", "000000", registration_id=started.registration_id
        )


async def test_a_core_login_gives_a_token_without_a_session(service: Service, ada: str) -> None:
    for login, identifier in (
        (service.passwords.login, EMAIL),
        (service.passwords.login_by_username, "ada_l"),
    ):
        token = await login(identifier, PASSWORD, {"tenant": "blue"})
        claims = jwt.decode(token.token, options={"verify_signature": False})
        assert claims["tenant"] == "blue"
        assert "sid" not in claims
    assert await service.sessions.list_for_user(ada) == []
    with pytest.raises(errors.ReservedClaim):
        await service.passwords.login(EMAIL, PASSWORD, {"sub": "root"})
    with pytest.raises(errors.InvalidCredentials):
        await service.passwords.login_by_phone("+4915112345678", PASSWORD)


async def test_a_password_is_not_checked_inside_a_host_transaction(service: Service, ada: str) -> None:
    async with service.transaction() as tx:
        with pytest.raises(errors.NotJoinable):
            await tx.passwords.login(EMAIL, PASSWORD)


@pytest.mark.parametrize("value", ["\ud800", object()])
async def test_claims_that_are_no_json_are_refused_before_a_session_is_opened(
    service: Service, ada: str, value: object
) -> None:
    proof = await service.passwords.prove(EMAIL, PASSWORD)
    for extra in ({"note": value}, {"notes": [value]}):
        with pytest.raises(errors.Invalid):
            await service.logins.finish(proof, method="password_login", amr=("pwd",), extra=extra)
    assert await service.sessions.list_for_user(ada) == []
