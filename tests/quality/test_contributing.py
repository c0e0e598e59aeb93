"""CONTRIBUTING.md describes the repository as it is: every folder of its tree, and every path it names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from fakes.repository import ROOT, files, name

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PATHS = sorted(set(re.findall(r"`([a-z_]+/[\w./-]+|[A-Z]+\.md)`", TEXT)))
LINES = 130


def tree() -> dict[str, str]:
    """Return the folders of the tree with their descriptions."""
    (block,) = re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    path: list[str] = []
    for line in block.splitlines():
        indent, folder, meaning = re.fullmatch(r"( *)([\w/]+)/ +(.+)", line).groups()  # type: ignore[union-attr]
        path = [*path[: len(indent) // 2], folder]
        found["/".join(path)] = meaning
    return found


def folders(parent: str) -> set[str]:
    """Return the folders right below this one that hold a file of the repository."""
    depth = len(Path(parent).parts)
    below = (Path(name(path)) for path in files())
    return {
        "/".join(path.parts[: depth + 1])
        for path in below
        if path.parts[:depth] == Path(parent).parts and len(path.parts) > depth + 1
    }


@pytest.mark.parametrize("parent", ["authkit_verify", "authkit_issuer", "authkit_issuer/domains"])
def test_the_tree_names_every_folder_and_no_other(parent: str) -> None:
    named = {path for path in tree() if path.rpartition("/")[0] == parent}
    assert named == folders(parent)


def test_the_domains_are_in_the_order_of_their_ranks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [
        contract["layers"]
        for contract in contracts
        if contract.get("containers") == ["authkit_issuer.domains"]
    ]
    rank = {domain.strip(): -place for place, layer in enumerate(layers) for domain in layer.split("|")}
    ranks = [rank[Path(path).name] for path in tree() if path.startswith("authkit_issuer/domains/")]
    assert ranks == sorted(ranks)


def test_every_folder_of_the_tree_exists_and_has_a_description() -> None:
    for path, meaning in tree().items():
        assert (ROOT / path).is_dir(), path
        assert len(meaning) > 5, path


def test_every_top_folder_is_in_the_tree() -> None:
    top = {Path(name(path)).parts[0] for path in files() if len(Path(name(path)).parts) > 1}
    assert {folder for folder in top if not folder.startswith(".")} <= set(tree())


def test_every_folder_of_the_tests_mirrors_one_of_the_packages_or_is_named() -> None:
    mirrored = {f"tests/{Path(path).name}" for path in folders("authkit_issuer")} | {"tests/verify"}
    unnamed = folders("tests") - mirrored - set(tree())
    assert unnamed <= {"tests/examples", "tests/node", "tests/typing"}


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_the_text_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)`", TEXT))
    assert named
    assert named <= targets


def test_it_is_one_page() -> None:
    assert len(TEXT.splitlines()) <= LINES
