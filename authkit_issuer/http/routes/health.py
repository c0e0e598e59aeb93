"""Whether the process lives, and whether it can work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from authkit_issuer import errors
from authkit_issuer.http.operations import Auth, Limit, Plain
from authkit_issuer.http.route_groups import Routes


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthResponse:
    """The process answers."""

    status: Literal["ok"] = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessResponse:
    """Every part answers; ``checks`` names them."""

    status: Literal["ok"] = "ok"
    checks: dict[str, bool]


class NotReady(errors.Unavailable):
    """A part of the service is down; ``metadata`` says which."""

    code = "not_ready"
    default = "A part of the service is down."

    @classmethod
    def of(cls, checks: Mapping[str, bool]) -> NotReady:
        """Say which parts answered and which did not."""
        refusal = cls()
        refusal.metadata.update(checks)
        return refusal


routes = Routes(tag="health", auth=Auth.PUBLIC)


@routes.get("/healthz", "Whether the process lives", limit=None)
async def get_health(_call: Plain) -> HealthResponse:
    """Answer without asking anybody."""
    return HealthResponse()


@routes.get("/readyz", "Whether every part works", limit=Limit(bucket="default"), errors=(NotReady,))
async def get_readiness(call: Plain) -> ReadinessResponse:
    """Ask every part whether it works."""
    checks = await call.service.health()
    if not all(checks.values()):
        raise NotReady.of(checks)
    return ReadinessResponse(checks=checks)
