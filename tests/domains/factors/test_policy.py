"""Who must have a second factor: the policy of the service, of roles, and of organizations."""

from __future__ import annotations

import jwt
import pytest

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.errors import ConfigError
from authkit_issuer.security.own_tokens import enrollment_audience
from authkit_issuer.service import Service
from authkit_verify import TokenError
from fakes.factors import EMAIL, PASSWORD, add_app, app_code, events, let_codes_be_new, new_user, with_app
from fakes.mail import Mailbox


@pytest.fixture
async def strict(make_service) -> Service:
    return await make_service(two_factor_policy="required")


async def enrollment(service: Service, email: str = EMAIL) -> str:
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await service.logins.with_password(email, PASSWORD)
    assert required.value.metadata["expires_in"] == 600
    return str(required.value.metadata["enrollment_token"])


@pytest.mark.parametrize("method", ["password_login", "solana_login", "google_oidc", "email_verification"])
async def test_every_first_factor_gets_an_enrollment_token_and_no_session(
    strict: Service, method: str
) -> None:
    user_id = await new_user(strict)
    epoch = await strict.pool.fetchval("select auth_epoch from profiles.users")
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await strict.logins.finish(
            FirstFactor(user_id=user_id, auth_epoch=epoch), method=method, amr=("pwd",)
        )
    token = str(required.value.metadata["enrollment_token"])
    account = await strict.second_factors.authenticate_enrollment(token)
    assert (account.id, account.session_id, account.two_factor) == (user_id, "", False)
    assert await strict.sessions.list_for_user(user_id) == []
    assert await events(strict, "session_failed") == []


async def test_a_factor_opens_the_way_and_ends_the_token(strict: Service) -> None:
    user_id = await new_user(strict, password=PASSWORD)
    token = await enrollment(strict)
    secret, _ = await add_app(strict, user_id)
    with pytest.raises(errors.SessionEnded):
        await strict.second_factors.authenticate_enrollment(token)
    with pytest.raises(errors.TwoFactorRequired) as required:
        await strict.logins.with_password(EMAIL, PASSWORD)
    challenge = str(required.value.metadata["challenge"])
    assert await strict.logins.complete_two_factor(user_id, challenge, app_code(secret))


async def test_a_token_ends_with_its_time_its_account_and_its_epoch(strict: Service, clock) -> None:
    user_id = await new_user(strict, password=PASSWORD)
    token = await enrollment(strict)
    clock.advance(602)
    with pytest.raises(TokenError):
        await strict.second_factors.authenticate_enrollment(token)
    token = await enrollment(strict)
    await strict.sessions.revoke_all(user_id)
    with pytest.raises(errors.SessionEnded):
        await strict.second_factors.authenticate_enrollment(token)
    token = await enrollment(strict)
    await strict.pool.execute("update profiles.users set banned_at = now()")
    with pytest.raises(errors.UserDisabled):
        await strict.second_factors.authenticate_enrollment(token)


async def test_no_verifier_takes_an_enrollment_token_for_an_access_token(
    strict: Service, make_service, key_source
) -> None:
    user_id = await new_user(strict, password=PASSWORD)
    token = await enrollment(strict)
    for verify in (strict.tokens.verify, strict.verifier().verify):
        with pytest.raises(TokenError):
            await verify(token)
    public = key_source.current().signing.private_key.public_key()
    assert jwt.get_unverified_header(token)["typ"] == "enrollment+jwt"
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, public, ["RS256"], audience="app", options={"verify_exp": False})
    access = (await strict.tokens.issue_access(user_id)).token
    for other in (access, token[:-4] + "AAAA", "", "x.y.z"):
        with pytest.raises(TokenError):
            await strict.second_factors.authenticate_enrollment(other)


def test_the_audience_is_never_one_of_access_tokens() -> None:
    config = Config(issuer="https://id.example.test", issued_audiences=("api",))
    assert enrollment_audience(config) == "https://id.example.test"
    same = Config(issuer="https://id.example.test", issued_audiences=("https://id.example.test",))
    assert enrollment_audience(same) not in same.issued_audiences


async def test_a_password_adds_no_factor_to_an_account_with_a_passkey(make_service) -> None:
    strict: Service = await make_service(two_factor_policy="required", webauthn_rp_id="example.test")
    user_id = await new_user(strict, password=PASSWORD)
    await strict.pool.execute(
        "insert into profiles.passkeys (id, user_id, credential_id, public_key, sign_count, aaguid, name,"
        " backup_eligible, backed_up) values (gen_random_uuid(), $1::text::uuid, '\\x00112233445566778899"
        "aabbccddeeff', 'key', 0, gen_random_uuid(), 'Passkey', false, false)",
        user_id,
    )
    with pytest.raises(errors.TwoFactorEnrollmentRequired) as required:
        await strict.logins.with_password(EMAIL, PASSWORD)
    assert required.value.metadata == {"methods": ["passkey"]}
    epoch = await strict.pool.fetchval("select auth_epoch from profiles.users")
    passkey = FirstFactor(user_id=user_id, auth_epoch=epoch, is_multi_factor=True)
    assert await strict.logins.finish(passkey, method="passkey_login", amr=("swk", "user", "mfa"))


async def test_a_stricter_policy_reaches_sessions_at_their_next_refresh_and_a_looser_one_at_once(
    service: Service, make_service
) -> None:
    user_id = await new_user(service, password=PASSWORD)
    pair = await service.logins.with_password(EMAIL, PASSWORD)
    strict: Service = await make_service(two_factor_policy="required")
    for _ in range(5):
        with pytest.raises(errors.TwoFactorEnrollmentRequired) as refusal:
            await strict.sessions.exchange(pair.refresh_token)
        assert refusal.value.metadata == {}
    pair = await service.sessions.exchange(pair.refresh_token)
    await add_app(service, user_id)
    assert await strict.sessions.exchange(pair.refresh_token)


async def test_the_session_of_an_exempt_method_goes_on(make_service) -> None:
    service: Service = await make_service(
        two_factor_policy="required", two_factor_exempt_methods=("google_oidc",)
    )
    user_id = await new_user(service)
    epoch = await service.pool.fetchval("select auth_epoch from profiles.users")
    proof = FirstFactor(user_id=user_id, auth_epoch=epoch)
    pair = await service.logins.finish(proof, method="google_oidc", amr=())
    assert await service.sessions.exchange(pair.refresh_token)
    # The session of a host has no method, which is not exempt.
    issued = await service.sessions.issue(user_id)
    with pytest.raises(errors.TwoFactorEnrollmentRequired):
        await service.sessions.exchange(issued.refresh_token)


async def test_a_password_gives_no_token_without_a_session_either(strict: Service) -> None:
    await new_user(strict, password=PASSWORD)
    with pytest.raises(errors.TwoFactorEnrollmentRequired):
        await strict.passwords.login(EMAIL, PASSWORD)


async def test_a_dead_session_is_refused_as_before(strict: Service, service: Service) -> None:
    user_id = await new_user(service, password=PASSWORD)
    pair = await service.logins.with_password(EMAIL, PASSWORD)
    await service.sessions.revoke_all(user_id)
    with pytest.raises(errors.InvalidRefreshToken):
        await strict.sessions.exchange(pair.refresh_token)


async def test_a_role_counts_only_with_a_second_factor(make_service) -> None:
    service: Service = await make_service(two_factor_required_roles=("admin",))
    user_id = await new_user(service, password=PASSWORD)
    await service.roles.define("editor")
    for role in ("admin", "editor"):
        await service.roles.assign(user_id, role)
    pair = await service.logins.with_password(EMAIL, PASSWORD)

    async def roles(access: str) -> list[str]:
        claims = jwt.decode(access, options={"verify_signature": False})
        account = await service.sessions.authenticate(user_id, pair.session_id)
        introspected = await service.sessions.claims_of(access)
        enriched = await service.enrichment().enrich(user_id)
        assert introspected is not None
        assert claims["roles"] == account.roles == list(introspected["roles"]) == list(enriched.roles)
        return claims["roles"]

    assert await roles(pair.access_token) == ["editor"]
    await add_app(service, user_id, keep=pair.session_id)
    refreshed = await service.sessions.exchange(pair.refresh_token)
    assert await roles(refreshed.access_token) == ["admin", "editor"]


@pytest.mark.parametrize("required", ["role", "org", "service", ""])
@pytest.mark.parametrize("short_form", [True, False])
async def test_a_first_factor_that_is_required_ends_the_sessions_of_before(
    make_service, mailbox, required: str, *, short_form: bool
) -> None:
    roles = ("admin",) if required == "role" else ()
    service: Service = await make_service(two_factor_required_roles=roles, org_mode="multi")
    user_id = await new_user(service, password=PASSWORD)
    await service.roles.assign(user_id, "admin")
    await service.orgs.create("acme", owner_user_id=user_id)
    await service.orgs.require_two_factor("acme", required=required == "org", actor=user_id)
    thief, owner = [await service.logins.with_password(EMAIL, PASSWORD) for _ in range(2)]
    if required == "service":
        service = await make_service(two_factor_policy="required", org_mode="multi")

    async def live() -> set[str]:
        return {session.id for session in await service.sessions.list_for_user(user_id)}

    if short_form:
        await service.two_factor.send_email_setup_code(user_id)
        code = mailbox.last(EMAIL).code
        await service.two_factor.enable(
            user_id, "email", code=code, keep_session_id=owner.session_id, end_other_sessions=False
        )
    else:
        await add_app(service, user_id, keep=owner.session_id)
    assert await live() == ({owner.session_id} if required else {owner.session_id, thief.session_id})
    if short_form:
        # Another factor changes nothing about who has the role.
        await service.sessions.issue(user_id)
        before = await live()
        await add_app(service, user_id, keep=owner.session_id)
        assert await live() == before


async def test_an_organization_issues_no_token_to_members_without_a_second_factor(make_service) -> None:
    service: Service = await make_service(org_mode="multi")
    user_id = await new_user(service, password=PASSWORD)
    org = await service.orgs.create("acme", owner_user_id=user_id)
    pair = await service.logins.with_password(EMAIL, PASSWORD, org="acme")
    await service.orgs.require_two_factor("acme", required=True, actor=user_id)
    await service.orgs.require_two_factor("acme", required=True, actor=user_id)
    assert await service.orgs.requires_two_factor("acme")
    (event,) = await events(service, "org_policy_changed")
    assert (event["target"], event["actor"]) == (org.id, user_id)
    for call in (
        lambda: service.logins.with_password(EMAIL, PASSWORD, org="acme"),
        lambda: service.sessions.exchange(pair.refresh_token, org="acme"),
        lambda: service.tokens.issue_org_access(user_id, "", "acme"),
    ):
        with pytest.raises(errors.TwoFactorRequiredByOrg):
            await call()
    assert len(await service.sessions.list_for_user(user_id)) == 1
    assert await service.sessions.claims_of(pair.access_token) is None
    # Without the organization the session goes on.
    pair = await service.sessions.exchange(pair.refresh_token)
    await add_app(service, user_id, keep=pair.session_id)
    pair = await service.sessions.exchange(pair.refresh_token, org="acme")
    await service.two_factor.disable(user_id)
    with pytest.raises(errors.TwoFactorRequiredByOrg):
        await service.sessions.exchange(pair.refresh_token, org="acme")
    await service.orgs.require_two_factor("acme", required=False, actor=user_id)
    assert await service.sessions.exchange(pair.refresh_token, org="acme")


async def test_off_offers_none_and_keeps_those_that_are_there(service: Service, make_service) -> None:
    user_id, secret, _ = await with_app(service, password=PASSWORD)
    off: Service = await make_service(two_factor_policy="off")
    for call in (
        off.totp.begin(user_id),
        off.second_factors.add(user_id, "email", code="123456"),
        off.two_factor.enable(user_id, "email", code="123456"),
    ):
        with pytest.raises(errors.TwoFactorMethodUnavailable):
            await call
    with pytest.raises(errors.TwoFactorRequired) as required:
        await off.logins.with_password(EMAIL, PASSWORD)
    challenge = str(required.value.metadata["challenge"])
    await let_codes_be_new(service)
    assert await off.logins.complete_two_factor(user_id, challenge, app_code(secret))


async def test_a_failing_query_skips_no_policy(strict: Service, mailbox: Mailbox) -> None:
    await new_user(strict, password=PASSWORD)
    await strict.pool.execute("alter table profiles.passkeys rename to gone")
    try:
        with pytest.raises(Exception, match="passkeys"):
            await strict.logins.with_password(EMAIL, PASSWORD)
    finally:
        await strict.pool.execute("alter table profiles.gone rename to passkeys")


@pytest.mark.parametrize("policy", ["", "on", "require"])
def test_another_policy_is_refused(policy: str) -> None:
    with pytest.raises(ConfigError, match="two_factor_policy"):
        Config(issuer="https://id.example.test", issued_audiences=("api",), two_factor_policy=policy)  # type: ignore[arg-type]
