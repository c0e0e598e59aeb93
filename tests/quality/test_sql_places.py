"""A query is where a reader looks first: in the file of the one feature that runs it.

``queries.py`` has those of ``service.py`` and those that several files run.
``<feature>_queries.py`` has those of a feature whose file would be too long with them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fakes.repository import ROOT, sources

DOMAINS = ROOT / "authkit_issuer" / "domains"


def names_of(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Yield what a module defines at its top, with the statement that does."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=defined)]) | ast.AnnAssign(target=ast.Name(id=defined)):
                yield defined, node
            case ast.FunctionDef(name=defined) | ast.ClassDef(name=defined):
                yield defined, node


def taken_from(module: str, tree: ast.Module) -> set[str]:
    """Return the names that a file takes from a module: imported by name, or read through an alias of it."""
    package, _, stem = module.rpartition(".")
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named = {alias.name for node in imports if node.module == module for alias in node.names}
    aliases = {
        alias.asname or alias.name
        for node in imports
        if node.module == package
        for alias in node.names
        if alias.name == stem
    }
    return named | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases
    }


def misplaced(module: str, queries: ast.Module, others: Mapping[str, ast.Module]) -> dict[str, str]:
    """Return the names of a ``queries`` module that one feature alone uses, each with that feature's path.

    ``others`` are the other files by their paths. A name that only other names of the module use belongs to
    the users of those.
    """
    defined = dict(names_of(queries))
    users: dict[str, set[str]] = {name: set() for name in defined}
    for path, tree in others.items():
        for name in taken_from(module, tree) & set(defined):
            users[name].add(path)
    inside = {
        name: {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} & set(defined) - {name}
        for name, statement in defined.items()
    }
    for _ in defined:  # at most so many steps from a query to the last part of it
        for name, parts in inside.items():
            for part in parts:
                users[part] |= users[name]
    return {
        name: only
        for name, (only, *more) in ((name, tuple(by)) for name, by in users.items() if by)
        if not more and Path(only).name != "service.py"
    }


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """The files that mention queries, parsed."""
    texts = {path: path.read_text() for path in sources("authkit_issuer")}
    return {path: ast.parse(text) for path, text in texts.items() if "queries" in text + path.name}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_a_query_of_one_feature_is_in_its_file(trees: dict[Path, ast.Module]) -> None:
    wrong = {}
    for path in (path for path in trees if path.name == "queries.py"):
        others = {str(other): tree for other, tree in trees.items() if other != path}
        here = DOMAINS / path.relative_to(DOMAINS).parts[0]
        for name, user in misplaced(module_of(path), trees[path], others).items():
            if here in Path(user).parents:  # the tables of a domain are its own, also for a user elsewhere
                wrong[f"{module_of(path)}.{name}"] = Path(user).name
    assert wrong == {}


def test_a_file_of_queries_beside_a_feature_belongs_to_it_alone(trees: dict[Path, ast.Module]) -> None:
    for path in (path for path in trees if path.name.endswith("_queries.py")):
        feature = path.with_name(path.name.replace("_queries.py", ".py"))
        users = {user for user, tree in trees.items() if taken_from(module_of(path), tree)}
        assert users == {feature}
        together = len(path.read_text().splitlines()) + len(feature.read_text().splitlines())
        assert together > 400, f"{feature.name} has room for its queries"


def test_a_misplaced_query_is_noticed() -> None:
    queries = ast.parse("_PART = 'a'\nOWN = _PART\nSHARED = 'b'\nOF_SERVICE = 'c'\n")
    others = {
        "d/feature.py": ast.parse("from d import queries as sql\nsql.OWN, sql.SHARED"),
        "d/other.py": ast.parse("from d.queries import SHARED"),
        "d/service.py": ast.parse("from d.queries import OF_SERVICE"),
    }
    assert misplaced("d.queries", queries, others) == {"_PART": "d/feature.py", "OWN": "d/feature.py"}
