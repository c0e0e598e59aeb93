"""The requests of a native app that signs in, and links, with an ID token."""

from __future__ import annotations

import dataclasses
from typing import Any

import httpx

from authkit_issuer.http import create_app

BASE = "https://id.example.test"


async def test_a_native_app_signs_in_and_links_over_http(make_service, idp, providers):
    apps = {"loop": dataclasses.replace(providers["loop"], native_client_ids=("the app",))}
    service = await make_service(providers=apps, base_url=BASE)
    transport = httpx.ASGITransport(app=create_app(service), client=("127.0.0.1", 4711))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as api:
        user = await sign_in_and_link(api, idp)
    assert await service.providers.count(user) == 1


async def sign_in_and_link(api: httpx.AsyncClient, idp: Any) -> str:
    began = await api.post("/auth/oidc/loop/native/start", json={})
    assert set(began.json()) == {"login_id", "nonce", "expires_in"}
    given = {"login_id": began.json()["login_id"]}
    given["id_token"] = idp.sign(idp.right_claims(began.json()["nonce"]) | {"aud": "the app"})
    opened = await api.post("/auth/oidc/loop/native", json=given)
    assert opened.status_code == 200, opened.text
    body = opened.json()
    assert (body["flow"], body["created"], body["token_type"]) == ("login", True, "Bearer")
    again = await api.post("/auth/oidc/loop/native", json=given)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_state")
    bearer = {"authorization": f"Bearer {body['access_token']}"}
    linking = await api.post("/auth/oidc/loop/link/native/start", json={}, headers=bearer)
    wrong = {"login_id": linking.json()["login_id"], "id_token": given["id_token"]}
    refused = await api.post("/auth/oidc/loop/native", json=wrong)
    assert (refused.status_code, refused.json()["error"]) == (401, "oidc_exchange_failed")
    assert refused.json()["metadata"] == {"check": "nonce"}
    linking = await api.post("/auth/oidc/loop/link/native/start", json={}, headers=bearer)
    token = idp.sign(idp.right_claims(linking.json()["nonce"]) | {"aud": "the app"})
    linked = await api.post(
        "/auth/oidc/loop/native", json={"login_id": linking.json()["login_id"], "id_token": token}
    )
    assert linked.json() == {"flow": "link", "provider": "loop", "linked": True}
    me = await api.get("/auth/user/me", headers=bearer)
    return str(me.json()["id"])
