"""Providers that sign people in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

from authkit_verify.config import IssuerAccept
from authkit_verify.config.claims_mapping import ClaimsMapping
from authkit_verify.config.required_values import RequiredValues
from authkit_verify.config.tenants import Tenants
from authkit_verify.config.values import check_switch, words_of
from authkit_verify.presets._settings import Settings, accept, guid, host, listed, of_guids, one_of

_RS256 = ("RS256",)


def entra(
    tenant: str | None = None,
    *,
    audiences: Sequence[str],
    tenants: Tenants | None = None,
    clients: Sequence[str] | None = None,
    version: Literal[1, 2] = 2,
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """Access tokens of Microsoft Entra ID, of one tenant or of several, for an API that is registered in one.

    An ID token is refused, because it names no client. An application of the tenant may get a token without
    any role or scope: protect every route with a scope or a role.

    Args:
        tenant: The directory (tenant) ID, a GUID: on the overview page of the app registration. Default None:
            ``tenants`` are accepted.
        audiences: The application (client) ID of the API, from the same page. In tokens of version 1 it may
            be the application ID URI (``api://...``) of "Expose an API" instead.
        tenants: The tenants that a registration for several accepts: a list of their IDs, or a function as in
            ``IssuerAccept``, which gets an ID in lower case. ``Claims.tenant`` is the one of a token; ``sub``
            and roles mean something within it alone. Default None: ``tenant`` is accepted.
        clients: The client IDs of the applications that may call. Default None: any that got a token.
        version: The version of the access tokens: ``requestedAccessTokenVersion`` in the manifest of the
            API, where null means 1. Default 2.
        settings: Further fields of ``IssuerAccept``.
    """
    if (tenant is None) == (tenants is None):
        raise ValueError("set either tenant, the directory ID of one tenant, or tenants")
    one, login = "{tenant}" if tenant is None else guid(tenant), "https://login.microsoftonline.com"
    if version == 2:
        issuer, keys, client, names = f"{login}/{one}/v2.0", "v2.0/keys", "azp", ["preferred_username"]
    else:
        issuer, keys, client = f"https://sts.windows.net/{one}/", "keys", "appid"
        names = ["upn", "unique_name"]
    required = {"ver": f"{version}.0", client: one_of("clients", clients)}
    return accept(
        settings,
        required if tenant is None else {"tid": one, **required},
        issuer=issuer,
        tenants=None if tenants is None else of_guids(tenants),
        tenant_claim="tid" if tenant is None else None,
        audiences=audiences,
        jwks_url=f"{login}/{'common' if tenant is None else one}/discovery/{keys}",
        algorithms=_RS256,
        claims=ClaimsMapping(roles="roles", scopes="scp", username=names, client_id=client),
    )


def auth0(
    domain: str, *, audiences: Sequence[str], roles_claim: str = "roles", **settings: Unpack[Settings]
) -> IssuerAccept:
    """Access tokens of Auth0, of either token profile, for an API of the tenant.

    Args:
        domain: The tenant's domain, or the custom domain: on the settings page of any application.
        audiences: The identifier of the API, on its settings page; never the client ID of an application,
            which is the audience of ID tokens.
        roles_claim: The claim that an Action of yours fills, such as ``https://example.com/roles``. Default
            ``roles``. ``Claims.permissions`` needs "Add Permissions in the Access Token" of the API.
        settings: Further fields of ``IssuerAccept``.
    """
    issuer = f"https://{host('domain', domain)}/"
    for audience in audiences:
        if audience == f"{issuer}userinfo":  # in the token of every login
            raise ValueError(f"audiences: {audience!r} is the audience of every login; name the API itself")
    return accept(
        settings,
        {},
        issuer=issuer,
        audiences=audiences,
        jwks_url=f"{issuer}.well-known/jwks.json",
        algorithms=("RS256", "PS256"),
        claims=ClaimsMapping(roles=roles_claim, org="org_id", client_id=["azp", "client_id"]),
    )


def keycloak(
    url: str,
    realm: str,
    *,
    client: str,
    clients: Sequence[str] | None = None,
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """Access tokens of a realm of Keycloak. The roles of the realm and of ``client`` count.

    Args:
        url: The address of the server, with ``/auth`` if it has that path. It begins the ``issuer`` of the
            realm's OpenID endpoint configuration, which is linked in the realm settings.
        realm: The name of the realm.
        client: The client ID of this API. A token needs it among its audiences: map it with a client scope
            of the type "Audience", or give users a role of this client.
        clients: The client IDs that may call. They then take the place of the audience (``azp``), for realms
            without audiences: this API accepts every token of these clients. Default None: the audience
            decides.
        settings: Further fields of ``IssuerAccept``.
    """
    issuer = f"{url.rstrip('/')}/realms/{realm}"
    return accept(
        settings,
        {"typ": ("Bearer", "DPoP")},  # DPoP: of a token that is bound to a key, by cnf
        issuer=issuer,
        audiences=(client,) if clients is None else listed("clients", clients),
        jwks_url=f"{issuer}/protocol/openid-connect/certs",
        claims=ClaimsMapping(
            roles=["realm_access.roles", f'resource_access."{client}".roles'],
            username="preferred_username",
            client_id="azp",
            audience=None if clients is None else "azp",
        ),
    )


def cognito(
    region: str,
    pool: str,
    *,
    clients: Sequence[str],
    audiences: Sequence[str] = (),
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """Access tokens of a user pool of Amazon Cognito. Its groups are roles.

    Args:
        region: The region, such as ``eu-west-1``.
        pool: The user pool ID, ``eu-west-1_...``: on the overview page of the pool.
        clients: The client IDs of the app clients that may call; at least one.
        audiences: The resource identifiers of this API, for tokens that are bound to a resource. A token
            that is bound to another one is refused. Default: only tokens that are bound to none.
        settings: Further fields of ``IssuerAccept``.
    """
    if not pool.startswith(f"{region}_"):
        raise ValueError(f"pool must begin with its region, {region}_, not {pool!r}")
    issuer = f"https://cognito-idp.{region}.amazonaws.com/{pool}"
    return accept(
        settings,
        {"token_use": "access", "client_id": listed("clients", clients)},
        issuer=issuer,
        audiences=(*clients, *words_of("audiences", audiences)),
        jwks_url=f"{issuer}/.well-known/jwks.json",
        algorithms=_RS256,
        claims=ClaimsMapping(roles="cognito:groups", groups="cognito:groups", audience=["aud", "client_id"]),
    )


def okta(
    issuer: str,
    *,
    audiences: Sequence[str],
    clients: Sequence[str] | None = None,
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """Access tokens of a custom authorization server of Okta.

    ``Claims.user_id`` is the ``sub`` that the server is configured with, by default the user's login name.

    Args:
        issuer: The issuer URI, ``https://.../oauth2/...``: Security, API, Authorization Servers. The org
            server, without ``/oauth2/``, issues no access tokens for other APIs.
        audiences: The audience of the same page.
        clients: The client IDs that may call. Default None: any that got a token.
        settings: Further fields of ``IssuerAccept``.
    """
    if "/oauth2/" not in issuer:
        raise ValueError(
            f"issuer must be a custom authorization server, https://.../oauth2/..., not {issuer!r}"
        )
    return accept(
        settings,
        {"cid": one_of("clients", clients)},
        issuer=issuer,
        audiences=audiences,
        jwks_url=f"{issuer}/v1/keys",
        algorithms=_RS256,
        claims=ClaimsMapping(scopes="scp", username="sub", client_id="cid"),
    )


def google(
    *, audiences: Sequence[str], hosted_domains: Sequence[str] | None = None, **settings: Unpack[Settings]
) -> IssuerAccept:
    """ID tokens of Google. Its access tokens are opaque, and no preset accepts them.

    Args:
        audiences: The client IDs of your application, ``....apps.googleusercontent.com``: Google Cloud
            console, Clients; or the audience that a service account requests. At least one.
        hosted_domains: The Google Workspace domains whose users are accepted (``hd``). Default None: every
            Google account.
        settings: Further fields of ``IssuerAccept``.
    """
    required: dict[str, RequiredValues] = {}
    if hosted_domains is not None:
        required["hd"] = listed("hosted_domains", hosted_domains)
    return accept(
        settings,
        required,
        issuer="https://accounts.google.com",
        audiences=audiences,
        jwks_url="https://www.googleapis.com/oauth2/v3/certs",
        algorithms=_RS256,
        claims=ClaimsMapping(username="name", client_id="azp"),
    )


def firebase(
    project: str,
    *,
    sign_in_providers: Sequence[str] | None = None,
    tenant: str | None = None,
    roles_claim: str = "roles",
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """ID tokens of Firebase Authentication, or of the Identity Platform.

    Args:
        project: The project ID: Firebase console, project settings.
        sign_in_providers: The ways to sign in that are accepted, such as ``password`` or ``google.com``.
            Default None: all that the project enables, ``anonymous`` included if that is one of them.
        tenant: The tenant ID of the Identity Platform. Default None: users of every tenant, and of none.
        roles_claim: The custom claim with the roles, which the Admin SDK sets. Default ``roles``.
        settings: Further fields of ``IssuerAccept``.
    """
    required: dict[str, RequiredValues] = {
        "firebase.sign_in_provider": one_of("sign_in_providers", sign_in_providers)
    }
    if tenant is not None:
        required["firebase.tenant"] = tenant
    return accept(
        settings,
        required,
        issuer=f"https://securetoken.google.com/{project}",
        audiences=(project,),
        jwks_url="https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
        algorithms=_RS256,
        claims=ClaimsMapping(roles=roles_claim, username="name", org="firebase.tenant"),
    )


def supabase(
    project: str,
    *,
    anonymous: bool = False,
    clients: Sequence[str] | None = (),
    roles_claim: str = "app_metadata.roles",
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """Access tokens of users of a Supabase project with asymmetric signing keys.

    The keys ``anon`` and ``service_role``, and every token with HS256, are refused. So are those that
    the OAuth server of the project gives to other applications: they have all the rights of the user.

    Args:
        project: The project reference, or the host of a custom domain: project settings, General.
        anonymous: Accept anonymous users too. Default False.
        clients: The client IDs of OAuth applications that may call as a user: Authentication, OAuth Apps.
            None accepts all of them. Default: only tokens that no OAuth application requested.
        roles_claim: The claim with the roles; only your server writes ``app_metadata``. Default
            ``app_metadata.roles``.
        settings: Further fields of ``IssuerAccept``.
    """
    issuer = f"https://{host('project', project if '.' in project else f'{project}.supabase.co')}/auth/v1"
    required: dict[str, RequiredValues] = {"role": "authenticated"}
    check_switch("anonymous", anonymous)
    if not anonymous:
        required["is_anonymous"] = False
    return accept(
        settings,
        required,
        issuer=issuer,
        audiences=("authenticated", *words_of("clients", clients or ())),
        jwks_url=f"{issuer}/.well-known/jwks.json",
        algorithms=("ES256", "RS256"),
        # The aud of every token is the same: where a client is named, it decides.
        claims=ClaimsMapping(roles=roles_claim, audience=None if clients is None else ["client_id", "aud"]),
    )


def clerk(
    domain: str,
    *,
    authorized_parties: Sequence[str],
    roles_claim: str | None = None,
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """Session tokens (version 2) of Clerk. Tokens of pending sessions and of templates are refused.

    Roles in the active organization are ``Claims.org_roles``.

    Args:
        domain: The host of the Frontend API URL, such as ``clerk.example.com``: dashboard, API keys.
        authorized_parties: The origins of your applications, such as ``https://app.example.com``, compared
            with ``azp``; at least one. A token without an origin is refused.
        roles_claim: A claim of the customized session token that is filled from public metadata, which only
            your server writes. Default None.
        settings: Further fields of ``IssuerAccept``.
    """
    issuer = f"https://{host('domain', domain)}"
    return accept(
        settings,
        {"sid": ..., "sts": "active"},
        issuer=issuer,
        audiences=authorized_parties,
        jwks_url=f"{issuer}/.well-known/jwks.json",
        algorithms=_RS256,
        claims=ClaimsMapping(
            audience="azp", client_id="azp", org="o.id", org_roles="o.rol", roles=roles_claim
        ),
    )


def workos(
    client_id: str,
    *,
    audiences: Sequence[str] | None = None,
    issuer: str | None = None,
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """Access tokens of WorkOS AuthKit sessions. Each client has an issuer and keys of its own.

    Roles are ``Claims.org_roles``: they are held in the organization of the session.

    Args:
        client_id: The client ID, ``client_...``: dashboard, API keys.
        audiences: The ``aud`` that your JWT template sets. Default None: any, because tokens have no
            ``aud`` without a template.
        issuer: The ``iss`` of a custom authentication domain. Default None: that of the client.
        settings: Further fields of ``IssuerAccept``.
    """
    return accept(
        settings,
        {"sid": ...},
        issuer=issuer or f"https://api.workos.com/user_management/{client_id}",
        audiences=() if audiences is None else listed("audiences", audiences),
        any_audience=audiences is None,
        jwks_url=f"https://api.workos.com/sso/jwks/{client_id}",
        algorithms=_RS256,
        claims=ClaimsMapping(org="org_id", org_roles=["roles", "role"]),
    )


def apple(*, audiences: Sequence[str], **settings: Unpack[Settings]) -> IssuerAccept:
    """Identity tokens of Sign in with Apple.

    ``Claims.email_verified`` is False where Apple sends the string "true".

    Args:
        audiences: The bundle IDs of your apps and the Services IDs of your sites: developer account,
            Identifiers. At least one.
        settings: Further fields of ``IssuerAccept``.
    """
    return accept(
        settings,
        {},
        issuer="https://appleid.apple.com",
        audiences=audiences,
        jwks_url="https://appleid.apple.com/auth/keys",
        algorithms=_RS256,
    )
