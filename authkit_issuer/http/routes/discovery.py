"""What this service is and offers: authorization server metadata (RFC 8414) and capabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authkit_issuer.domains.base.contacts import EMAIL, PHONE
from authkit_issuer.domains.base.login_issuers import wallet_domains
from authkit_issuer.http.assets import CLIENT
from authkit_issuer.http.conditional import cached
from authkit_issuer.http.operations import Auth, Plain, with_passwordless, with_recovery
from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.route_groups import Routes

if TYPE_CHECKING:
    from authkit_issuer.config import Config
    from authkit_issuer.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServerMetadata:
    """Where the endpoints are. Clients that want an authorization endpoint are not served here."""

    issuer: str
    jwks_uri: str
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str | None = None
    response_types_supported: list[str]
    grant_types_supported: list[str]
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Which contacts can be reached."""

    email: bool
    phone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactorKinds:
    """Which second factors an account may have: codes to an email address or a phone, apps.

    ``policy`` is ``off``, ``optional`` or ``required``.
    """

    email: bool
    phone: bool
    totp: bool
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordlessLogins:
    """Which contacts sign in by a message, with links or not, and whether that makes accounts."""

    email: bool
    phone: bool
    links: bool
    registration: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginProvider:
    """An external login that a person may choose."""

    id: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserClient:
    """The client for browsers: a path whose content never changes, and the hash that pages may state."""

    path: str
    integrity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a front end may offer."""

    org_mode: str
    registration: Channels
    verification_required: bool
    password: bool
    two_factor: SecondFactorKinds
    providers: list[LoginProvider]
    passwordless: PasswordlessLogins | None = None
    """Left out where no message signs in."""
    passkeys: bool
    recovery: bool
    solana: bool
    refresh_cookie: bool
    introspection: bool
    languages: list[str]
    browser_client: BrowserClient


routes = Routes(tag="discovery", auth=Auth.PUBLIC, limit=None)


@routes.get(
    "/.well-known/openid-configuration",
    "Where the endpoints are, for OpenID Connect libraries",
    name="getOpenidConfiguration",
    offered=lambda service: bool(address_of(service.config)),
    returns=AuthorizationServerMetadata,
    omit_none=True,
    cors=True,
    document=True,
)
@routes.get(
    "/.well-known/oauth-authorization-server",
    "Where the endpoints are (RFC 8414)",
    offered=lambda service: bool(address_of(service.config)),
    returns=AuthorizationServerMetadata,
    omit_none=True,
    cors=True,
    document=True,
)
async def get_authorization_server_metadata(call: Plain) -> RawResponse:
    """Return the metadata document."""
    return cached(_metadata(call.service), call.header(b"if-none-match"))


@routes.get(
    "/auth/capabilities",
    "What this service offers",
    returns=Capabilities,
    cors=True,
    document=True,
    omit_none=True,
)
async def get_capabilities(call: Plain) -> RawResponse:
    """Return the features of this service."""
    return cached(_capabilities(call.service), call.header(b"if-none-match"))


def address_of(config: Config) -> str:
    """Return where this service is reached, without a slash at the end; ``""`` when nothing says."""
    address = config.base_url or config.issuer
    return address.rstrip("/") if urlsplit(address).scheme in {"http", "https"} else ""


def _metadata(service: Service) -> AuthorizationServerMetadata:
    base, config = address_of(service.config), service.config
    routes_at = f"{base}{config.route_prefix}"
    return AuthorizationServerMetadata(
        issuer=config.issuer,
        jwks_uri=f"{base}/.well-known/jwks.json",
        token_endpoint=f"{routes_at}/token",
        revocation_endpoint=f"{routes_at}/revoke",
        introspection_endpoint=f"{routes_at}/introspect" if config.introspection_clients else None,
        response_types_supported=[],
        grant_types_supported=["refresh_token"],
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=sorted({key["alg"] for key in service.tokens.jwks()["keys"]}),
        token_endpoint_auth_methods_supported=["none"],
        revocation_endpoint_auth_methods_supported=["none"],  # left out, it would mean client_secret_basic
        introspection_endpoint_auth_methods_supported=(
            ["client_secret_basic", "client_secret_post"] if config.introspection_clients else None
        ),
    )


def _capabilities(service: Service) -> Capabilities:
    config = service.config
    reachable = Channels(email=service.has_email_sender, phone=service.has_sms_sender)
    known = {"google", "apple", "discord", "github"}
    return Capabilities(
        org_mode=config.org_mode,
        registration=reachable,
        verification_required=config.verification_required,
        password=True,
        two_factor=SecondFactorKinds(
            email=reachable.email,
            phone=reachable.phone,
            totp=service.totp.available,
            policy=config.two_factor_policy,
        ),
        providers=[
            LoginProvider(id=slug, kind=slug if slug in known else "oidc")
            for slug in sorted(config.providers)
        ],
        passwordless=_passwordless(service),
        passkeys=config.webauthn_rp_id is not None,
        recovery=with_recovery(service),
        solana=bool(wallet_domains(config)),
        refresh_cookie=config.refresh_cookie,
        introspection=bool(config.introspection_clients),
        languages=list(config.languages),
        browser_client=BrowserClient(
            path=f"{config.route_prefix}/client/{CLIENT.script.version}/authkit.js",
            integrity=CLIENT.script.integrity,
        ),
    )


def _passwordless(service: Service) -> PasswordlessLogins | None:
    if not with_passwordless(service):
        return None
    passwordless = service.passwordless
    return PasswordlessLogins(
        email=passwordless.offers(EMAIL),
        phone=passwordless.offers(PHONE),
        links=passwordless.has_links,
        registration=service.config.passwordless_registration,
    )
