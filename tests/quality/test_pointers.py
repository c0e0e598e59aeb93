"""The docstring of a module names other files only by names that they have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from fakes.repository import name, sources

DOTTED = re.compile(r"``([a-z_]+(?:\.\w+)+)``")
"""A module by its last names, perhaps with something in it: ``security.codes``, ``hashing.verify``."""


def modules() -> dict[str, Path]:
    """Return the files of both packages by their full dotted names."""
    return {
        name(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in sources()
    }


MODULES = modules()
OURS = {part for module in MODULES for part in module.split(".")}


def dangling(docstring: str) -> Iterator[str]:
    """Yield each pointer that begins with a name of ours and leads to no module, or to nothing in one."""
    for pointer in DOTTED.findall(docstring):
        if pointer.split(".")[0] in OURS and not _leads_somewhere(pointer):
            yield pointer


def _leads_somewhere(pointer: str) -> bool:
    if _ending_in(pointer):
        return True
    module, _, inside = pointer.rpartition(".")
    word = re.compile(rf"\b{re.escape(inside)}\b")
    return any(word.search(path.read_text("utf-8")) for path in _ending_in(module)) or (
        "." in module and _leads_somewhere(module)
    )


def _ending_in(module: str) -> list[Path]:
    return [path for full, path in MODULES.items() if f".{full}".endswith(f".{module}")]


def test_every_module_that_a_docstring_names_exists() -> None:
    found = [
        f"{module}: {pointer}"
        for module, path in MODULES.items()
        for pointer in dangling(ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
    ]
    assert not found, "\n".join(["", *found])


def test_a_pointer_to_a_file_that_has_moved_is_noticed() -> None:
    assert list(dangling("``security.codes`` and ``codes.one_time.OneTimeCodes``, not ``os.environ``")) == []
    assert list(dangling("``base.renames`` has the rule, ``hashing.spend_it`` the work")) == [
        "base.renames", "hashing.spend_it",
    ]  # fmt: skip
