"""Routes below another prefix: paths, documents, cookies and links agree."""

from __future__ import annotations

import dataclasses

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from authkit_issuer.errors import ConfigError
from authkit_issuer.http import create_app
from authkit_issuer.http.app import OPERATIONS
from fakes.users import verified_user

UNMOVED = {"/healthz", "/readyz", "/docs", "/openapi.json", "/dev/inbox"}
HOST = "https://host.test/auth"


@pytest.mark.parametrize("prefix", ["", "/api/v1/id"])
async def test_every_route_moves_with_the_prefix_and_the_document_says_so(
    make_service, serve, prefix
) -> None:
    service = await make_service(org_mode="multi", introspection_clients={"api": "sixteen-characters"})
    async with serve(service, create_app(service, prefix)) as api:
        moved = set((await api.get("/openapi.json")).json()["paths"])
        assert (await api.get("/auth/capabilities")).status_code == 404
        assert (await api.get(f"{prefix}/capabilities")).status_code == 200
        assert f'"$ISSUER{prefix}/register"' in (await api.get("/docs")).text.replace("&#34;", '"')
    async with serve(service) as api:
        usual = set((await api.get("/openapi.json")).json()["paths"])
    assert moved == {path.replace("/auth/", f"{prefix}/", 1) for path in usual}
    assert {path for path in usual if not path.startswith("/auth/")} <= {
        *UNMOVED,
        *(path for path in usual if path.startswith("/.well-known/")),
    }


def test_no_two_routes_meet_without_a_prefix() -> None:
    paths = [(entry.method, entry.path.removeprefix("/auth")) for entry in OPERATIONS]
    assert len(set(paths)) == len(paths)
    assert not [path for _, path in paths if path.startswith("/{")]


async def test_a_host_that_mounts_at_auth_has_no_doubled_path(make_service, serve, sign_up) -> None:
    service = await make_service(base_url=HOST, issuer=HOST, refresh_cookie=True)
    host = Starlette(routes=[Mount("/auth", create_app(service, prefix=""))])
    async with serve(service, host, HOST) as api:
        metadata = (await api.get("/.well-known/oauth-authorization-server")).json()
        assert metadata["token_endpoint"] == f"{HOST}/token"
        assert metadata["revocation_endpoint"] == f"{HOST}/revoke"
        person = {"identifier": "ada@example.test", "username": "ada_l", "password": "correct horse battery"}
        assert (await api.post("/register", json=person)).status_code == 202
        assert (await api.post("/auth/register", json=person)).status_code == 404


async def test_the_refresh_cookie_is_sent_to_the_routes_and_nowhere_else(
    make_service, mailbox, serve
) -> None:
    for prefix, path in (("/id", "/login/id"), ("", "/login")):
        service = await make_service(base_url="https://host.test/login", refresh_cookie=True)
        email = f"ada{len(prefix)}@example.test"
        await verified_user(service, mailbox, email, f"ada_{len(prefix)}")
        host = Starlette(routes=[Mount("/login", create_app(service, prefix=prefix))])
        async with serve(service, host, "https://host.test/login") as api:
            body = {"identifier": email, "password": "correct horse battery"}
            answer = await api.post(f"{prefix}/password/login", json=body)
            assert answer.status_code == 200, answer.text
            assert f"Path={path};" in answer.headers["set-cookie"]
            renewed = await api.post(f"{prefix}/token", json={"grant_type": "refresh_token"})
            assert renewed.status_code == 200, renewed.text


async def test_the_setting_and_the_argument_mean_the_same(make_service, serve) -> None:
    service = await make_service(route_prefix="/id")
    for app in (create_app(service), create_app(await make_service(), "/id")):
        async with serve(service, app) as api:
            assert (await api.get("/id/capabilities")).status_code == 200
    async with serve(service, create_app(service, "/auth")) as api:
        assert (await api.get("/auth/capabilities")).status_code == 200


@pytest.mark.parametrize("prefix", ["auth", "/auth/", "/", "//auth", "/a b", "/a/../b", "/{x}", "/a?b", "/ä"])
async def test_a_prefix_that_is_not_a_plain_path_is_refused(service, config, prefix) -> None:
    with pytest.raises(ConfigError, match="route_prefix"):
        create_app(service, prefix)
    with pytest.raises(ConfigError, match="route_prefix"):
        dataclasses.replace(config, route_prefix=prefix)


async def test_a_path_without_parameters_needs_no_router(service, serve) -> None:
    app = create_app(service)
    app.router.routes.clear()
    async with serve(service, app) as api:
        assert (await api.get("/healthz")).status_code == 200
        assert (await api.delete("/healthz")).status_code == 405
        assert (await api.head("/auth/capabilities")).status_code == 200
        assert (await api.get("/auth/user/sessions/")).status_code == 404
        assert (await api.get("/auth/oidc/google/login")).status_code == 404
