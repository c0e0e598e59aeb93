"""What tests of HTTP say again and again."""

from __future__ import annotations

from typing import Any

import httpx

PASSWORD, NEW = "correct horse battery", "another staple, longer"


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    """Return the headers of a client with these tokens."""
    return {"authorization": f"Bearer {tokens['access_token']}"}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status_code, answer.json()["error"]


async def me(api: httpx.AsyncClient, tokens: dict[str, Any]) -> dict[str, Any]:
    """Return the account as a client with these tokens sees it."""
    answer = await api.get("/auth/user/me", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def log_in(api: httpx.AsyncClient, identifier: str, password: str = PASSWORD) -> httpx.Response:
    """Sign in with a password."""
    return await api.post("/auth/password/login", json={"identifier": identifier, "password": password})


async def is_live(api: httpx.AsyncClient, tokens: dict[str, Any]) -> bool:
    """True if a session is still there."""
    return (await api.get("/auth/user/me", headers=bearer(tokens))).status_code == 200


def assert_tokens(answer: httpx.Response, *more: str) -> dict[str, Any]:
    """Fail unless an answer is a whole login that no cache may keep; return it."""
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", *more}
    assert body["token_type"] == "Bearer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    return body
