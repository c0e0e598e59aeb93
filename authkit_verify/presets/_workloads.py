"""Providers that identify jobs, services and machines, or a proxy in front of the application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from authkit_verify.config import IssuerAccept
from authkit_verify.config.claims_mapping import ClaimsMapping
from authkit_verify.config.required_values import RequiredValues
from authkit_verify.presets._settings import Settings, accept, host, listed, one_of

_RS256 = ("RS256",)


def github_actions(
    *,
    audiences: Sequence[str],
    repositories: Sequence[str] | None = None,
    owners: Sequence[str] | None = None,
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """ID tokens of jobs in GitHub Actions.

    Every GitHub user can get a token for any audience, so that a repository or an owner must be named.
    ``required_claims={"ref": "refs/heads/main"}`` or ``{"environment": "production"}`` narrows it further.

    Args:
        audiences: The audience that the workflow requests with ``core.getIDToken(audience)``.
        repositories: The repositories whose jobs are accepted, as ``owner/name`` in the case GitHub shows.
        owners: The users or organizations all of whose repositories are accepted; with ``repositories``,
            both must match.
        settings: Further fields of ``IssuerAccept``.
    """
    required = _named(repository=repositories, repository_owner=owners)
    if not required:
        raise ValueError("name repositories or owners: every user can get a token for this audience")
    issuer = "https://token.actions.githubusercontent.com"
    return accept(
        settings,
        required,
        issuer=issuer,
        audiences=audiences,
        jwks_url=f"{issuer}/.well-known/jwks",
        algorithms=_RS256,
        claims=ClaimsMapping(username="actor"),
    )


def gitlab(
    url: str = "https://gitlab.com",
    *,
    audiences: Sequence[str],
    projects: Sequence[str] | None = None,
    namespaces: Sequence[str] | None = None,
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """ID tokens of jobs in GitLab CI/CD. Those of users who sign in with GitLab are refused.

    Every user of the instance can get a token for any audience, so that a project or a namespace must be
    named. ``required_claims={"ref_protected": "true"}`` accepts jobs of protected branches and tags alone.

    Args:
        url: The address of the instance. Default ``https://gitlab.com``.
        audiences: The ``aud`` of ``id_tokens`` in ``.gitlab-ci.yml``.
        projects: The projects whose jobs are accepted, as full paths (``group/project``).
        namespaces: The groups or users whose projects are accepted, as full paths without their subgroups;
            with ``projects``, both must match.
        settings: Further fields of ``IssuerAccept``.
    """
    required = _named(project_path=projects, namespace_path=namespaces)
    if not required:
        raise ValueError(
            "name projects or namespaces: every user of GitLab can get a token for this audience"
        )
    issuer = url.rstrip("/")
    return accept(
        settings,
        required,
        issuer=issuer,
        audiences=audiences,
        jwks_url=f"{issuer}/oauth/discovery/keys",
        algorithms=_RS256,
        claims=ClaimsMapping(username="user_login"),
    )


def kubernetes(
    issuer: str,
    *,
    audiences: Sequence[str],
    namespaces: Sequence[str] | None = None,
    service_accounts: Sequence[str] | None = None,
    jwks_url: str | None = None,
    **settings: Unpack[Settings],
) -> IssuerAccept:
    """Tokens of service accounts of one cluster: those of a projected volume, with an audience of their own.

    Every namespace of the cluster can get a token for any audience. Inside a cluster the key set needs
    ``ca_file`` and ``headers`` of the pod's own service account, unless anonymous requests are allowed.

    Args:
        issuer: The ``issuer`` of ``kubectl get --raw /.well-known/openid-configuration``.
        audiences: The ``audience`` of the projected volume; not that of the API server.
        namespaces: The namespaces that are accepted. Default None: all.
        service_accounts: The service accounts that are accepted, as ``namespace:name``. Default None: all.
        jwks_url: The URL of the key set. Default None: the one that the cluster's metadata names.
        settings: Further fields of ``IssuerAccept``.
    """
    required: dict[str, RequiredValues] = {
        '"kubernetes.io".namespace': one_of("namespaces", namespaces),
        '"kubernetes.io".serviceaccount.name': ...,
    }
    if service_accounts is not None:
        names = listed("service_accounts", service_accounts)
        required["sub"] = [f"system:serviceaccount:{name}" for name in names]
    return accept(
        settings,
        required,
        issuer=issuer,
        audiences=audiences,
        jwks_url=jwks_url,
        discovery=jwks_url is None,
        claims=ClaimsMapping(username='"kubernetes.io".serviceaccount.name'),
    )


def cloudflare_access(team: str, *, audiences: Sequence[str], **settings: Unpack[Settings]) -> IssuerAccept:
    """Application tokens that Cloudflare Access adds to the requests of signed-in users.

    They come in the header ``Cf-Access-Jwt-Assertion``. Service tokens are refused: they have no ``sub``.

    Args:
        team: The team name, or its domain ``....cloudflareaccess.com``: Zero Trust, Settings.
        audiences: The application audience (AUD) tag of each application: Access, Applications, Overview.
        settings: Further fields of ``IssuerAccept``.
    """
    issuer = f"https://{host('team', team if '.' in team else f'{team}.cloudflareaccess.com')}"
    return accept(
        settings,
        {"type": "app"},
        issuer=issuer,
        audiences=audiences,
        jwks_url=f"{issuer}/cdn-cgi/access/certs",
        algorithms=_RS256,
        claims=ClaimsMapping(username="email"),
    )


def _named(**values: Sequence[str] | None) -> dict[str, RequiredValues]:
    return {claim: listed(claim, names) for claim, names in values.items() if names is not None}
