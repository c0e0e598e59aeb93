"""Setting passwords: who may, what ends with it, and what is written down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import argon2
import bcrypt
import pytest

from authkit_issuer import errors
from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.users import finish_background

EMAIL, PHONE, NAME = "ada@example.test", "+4915112345678", "ada_l"
OLD, NEW = "correct horse battery", "another fine horse"
HOME = Client(ip="192.0.2.1", user_agent="browser")
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def ada(service: Service) -> str:
    user = await service.users.add(email=EMAIL, phone=PHONE, username=NAME, verified=True)
    await service.passwords.store_hash(user.id, await service.rt.hasher.hash(OLD))
    return user.id


async def stored(service: Service, user_id: str) -> dict[str, object]:
    row = await service.pool.fetchrow(
        "select p.*, u.auth_epoch from profiles.user_passwords p join profiles.users u on u.id = p.user_id"
        " where p.user_id = $1::text::uuid",
        user_id,
    )
    return dict(row)


async def events(service: Service, kind: str) -> list[dict[str, object]]:
    rows = await service.pool.fetch(
        "select * from profiles.session_events where event = $1 order by id", kind
    )
    return [dict(row) for row in rows]


async def test_a_change_ends_every_session_but_the_one_to_keep(service: Service, ada: str) -> None:
    kept, other = await service.sessions.issue(ada), await service.sessions.issue(ada)
    await service.passwords.change(ada, OLD, NEW, kept.session_id, client=HOME)
    assert [session.id for session in await service.sessions.list_for_user(ada)] == [kept.session_id]
    assert await service.passwords.verify(ada, NEW)
    assert not await service.passwords.verify(ada, OLD)
    (revoked,) = await events(service, "session_revoked")
    assert (revoked["session_id"], revoked["reason"]) == (other.session_id, "password_change")
    (changed,) = await events(service, "password_changed")
    assert (changed["user_id"], changed["session_id"], str(changed["ip_addr"])) == (
        ada, kept.session_id, "192.0.2.1"
    )  # fmt: skip
    assert (await stored(service, ada))["auth_epoch"] == 1


async def test_sessions_of_every_issuer_end_with_the_password(
    service: Service, ada: str, make_service
) -> None:
    elsewhere = await make_service(issuer="https://other.example.test")
    await elsewhere.sessions.issue(ada)
    await service.passwords.change(ada, OLD, NEW)
    assert await elsewhere.sessions.list_for_user(ada) == []


@pytest.mark.parametrize(
    ("current", "new", "error"),
    [
        ("wrong horse", NEW, errors.InvalidCredentials),
        ("", NEW, errors.CurrentPasswordRequired),
        (OLD, "short", errors.PasswordTooShort),
        (OLD, "x" * 1025, errors.PasswordTooLong),
        (OLD, "Password123", errors.PasswordTooCommon),
        (OLD, "\ud800" * 8, errors.Invalid),
    ],
)
async def test_a_refused_change_leaves_everything_as_it_was(
    service: Service, ada: str, current: str, new: str, error: type[errors.AuthError]
) -> None:
    issued = await service.sessions.issue(ada)
    before = await stored(service, ada)
    with pytest.raises(error):
        await service.passwords.change(ada, current, new, issued.session_id)
    assert await stored(service, ada) == before
    assert len(await service.sessions.list_for_user(ada)) == 1


async def test_the_first_password_needs_no_current_one(service: Service) -> None:
    user = await service.users.create("bob@example.test", "bob_1")
    assert not await service.passwords.has(user.id)
    await service.passwords.change(user.id, "", NEW)
    assert await service.passwords.has(user.id)
    assert await service.passwords.verify(user.id, NEW)


async def test_banned_deleted_and_unknown_users_change_no_password(service: Service, ada: str) -> None:
    for unknown in (UNKNOWN_ID, "not an id", ""):
        with pytest.raises(errors.UserNotFound):
            await service.passwords.change(unknown, OLD, NEW)
        with pytest.raises(errors.UserNotFound):
            await service.passwords.admin_set(unknown, NEW)
    for column in ("banned_at", "deleted_at"):
        await service.pool.execute(f"update profiles.users set {column} = now()")
        with pytest.raises(errors.UserBanned):
            await service.passwords.change(ada, OLD, NEW)
        await service.pool.execute(f"update profiles.users set {column} = null")


async def test_the_session_to_keep_must_be_a_live_one_of_the_user(service: Service, ada: str) -> None:
    of_another_user = await service.sessions.issue(
        (await service.users.create("bob@example.test", "bob_1")).id
    )
    ended = await service.sessions.issue(ada)
    await service.sessions.revoke(ended.session_id)
    before = await stored(service, ada)
    for session_id in (of_another_user.session_id, ended.session_id, UNKNOWN_ID, "not an id"):
        with pytest.raises(errors.SessionNotFound):
            await service.passwords.change(ada, OLD, NEW, session_id)
    assert await stored(service, ada) == before
    assert len(await service.sessions.list_for_user((await service.users.get_by_username("bob_1")).id)) == 1


async def test_an_operator_sets_a_password_that_must_be_changed(service: Service, ada: str, mailbox) -> None:
    await service.sessions.issue(ada)
    await service.passwords.admin_set(ada, NEW, must_change=True, actor="operator-7")
    assert await service.sessions.list_for_user(ada) == []
    (revoked,) = await events(service, "session_revoked")
    (changed,) = await events(service, "password_changed")
    assert (revoked["reason"], changed["actor"]) == ("admin_set_password", "operator-7")
    with pytest.raises(errors.PasswordResetRequired):
        await service.passwords.login(EMAIL, NEW)
    with pytest.raises(errors.InvalidCredentials):
        await service.passwords.login(EMAIL, OLD)
    await service.passwords.request_reset(EMAIL)
    await finish_background(service)
    await service.passwords.confirm_reset(mailbox.last(EMAIL).token, "my own fine horse")
    assert (await service.passwords.prove(EMAIL, "my own fine horse")).user_id == ada


async def test_an_operator_may_set_a_lasting_password(service: Service, ada: str) -> None:
    await service.passwords.admin_set(ada, NEW)
    assert (await service.passwords.prove(EMAIL, NEW)).user_id == ada
    with pytest.raises(errors.PasswordTooCommon):
        await service.passwords.admin_set(ada, "iloveyou1")


async def test_common_passwords_may_be_allowed(make_service) -> None:
    service = await make_service(refuse_common_passwords=False)
    user = await service.users.create(EMAIL, NAME)
    await service.passwords.change(user.id, "", "password123")
    assert await service.passwords.verify(user.id, "password123")


class Breaches:
    """A breach check that knows one password and may be down."""

    def __init__(self) -> None:
        self.down = False
        self.asked: list[str] = []

    async def is_breached(self, password: str) -> bool:
        self.asked.append(password)
        if self.down:
            raise errors.BreachCheckUnavailable
        return password == NEW


async def test_a_breached_password_is_refused_and_only_allowed_ones_are_asked_about(make_service) -> None:
    breaches = Breaches()
    service = await make_service(breach_check=breaches)
    user = await service.users.create(EMAIL, NAME)
    for password, error in ((NEW, errors.PasswordBreached), ("password123", errors.PasswordTooCommon)):
        with pytest.raises(error):
            await service.passwords.change(user.id, "", password)
    breaches.down = True
    with pytest.raises(errors.BreachCheckUnavailable):
        await service.passwords.hash(OLD)
    assert breaches.asked == [NEW, OLD]
    assert not await service.passwords.has(user.id)


GO_HASH = "$argon2id$v=19$m=65536,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$/IE1ywsnjEh9p7NRBSp7w6bBHmrmOUtAJ2qvI1Wf/aI"


async def test_a_hash_from_elsewhere_signs_in_and_a_dearer_one_is_kept(service: Service, ada: str) -> None:
    issued = await service.sessions.issue(ada)
    await service.passwords.upsert_hash(ada, GO_HASH, "argon2id", {"origin": "import"})
    assert (await service.passwords.prove(EMAIL, "correct horse")).user_id == ada
    row = await stored(service, ada)
    assert (row["password_hash"], row["hash_params"]) == (GO_HASH, '{"origin": "import"}')
    assert await service.sessions.resolve(issued.refresh_token) == issued.session_id
    await service.passwords.upsert_hash(ada, GO_HASH, "argon2id", revoke_sessions=True)
    assert await service.sessions.list_for_user(ada) == []


@pytest.mark.parametrize("algo", ["bcrypt", "", " BCRYPT "])
async def test_an_imported_bcrypt_hash_becomes_argon2id_at_a_login(
    service: Service, ada: str, algo: str
) -> None:
    whole = "p" * 71
    await service.passwords.upsert_hash(ada, bcrypt.hashpw(whole.encode(), bcrypt.gensalt(4)).decode(), algo)
    before = await stored(service, ada)
    assert (await service.passwords.prove(EMAIL, whole)).user_id == ada
    after = await stored(service, ada)
    assert (after["hash_algo"], after["password_updated_at"]) == ("argon2id", before["password_updated_at"])
    assert argon2.PasswordHasher().verify(after["password_hash"], whole)


@pytest.mark.parametrize("algo", ["", "pbkdf2"])
async def test_an_imported_hash_of_django_becomes_argon2id_at_a_login(
    service: Service, ada: str, algo: str
) -> None:
    django = "pbkdf2_sha256$1000$djangosalt12$WGoAJAv1kx2Pw3hglw9aK9DF/JWzzRGj6mLqR6MGXaE="
    await service.passwords.upsert_hash(ada, django, algo)
    assert (await stored(service, ada))["hash_algo"] == "pbkdf2"
    with pytest.raises(errors.InvalidCredentials):
        await service.passwords.prove(EMAIL, "a wrong password")
    assert (await service.passwords.prove(EMAIL, "correct horse battery")).user_id == ada
    assert (await stored(service, ada))["hash_algo"] == "argon2id"


@pytest.mark.parametrize("slip", ["p" * 72 + "tial", "p" * 72])
async def test_a_slip_beyond_what_bcrypt_compares_does_not_become_the_password(
    service: Service, ada: str, slip: str
) -> None:
    right = "p" * 72 + "tail"
    await service.passwords.upsert_hash(ada, bcrypt.hashpw(b"p" * 72, bcrypt.gensalt(4)).decode(), "bcrypt")
    assert (await service.passwords.prove(EMAIL, slip)).user_id == ada
    assert (await service.passwords.prove(EMAIL, right)).user_id == ada
    assert (await stored(service, ada))["hash_algo"] == "bcrypt"


@pytest.mark.parametrize(
    ("text", "algo"),
    [
        ("plain", "argon2id"),
        ("$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA", "argon2id"),
        ("$2b$17$" + "a" * 53, "bcrypt"),
        (GO_HASH, "bcrypt"),
        (GO_HASH, "scrypt"),
        ("x\x00", "legacy-reset-required"),
        ("x" * 513, "legacy-reset-required"),
    ],
)
async def test_a_hash_that_could_not_be_verified_is_not_stored(
    service: Service, ada: str, text: str, algo: str
) -> None:
    before = await stored(service, ada)
    with pytest.raises(errors.InvalidPasswordHash):
        await service.passwords.upsert_hash(ada, text, algo)
    with pytest.raises(errors.UserNotFound):
        await service.passwords.upsert_hash(UNKNOWN_ID, GO_HASH, "argon2id")
    assert await stored(service, ada) == before


@pytest.mark.parametrize("value", ["a\x00b", "\ud800", object(), "x" * 5000])
async def test_parameters_that_no_row_can_hold_are_refused(service: Service, ada: str, value: object) -> None:
    before = await stored(service, ada)
    with pytest.raises(errors.InvalidPasswordHash):
        await service.passwords.upsert_hash(ada, GO_HASH, "argon2id", {"note": value})
    assert await stored(service, ada) == before


async def test_an_import_ends_logins_that_are_under_way(service: Service, ada: str) -> None:
    proof = await service.passwords.prove(EMAIL, OLD)
    await service.passwords.upsert_hash(ada, GO_HASH, "argon2id")
    with pytest.raises(errors.InvalidCredentials):
        await service.sessions.sign_in(ada, method="x", auth_epoch=proof.auth_epoch, amr=())


async def test_a_hash_that_must_be_reset_never_fits_and_says_so(service: Service, ada: str) -> None:
    await service.passwords.upsert_hash(ada, "md5:5f4dcc3b", "legacy-reset-required")
    before = service.rt.hasher.computed
    with pytest.raises(errors.PasswordResetRequired):
        await service.passwords.login(EMAIL, OLD)
    assert service.rt.hasher.computed == before + 1
    assert not await service.passwords.verify(ada, OLD)
    with pytest.raises(errors.PasswordResetRequired):
        await service.passwords.change(ada, OLD, NEW)


async def test_the_four_ways_to_log_in_mean_what_they_say(service: Service, ada: str) -> None:
    passwords = service.passwords
    ways = {EMAIL: passwords.login, PHONE: passwords.login_by_phone, NAME: passwords.login_by_username}
    ways[ada] = passwords.login_by_user_id
    for identifier in ways:
        for meant, login in ways.items():
            if meant == identifier:
                assert (await service.tokens.verify((await login(identifier, OLD)).token)).user_id == ada
            else:
                with pytest.raises(errors.InvalidCredentials):
                    await login(identifier, OLD)
    assert (await service.users.get(ada)).last_login is not None


async def test_checking_a_password_moves_nothing(service: Service, ada: str) -> None:
    assert await service.passwords.verify(ada, OLD)
    assert not await service.passwords.verify(UNKNOWN_ID, OLD)
    assert not await service.passwords.verify("not an id", OLD)
    assert (await service.users.get(ada)).last_login is None


@pytest.mark.parametrize(
    ("proved", "refusals"),
    [
        ("email phone", {}),
        ("email", {PHONE: errors.PhoneNotVerified}),
        ("phone", {EMAIL: errors.EmailNotVerified}),
        ("", {EMAIL: errors.EmailNotVerified, PHONE: errors.PhoneNotVerified, NAME: errors.EmailNotVerified}),
    ],
)
async def test_an_unproved_contact_stops_the_logins_that_rest_on_it(
    service: Service, ada: str, proved: str, refusals: dict[str, type[errors.AuthError]]
) -> None:
    await service.pool.execute(
        "update profiles.users set email_verified = $1, phone_verified = $2",
        "email" in proved,
        "phone" in proved,
    )
    for identifier in (EMAIL, PHONE, NAME):
        if identifier in refusals:
            with pytest.raises(refusals[identifier]):
                await service.passwords.prove(identifier, OLD)
        else:
            assert (await service.passwords.prove(identifier, OLD)).user_id == ada


async def test_accounts_older_than_the_rule_are_not_stopped_by_it(
    service: Service, ada, make_service
) -> None:
    await service.pool.execute("update profiles.users set email_verified = false, phone_verified = false")
    now = datetime.now(UTC)
    lenient = await make_service(verification_enforced_since=now + timedelta(hours=1))
    assert (await lenient.passwords.prove(EMAIL, OLD)).user_id == ada
    strict = await make_service(verification_enforced_since=now - timedelta(hours=1))
    with pytest.raises(errors.EmailNotVerified):
        await strict.passwords.prove(EMAIL, OLD)
    with pytest.raises(errors.ConfigError):
        await make_service(verification_enforced_since=datetime(2025, 1, 1))  # noqa: DTZ001 - the point


async def test_an_account_without_a_contact_needs_no_verification(service: Service) -> None:
    user = await service.users.create(None, "wallet_1")
    await service.passwords.change(user.id, "", NEW)
    assert (await service.passwords.prove("wallet_1", NEW)).user_id == user.id


@pytest.mark.parametrize(
    "method", ["change", "admin_set", "verify", "confirm_reset", "request_reset", "hash"]
)
async def test_what_hashes_or_leaves_a_mark_refuses_to_join_a_transaction(
    service: Service, ada: str, method: str
) -> None:
    arguments = {"change": (ada, OLD, NEW), "admin_set": (ada, NEW), "verify": (ada, OLD),
                 "confirm_reset": ("t", NEW), "request_reset": (EMAIL,), "hash": (NEW,)}  # fmt: skip
    async with service.transaction() as tx:
        with pytest.raises(errors.NotJoinable):
            await getattr(tx.passwords, method)(*arguments[method])


async def test_the_right_temporary_password_can_be_replaced(service: Service, ada: str) -> None:
    await service.passwords.admin_set(ada, "temporary horse", must_change=True)
    with pytest.raises(errors.PasswordResetRequired) as refused:
        await service.passwords.prove(NAME, "temporary horse")
    assert refused.value.metadata == {"replaceable": True}
    with pytest.raises(errors.InvalidCredentials):
        await service.passwords.replace_temporary(NAME, OLD, NEW)
    with pytest.raises(errors.Invalid):
        await service.passwords.replace_temporary(NAME, "temporary horse", "temporary horse")
    with pytest.raises(errors.PasswordTooCommon):
        await service.passwords.replace_temporary(NAME, "temporary horse", "Password123")
    await service.passwords.replace_temporary(NAME, "temporary horse", NEW)
    assert (await service.passwords.prove(NAME, NEW)).user_id == ada


async def test_a_password_that_is_not_temporary_is_not_replaced_without_a_session(
    service: Service, ada: str
) -> None:
    with pytest.raises(errors.Conflict):
        await service.passwords.replace_temporary(NAME, OLD, NEW)
    await service.passwords.admin_set(ada, "temporary horse", must_change=True)
    await service.lifecycle.ban(ada)
    with pytest.raises(errors.UserBanned):
        await service.passwords.replace_temporary(NAME, "temporary horse", NEW)
    assert (await stored(service, ada))["must_change"] is True
