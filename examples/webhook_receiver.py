"""Receive webhooks without a library: verify the signature, drop repeats, answer at once.

Run it: WEBHOOK_SECRET=whsec_... uvicorn examples.webhook_receiver:app --port 9000
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TOLERANCE = 300
"""Seconds that a message may be old, or early."""


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """True if a message was signed with the secret within the tolerance."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > TOLERANCE:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    if not key:
        return False  # anybody can sign with an empty key
    signed = f"{message_id}.{timestamp}.".encode() + body
    wanted = b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    given = headers.get("webhook-signature", "").encode("latin-1").split(b" ")
    return any(hmac.compare_digest(wanted, signature) for signature in given)


def build(secret: str, seen: set[str], handled: list[dict[str, Any]]) -> Starlette:
    """Return the receiver. ``seen`` and ``handled`` would be tables of yours."""

    async def hook(request: Request) -> Response:
        body = await request.body()
        if not is_genuine(secret, request.headers, body, time.time()):
            return Response(status_code=400)
        message_id = request.headers["webhook-id"]
        if message_id not in seen:  # a message may come more than once, always under its id
            seen.add(message_id)
            handled.append(json.loads(body))
        return Response(status_code=204)

    return Starlette(routes=[Route("/hook", hook, methods=["POST"])])


app = build(os.environ.get("WEBHOOK_SECRET", ""), set(), [])
