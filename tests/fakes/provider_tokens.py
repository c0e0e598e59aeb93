"""Payloads of the tokens of well-known providers, in the shape that each one documents.

``iss``, ``sub`` and the times are added when a token is minted, unless they are given here.
"""

from __future__ import annotations

from typing import Any

Payload = dict[str, Any]

TENANT = "11111111-2222-3333-4444-555555555555"
API, WEB = "aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002"

ENTRA_2: Payload = {
    "aud": API, "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "aio": "ATQAy/8TAAAA", "azp": WEB,
    "azpacr": "0", "name": "Ann Example", "oid": "bbbbbbbb-0000-0000-0000-000000000001",
    "preferred_username": "ann@example.com", "rh": "0.AX0A.", "roles": ["Orders.Admin"],
    "scp": "orders.read orders.write", "sub": "pairwise-ann", "tid": TENANT, "uti": "u1", "ver": "2.0",
}  # fmt: skip
ENTRA_2_ID: Payload = {
    "aud": API, "iss": ENTRA_2["iss"], "name": "Ann Example", "nonce": "n", "oid": ENTRA_2["oid"],
    "sub": "pairwise-ann",
    "preferred_username": "ann@example.com", "roles": ["Orders.Admin"], "tid": TENANT, "ver": "2.0",
}  # fmt: skip
ENTRA_1: Payload = {
    "aud": "api://orders", "iss": f"https://sts.windows.net/{TENANT}/", "acr": "1", "amr": ["pwd", "mfa"],
    "appid": WEB, "appidacr": "0", "ipaddr": "192.0.2.1", "oid": ENTRA_2["oid"], "scp": "orders.read",
    "tid": TENANT, "unique_name": "ann@example.com", "upn": "ann@example.com", "ver": "1.0",
}  # fmt: skip
AUTH0: Payload = {
    "iss": "https://shop.eu.auth0.com/", "sub": "auth0|5f1", "azp": "web-client",
    "aud": ["https://api.shop", "https://shop.eu.auth0.com/userinfo"],
    "scope": "openid profile read:orders", "permissions": ["read:orders", "delete:orders"],
    "org_id": "org_1", "https://shop.example/roles": ["staff"],
}  # fmt: skip
AUTH0_ID: Payload = {
    "iss": "https://shop.eu.auth0.com/", "sub": "auth0|5f1", "aud": "web-client", "nonce": "n", "sid": "s",
    "nickname": "ann", "email": "ann@example.com", "email_verified": True,
}  # fmt: skip
KEYCLOAK: Payload = {
    "iss": "https://id.example.com/realms/shop", "aud": ["orders", "account"], "typ": "Bearer", "azp": "web",
    "sid": "s", "acr": "1", "allowed-origins": ["https://web.example.com"],
    "realm_access": {"roles": ["offline_access", "staff"]},
    "resource_access": {"orders": {"roles": ["editor"]}, "account": {"roles": ["view-profile"]}},
    "scope": "openid email profile", "email_verified": True, "preferred_username": "ann",
    "groups": ["/sales"],
}  # fmt: skip
COGNITO: Payload = {
    "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf", "client_id": "app1",
    "origin_jti": "o", "event_id": "e", "token_use": "access",
    "scope": "aws.cognito.signin.user.admin orders/read",
    "auth_time": 1_900_000_000, "jti": "j", "username": "ann", "cognito:groups": ["staff"], "version": 2,
}  # fmt: skip
COGNITO_ID: Payload = {
    "iss": COGNITO["iss"], "aud": "app1", "token_use": "id", "cognito:username": "ann",
    "cognito:groups": ["staff"], "email": "ann@example.com", "email_verified": True,
}  # fmt: skip
OKTA: Payload = {
    "iss": "https://shop.okta.com/oauth2/default", "aud": "api://default", "ver": 1, "jti": "AT.1",
    "cid": "0oa1", "uid": "00u1", "scp": ["openid", "orders.read"], "sub": "ann@example.com",
    "auth_time": 1_900_000_000, "groups": ["Everyone", "Sales"],
}  # fmt: skip
GOOGLE: Payload = {
    "iss": "https://accounts.google.com", "aud": "1-web.apps.googleusercontent.com",
    "azp": "1-web.apps.googleusercontent.com", "sub": "110169484474386276334", "hd": "example.com",
    "email": "ann@example.com", "email_verified": True, "at_hash": "h", "name": "Ann Example", "locale": "en",
}  # fmt: skip
FIREBASE: Payload = {
    "iss": "https://securetoken.google.com/shop-1", "aud": "shop-1", "auth_time": 1_900_000_000,
    "user_id": "uid1", "sub": "uid1", "name": "Ann Example", "email": "ann@example.com",
    "email_verified": True, "roles": ["staff"],
    "firebase": {"identities": {"email": ["ann@example.com"]}, "sign_in_provider": "password"},
}  # fmt: skip
SUPABASE: Payload = {
    "iss": "https://abcdefgh.supabase.co/auth/v1", "aud": "authenticated", "role": "authenticated",
    "aal": "aal1", "session_id": "s", "email": "ann@example.com", "phone": "", "is_anonymous": False,
    "app_metadata": {"provider": "email", "providers": ["email"], "roles": ["staff"]},
    "user_metadata": {"name": "Ann", "roles": ["admin"]}, "amr": [{"method": "password", "timestamp": 1}],
}  # fmt: skip
CLERK: Payload = {
    "iss": "https://clerk.example.com", "azp": "https://app.example.com", "sid": "sess_1", "sub": "user_1",
    "sts": "active", "fva": [7, -1], "v": 2, "jti": "j", "pla": "u:free", "fea": "o:dashboard",
    "o": {"id": "org_1", "slg": "acme", "rol": "admin", "per": "manage", "fpm": "1"},
}  # fmt: skip
WORKOS: Payload = {
    "iss": "https://api.workos.com/user_management/client_1", "sub": "user_1", "sid": "session_1", "jti": "j",
    "org_id": "org_1", "role": "member", "roles": ["member", "editor"], "permissions": ["posts:read"],
    "entitlements": ["audit-logs"],
}  # fmt: skip
APPLE: Payload = {
    "iss": "https://appleid.apple.com", "aud": "com.example.app", "sub": "000544.5e20.1321", "c_hash": "h",
    "email": "x@privaterelay.appleid.com", "email_verified": "true", "nonce_supported": True,
}  # fmt: skip
GITHUB: Payload = {
    "iss": "https://token.actions.githubusercontent.com", "aud": "https://api.example.com", "jti": "j",
    "sub": "repo:acme/shop:ref:refs/heads/main", "ref": "refs/heads/main", "sha": "0" * 40,
    "repository": "acme/shop", "repository_id": "74", "repository_owner": "acme", "repository_owner_id": "65",
    "run_id": "1", "actor": "ann", "actor_id": "12", "workflow": "deploy", "event_name": "push",
    "ref_type": "branch", "job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
    "runner_environment": "github-hosted", "repository_visibility": "private",
}  # fmt: skip
GITLAB: Payload = {
    "iss": "https://gitlab.com", "aud": "https://api.example.com", "jti": "j",
    "sub": "project_path:acme/shop:ref_type:branch:ref:main", "namespace_id": "72", "namespace_path": "acme",
    "project_id": "20", "project_path": "acme/shop", "user_id": "1", "user_login": "ann",
    "user_email": "ann@example.com", "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
    "ref": "main", "ref_type": "branch", "ref_protected": "true", "runner_environment": "gitlab-hosted",
}  # fmt: skip
GITLAB_LOGIN: Payload = {
    "iss": "https://gitlab.com", "aud": "https://api.example.com", "sub": "1", "nickname": "ann",
    "preferred_username": "ann", "groups_direct": ["acme"],
}  # fmt: skip
KUBERNETES: Payload = {
    "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["orders"], "jti": "j",
    "kubernetes.io": {
        "namespace": "web", "node": {"name": "n1", "uid": "u"}, "pod": {"name": "web-1", "uid": "u"},
        "serviceaccount": {"name": "frontend", "uid": "u"}, "warnafter": 1_900_003_607,
    },
    "sub": "system:serviceaccount:web:frontend",
}  # fmt: skip
CLOUDFLARE: Payload = {
    "iss": "https://acme.cloudflareaccess.com", "aud": ["32eafc7626e9"], "email": "ann@example.com",
    "type": "app", "identity_nonce": "n", "sub": "7335d417", "country": "US",
}  # fmt: skip
