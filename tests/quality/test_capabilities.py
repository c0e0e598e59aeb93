"""A capability is entered in one place: as a field of ``Service``."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import authkit_issuer.domains
from authkit_issuer import Provider, Service
from authkit_issuer.service import capabilities


def modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(authkit_issuer.domains.__path__, "authkit_issuer.domains.")
    return [importlib.import_module(module.name) for module in found]


def made_of_a_runtime_alone(module: ModuleType) -> Iterator[type[Any]]:
    """Return the public classes of the module that take a Runtime and nothing else."""
    for name, kind in vars(module).items():
        if isinstance(kind, type) and kind.__module__ == module.__name__ and not name.startswith("_"):
            fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
            if [field.name for field in fields if field.init] == ["rt"]:
                yield kind


def imported(module: ModuleType) -> set[tuple[str, str]]:
    tree = ast.parse(Path(str(module.__file__)).read_text())
    return {
        (str(node.module), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def forgotten(kinds: list[type[Any]], *, used: set[tuple[str, str]]) -> list[str]:
    """Return the classes that the service does not have, and that no other domain module works with.

    A ``service`` module is there for the service: a class of it counts even if another module uses it.
    """
    known = {*capabilities().values()}
    return [
        kind.__qualname__
        for kind in kinds
        if kind not in known
        and (kind.__module__.endswith(".service") or (kind.__module__, kind.__name__) not in used)
    ]


def test_every_capability_is_a_field_of_the_service() -> None:
    kinds = [kind for module in modules() for kind in made_of_a_runtime_alone(module)]
    used = set[tuple[str, str]]().union(*(imported(module) for module in modules()))
    assert {*capabilities().values()} <= {*kinds}
    assert forgotten(kinds, used=used) == []


@pytest.mark.parametrize(
    "module", ["authkit_issuer.domains.codes.one_time", "authkit_issuer.domains.orgs.service"]
)
def test_a_new_capability_that_is_no_field_is_found(module: str) -> None:
    new = dataclasses.make_dataclass("NewCapability", ["rt"])
    new.__module__ = module
    host = ModuleType(module)
    host.NewCapability = new  # type: ignore[attr-defined]
    used = {(module, "NewCapability")} if module.endswith(".service") else set[tuple[str, str]]()
    assert forgotten([*made_of_a_runtime_alone(host)], used=used) == ["NewCapability"]


async def test_a_service_has_every_capability_over_its_own_runtime(service: Service) -> None:
    assert Provider is Service
    async with service.transaction() as inner:
        for one in (service, inner):
            for name, kind in capabilities().items():
                assert type(getattr(one, name)) is kind
                assert getattr(one, name).rt is one.rt
