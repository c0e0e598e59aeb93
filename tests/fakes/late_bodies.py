"""A client that holds the body of its request back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any


async def held_back(
    app: Any,
    request: dict[str, Any],
    access_token: str,
    body: dict[str, Any],
    meanwhile: Callable[[], Awaitable[Any]],
) -> tuple[int, str]:
    """Send a request whose body comes as soon as ``meanwhile`` is done; return status and code."""
    raw, sent = json.dumps(body).encode(), list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        await meanwhile()
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    request["headers"] += [
        (b"authorization", f"Bearer {access_token}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(raw)).encode()),
    ]
    await app(request, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"]).get("error", "")
