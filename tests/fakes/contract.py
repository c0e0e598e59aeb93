"""Hooks for schemathesis: the user of an operation is signed in, with a session that nothing has changed.

Run by the ``schemathesis`` command (``SCHEMATHESIS_HOOKS``), which is a process of its own.
"""

from __future__ import annotations

import base64
import os
import time
from typing import Any

import httpx
import schemathesis

PASSWORD = "correct horse battery"
CLIENT = ("checker", "a secret of the checker")

_DISPOSABLE = {("DELETE", "/auth/user")}
_api = httpx.Client(base_url=os.environ.get("CONTRACT_URL", ""), trust_env=False, timeout=30)


KEPT = 60.0
"""Seconds for which a session is kept: its proof is fresh for longer."""


class Session:
    """The token of the administrator, until a request may have changed what it is good for."""

    token, until = "", 0.0


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """Sign in again after whatever may have ended the session or taken a right."""
    if response.status_code == 401 or (case.method.upper() != "GET" and response.status_code < 400):
        Session.until = 0.0


@schemathesis.auth(refresh_interval=None)
class Credentials:
    """An access token of an administrator who owns an organization, or the secret of a client."""

    def get(self, case: Any, _context: Any) -> str | None:
        """Return what goes into ``Authorization``."""
        security = case.operation.definition.raw.get("security", [])
        if not security:
            return None
        if "client" in security[0]:
            return "Basic " + base64.b64encode(":".join(CLIENT).encode()).decode()
        if (case.operation.method.upper(), case.operation.path) in _DISPOSABLE:
            signed_in = (_sign_in(name) for name in os.environ["CONTRACT_DISPOSABLE"].split(","))
            return next(filter(None, signed_in), "Bearer of nothing")
        if time.monotonic() >= Session.until:
            Session.token, Session.until = _sign_in("root_r") or "Bearer of nothing", time.monotonic() + KEPT
        return Session.token

    def set(self, case: Any, data: str | None, _context: Any) -> None:
        """Send it."""
        if data is not None:
            case.headers["authorization"] = data


def _sign_in(name: str) -> str:
    answer = _api.post("/auth/password/login", json={"identifier": name, "password": PASSWORD})
    return "Bearer " + answer.json()["access_token"] if answer.status_code == 200 else ""
