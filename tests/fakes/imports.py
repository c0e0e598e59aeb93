"""What a program uses and does not import, found without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import PathFinder
from itertools import accumulate


def missing_imports(program: str) -> set[str]:
    """Return the submodules that a program uses as attributes of their packages and does not import itself.

    Run in a process that has imported them for others, it would not fail.
    """
    tree = ast.parse(program)
    imported: set[str] = set()
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imported |= set(_with_parents(alias.name))
                top = alias.name.partition(".")[0]
                bound[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            imported |= set(_with_parents(node.module))
            for alias in node.names:
                if _is_module(path := f"{node.module}.{alias.name}"):
                    imported.add(path)
                    bound[alias.asname or alias.name] = path
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {path for node in attributes for path in _modules_named(node, bound)} - imported


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]


def _modules_named(node: ast.Attribute, bound: dict[str, str]) -> Iterator[str]:
    first, *rest = ast.unparse(node).split(".")
    path = bound.get(first, "")
    for name in rest if path else ():
        path += f".{name}"
        if not _is_module(path):
            return
        yield path


@cache
def _is_module(path: str) -> bool:
    """True for an installed module. Imports nothing: some packages want settings first."""
    places: Sequence[str] | None = None
    for name in accumulate(path.split("."), "{}.{}".format):
        spec = PathFinder.find_spec(name, places)
        if spec is None:
            return False
        places = spec.submodule_search_locations or ()
    return True
