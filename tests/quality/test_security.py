"""SECURITY.md names, for every promise, tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from fakes.repository import ROOT

TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


def _section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _promises() -> list[str]:
    return re.findall(r"^- .*(?:\n  .*)*", _section("Promises"), re.MULTILINE)


def _defined(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_promise_names_a_test() -> None:
    promises = _promises()
    assert len(promises) > 30
    assert [promise for promise in promises if not _TEST.search(promise)] == []


@pytest.mark.parametrize("path", sorted({path for path, _ in _TEST.findall(TEXT)}))
def test_every_test_that_is_named_exists(path: str) -> None:
    named = {name for found, name in _TEST.findall(TEXT) if found == path}
    assert named <= _defined(path)
    assert all(name.startswith("test_") for name in named)


def test_reports_go_to_the_private_advisories_of_the_repository() -> None:
    reporting = _section("Reporting")
    assert "security advisories" in reporting
    assert "@" not in reporting
