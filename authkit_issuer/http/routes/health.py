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
    def of(cls, parts: Mapping[str, errors.Unavailable | None]) -> NotReady:
        """Say which parts work and which do not, with a word for the cause; the log has the whole reason."""
        refusal = cls()
        refusal.metadata.update({part: problem is None for part, problem in parts.items()})
        problems = {part: problem for part, problem in parts.items() if problem is not None}
        refusal.metadata["causes"] = {part: problem.cause for part, problem in problems.items()}
        refusal.reason = "; ".join(problem.reason for problem in problems.values() if problem.reason)
        return refusal


routes = Routes(tag="health", auth=Auth.PUBLIC)


@routes.get("/healthz", "Whether the process lives", limit=None)
async def get_health(_call: Plain) -> HealthResponse:
    """Answer without asking anybody."""
    return HealthResponse()


@routes.get("/readyz", "Whether every part works", limit=Limit(bucket="default"), errors=(NotReady,))
async def get_readiness(call: Plain) -> ReadinessResponse:
    """Ask every part whether it works."""
    parts = await call.service.readiness()
    if any(parts.values()):
        raise NotReady.of(parts)
    return ReadinessResponse(checks=dict.fromkeys(parts, True))
