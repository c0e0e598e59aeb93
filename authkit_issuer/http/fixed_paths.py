"""Paths without parameters, found in a table: the router tries one regular expression after the other."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


class FixedPaths:
    """Answers at the paths of a table, and passes every other request to the router."""

    def __init__(self, app: ASGIApp, table: Mapping[str, ASGIApp]) -> None:
        """Wrap the router; ``table`` has the applications of its routes that have no parameters."""
        self._app = app
        self._table = {path: found for path, found in table.items() if "{" not in path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        # Below a mount the path has the host's part in front.
        found = None if scope.get("root_path") else self._table.get(scope["path"])
        if found is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path_params"] = {}
        await found(scope, receive, send)
