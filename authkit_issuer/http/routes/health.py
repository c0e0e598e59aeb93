"""Whether the process lives, and whether it can work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from authkit_issuer import errors
from authkit_issuer.http.operations import AnyOperation, Auth, Limit, Operation, Plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """The process answers."""

    status: Literal["ok"] = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
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


async def healthz(_call: Plain) -> Alive:
    """Answer without asking anybody."""
    return Alive()


async def readyz(call: Plain) -> Ready:
    """Ask every part whether it works."""
    checks = await call.service.health()
    if not all(checks.values()):
        raise NotReady.of(checks)
    return Ready(checks=checks)


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/healthz",
        summary="Whether the process lives",
        tag="health",
        handler=healthz,
        returns=Alive,
        auth=Auth.PUBLIC,
        limit=None,
    ),
    Operation(
        method="GET",
        path="/readyz",
        summary="Whether every part works",
        tag="health",
        handler=readyz,
        returns=Ready,
        auth=Auth.PUBLIC,
        limit=Limit(bucket="default"),
        errors=(NotReady,),
    ),
)
