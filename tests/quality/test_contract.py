"""The public contract: every name in ``contract.json`` is there, as promised, and something tests it."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import typing
from functools import cache
from pathlib import Path
from typing import Any

from authkit_issuer import EphemeralMode, Service, SessionEventType, SessionRevokeReason, errors
from fakes.laws import for_each, violations
from fakes.repository import sources

CONTRACT = json.loads(Path(__file__).with_name("contract.json").read_text())
METHODS = CONTRACT["methods"]
OPENERS = {"Service.open", "make_service"}


def public(path: str) -> Any:
    package, *names = path.split(".")
    found: Any = importlib.import_module(package)
    for name in names:
        found = getattr(found, name)
    return found


def on_class(service: Service, path: str) -> Any:
    """Return what the class of a capability, or of the service, has under the name."""
    *capability, name = path.split(".")
    owner = getattr(service, capability[0]) if capability else service
    found = inspect.getattr_static(type(owner), name, None)
    if found is None and not capability:
        # A field of the service itself.
        return getattr(owner, name)
    assert found is not None, f"there is no {path}"
    return found


@cache
def exercised() -> frozenset[str]:
    """Return what the tests use: ``method``, ``capability.method`` and ``capability.method argument=``.

    A method is called or passed on: every attribute counts that the tests read.
    """
    found = set[str]()
    for path in sources("tests"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                found |= {node.attr, _last_two(node)}
            elif isinstance(node, ast.Call):
                found |= {f"{_last_two(node.func)} {keyword.arg}=" for keyword in node.keywords}
    return frozenset(found)


def _last_two(node: ast.expr) -> str:
    """Return the end of a dotted name, ``capability.method``."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{_last(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def _last(node: ast.expr) -> str:
    """Return the last part of a dotted name; nothing for a call and whatever else has no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def test_the_contract_has_its_size() -> None:
    assert len(CONTRACT["methods"]) == 141
    assert len(CONTRACT["error_codes"]) == 17
    assert len(CONTRACT["session_events"]) == 5
    assert len(CONTRACT["revoke_reasons"]) == 13


def _name(entry: dict[str, str]) -> str:
    return entry["name"] + entry.get("argument", "")


async def test_every_method_exists_as_promised(service: Service) -> None:
    def exists(entry: dict[str, str]) -> None:
        found = on_class(service, entry["name"])
        if entry["kind"] == "property":
            assert not inspect.isroutine(found)
            return
        function = getattr(found, "__func__", found)
        assert inspect.iscoroutinefunction(function) is (entry["kind"] == "async")
        assert (function.__doc__ or "").strip(), "no docstring"
        if "argument" in entry:
            assert entry["argument"] in inspect.signature(function).parameters

    assert violations(METHODS, exists, _name) == []


@for_each(METHODS, _name)
def test_some_test_exercises_the_method(entry: dict[str, str]) -> None:
    name, argument = entry["name"], entry.get("argument")
    if argument is None:
        assert name in exercised()
    elif name == "open":
        assert {f"{opener} {argument}=" for opener in OPENERS} & exercised()
    else:
        assert f"{name} {argument}=" in exercised()


@for_each([*CONTRACT["constructors"], *CONTRACT["types"], *CONTRACT["functions"]], str)
def test_the_type_or_function_exists(path: str) -> None:
    found = public(path)
    if inspect.isclass(found) or inspect.isroutine(found):
        assert (found.__doc__ or "").strip(), "no docstring"
    package, name, *_ = path.split(".")
    assert name in importlib.import_module(package).__all__


@for_each(CONTRACT["error_codes"], str)
def test_the_error_code_belongs_to_a_public_refusal(code: str) -> None:
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert code in {kind.code for kind in kinds if issubclass(kind, errors.AuthError)}


@for_each(CONTRACT["session_events"], str)
def test_the_event_type_exists(value: str) -> None:
    assert SessionEventType(value).name == value.upper()


@for_each(CONTRACT["revoke_reasons"], str)
def test_the_revoke_reason_exists(value: str) -> None:
    assert SessionRevokeReason(value).name == (value.upper() or "UNKNOWN")


async def test_what_revokes_takes_a_reason(service: Service) -> None:
    def takes_a_reason(path: str) -> None:
        parameter = inspect.signature(on_class(service, path)).parameters["reason"]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert isinstance(parameter.default, SessionRevokeReason)

    assert violations(CONTRACT["takes_reason"], takes_a_reason, str) == []


def test_the_constants_have_their_values() -> None:
    for path, value in CONTRACT["constants"].items():
        assert public(path) == value
    assert list(typing.get_args(EphemeralMode)) == CONTRACT["ephemeral_modes"]


def test_the_scan_tells_what_is_tested_from_what_is_not() -> None:
    assert "sessions.exchange" in exercised()
    assert "sessions" + ".nonsense" not in exercised()
    assert "sessions.exchange nonsense=" not in exercised()
