"""Never run: type checkers read it, and fail when the public types no longer mean what hosts rely on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any, assert_type

from authkit_issuer import (
    AccessToken,
    Account,
    AuthError,
    AuthEventLogger,
    AuthSessionEvent,
    Client,
    Config,
    EmailSender,
    Entitlement,
    EntitlementsProvider,
    KeySource,
    Provider,
    Purged,
    Registered,
    Service,
    Session,
    SessionRevokeReason,
    SignInInput,
    SignInOutput,
    SiwsLogin,
    TokenPair,
    TwoFactorSettings,
    User,
)
from authkit_issuer.http import create_app
from authkit_verify import (
    AcceptConfig,
    AuthMiddleware,
    Claims,
    Enricher,
    IssuerAccept,
    Principal,
    TokenError,
    Verifier,
    require_admin,
    require_scope,
)
from authkit_verify.fastapi import Bearer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def a_plain_asgi_app(scope: Scope, receive: Receive, send: Send) -> None: ...


async def verifying() -> None:
    accept = AcceptConfig(
        issuers=[
            IssuerAccept(issuer="https://a.example.com", audiences=["api"], required_scopes=("read",)),
            IssuerAccept(
                issuer="https://b.example.com",
                any_audience=True,
                jwks_url="https://b.example.com/keys",
                pinned_pems=("pem", b"pem", ("kid", "pem")),
                algorithms=("ES256",),
                token_types=("at+jwt",),
                cache_ttl=60.0,
                max_stale=600.0,
            ),
        ],
        algorithms=("RS256", "ES256"),
        skew=30.0,
    )
    async with Verifier(accept) as verifier:
        await verifier.warm()
        try:
            claims = await verifier.verify("token")
        except TokenError as refusal:
            spoken: tuple[str, str] = (refusal.code, refusal.description)
            del spoken
        else:
            reading(claims)
    AuthMiddleware(a_plain_asgi_app, verifier=verifier, required=False, exclude=("/healthz",))


async def guarding(verifier: Verifier, service: Service, scope: Scope) -> None:
    enricher = Enricher(service.enrichment(), issuers=["https://a.example.com"], roles="always")
    AuthMiddleware(require_admin()(a_plain_asgi_app), verifier, enrichment=enricher)
    AuthMiddleware(a_plain_asgi_app, verifier, enrichment=service.enrichment())
    caller = await require_scope("read").check(scope)
    assert_type(caller, Principal)
    assert_type(caller.identity, str)
    assert_type(caller.roles, tuple[str, ...])
    assert_type(caller.claims, Claims)
    Bearer(verifier).where(require_admin())


def reading(claims: Claims) -> None:
    assert_type(claims.user_id, str)
    assert_type(claims.issuer, str)
    assert_type(claims.audience, tuple[str, ...])
    assert_type(claims.roles, tuple[str, ...])
    assert_type(claims.scopes, tuple[str, ...])
    assert_type(claims.amr, tuple[str, ...])
    assert_type(claims.auth_time, int | None)
    assert_type(claims.expires_at, int)
    assert_type(claims.has_role("admin"), bool)
    assert_type(claims.has_entitlement("pro"), bool)


class Mails:
    """The smallest mail sender a host may bring."""

    async def send_password_reset_code(self, email: str, username: str, code: str) -> None: ...

    async def send_email_verification_code(self, email: str, username: str, code: str) -> None: ...

    async def send_login_code(self, email: str, username: str, code: str) -> None: ...

    async def send_welcome(self, email: str, username: str) -> None: ...


class Licences:
    """A host's source of entitlements."""

    async def list_entitlements(self, user_id: str) -> Sequence[Entitlement]:
        return [Entitlement(name=user_id, metadata={"seats": 3})]


class Sink:
    """A sink of the audit trail."""

    name = "host"

    async def log_session_event(self, event: AuthSessionEvent) -> None: ...


async def issuing(keys: KeySource) -> None:
    mails: EmailSender = Mails()
    licences: EntitlementsProvider = Licences()
    sink: AuthEventLogger = Sink()
    config = Config(issuer="https://a.example.com", issued_audiences=("api",), keys=keys)
    service = await Service.open(
        config, email_sender=mails, entitlements_provider=licences, event_loggers=[sink]
    )
    provider: Provider = service
    assert_type(provider.has_email_sender, bool)
    who = Client(ip="192.0.2.1", user_agent="x")
    assert_type(await service.registration.register("a@example.com", "ada", "x" * 8, client=who), Registered)
    assert_type(await service.logins.with_password("ada", "x" * 8, client=who), TokenPair)
    pair = await service.sessions.exchange("token", client=who)
    assert_type(pair.expires_in, int)
    assert_type(pair.expires_at, datetime)
    signed_in: Account = await service.sessions.authenticate(pair.user_id, pair.session_id)
    assert_type(signed_in.roles, list[str])
    assert_type(await service.sessions.list_for_user(pair.user_id), list[Session])
    assert_type(
        await service.sessions.revoke_all(pair.user_id, reason=SessionRevokeReason.ADMIN_REVOKE_ALL), int
    )
    assert_type(await service.logins.complete_two_factor("id", "challenge", "123456"), TokenPair)
    assert_type(await service.logins.step_up_password("id", "session", "password"), AccessToken)
    assert_type(await service.two_factor.get_settings("id"), TwoFactorSettings | None)
    assert_type(await service.two_factor.enable("id", "email", code="123456"), list[str])
    asked = await service.solana.generate_challenge("app.example.com", "address")
    assert_type(asked, SignInInput)
    output = SignInOutput.from_json({"account": {"address": "a"}, "signature": "", "signedMessage": ""})
    assert_type(await service.solana.verify_and_login(output, {"theme": "dark"}), SiwsLogin)
    assert_type(await service.users.get("id"), User | None)
    assert_type(await service.usernames.resolve("ada"), tuple[str, str])
    assert_type(await service.lifecycle.hard_delete("id", force=True), bool)
    assert_type(await service.lifecycle.purge_deleted(before=None), Purged)
    assert_type(await service.tokens.verify(pair.access_token), Claims)
    assert_type(await service.health(), dict[str, bool])
    async with service.transaction() as tx:
        assert_type(tx, Service)
    create_app(service)
    await service.close()


def refused(error: AuthError) -> None:
    assert_type(error.code, str)
    assert_type(error.param, str | None)
    metadata: Mapping[str, object] = error.metadata
    del metadata
