"""The issuers of well-known providers: an ``IssuerAccept`` for each, from the values of its console.

::

    issuer = presets.keycloak("https://id.example.com", "shop", client="api")
    verifier = Verifier(AcceptConfig(issuers=[issuer]))

Each one maps the claims of the provider, narrows the algorithms to those it documents, and requires claims
that distinguish a token for this application from an ID token and from tokens of other applications. Every
function also takes the ``Settings``; ``dataclasses.replace`` changes any other field.
"""

from __future__ import annotations

from authkit_verify.presets._settings import Settings
from authkit_verify.presets._users import (
    apple,
    auth0,
    clerk,
    cognito,
    entra,
    firebase,
    google,
    keycloak,
    okta,
    supabase,
    workos,
)
from authkit_verify.presets._workloads import cloudflare_access, github_actions, gitlab, kubernetes

__all__ = [
    "Settings",
    "apple",
    "auth0",
    "clerk",
    "cloudflare_access",
    "cognito",
    "entra",
    "firebase",
    "github_actions",
    "gitlab",
    "google",
    "keycloak",
    "kubernetes",
    "okta",
    "supabase",
    "workos",
]
