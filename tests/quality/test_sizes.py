"""Small files, small functions, tiny handlers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from fakes.repository import ROOT, name, sources

FOLDERS = ("authkit_verify", "authkit_issuer", "examples", "benchmarks", "tests")
Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def functions(path: Path) -> Iterator[Function]:
    """Yield every function. They are statements, and most of a tree is not."""
    statements: list[ast.AST] = [ast.parse(path.read_text())]
    while statements:
        node = statements.pop()
        if isinstance(node, Function):
            yield node
        for block in BLOCKS:
            statements += getattr(node, block, ())


def body_lines(function: Function) -> int:
    """Count the lines a reader has to follow: the signature and the docstring are not among them."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_file_has_more_than_400_lines_and_no_test_file_more_than_450() -> None:
    """A test file mirrors one source file and may be longer than it."""
    long = {name(path): len(path.read_text().splitlines()) for path in sources(*FOLDERS)}
    over = {
        path: lines for path, lines in long.items() if lines > (450 if path.startswith("tests/") else 400)
    }
    assert over == {}


def test_no_function_has_more_than_40_lines() -> None:
    long = {
        f"{name(path)}:{function.lineno} {function.name}": body_lines(function)
        for path in sources(*FOLDERS)
        for function in functions(path)
    }
    assert {where: lines for where, lines in long.items() if lines > 40} == {}


def test_no_handler_has_more_than_12_lines() -> None:
    handlers = {
        f"{name(path)}:{function.lineno} {function.name}": body_lines(function)
        for path in sources("authkit_issuer/http/routes")
        for function in functions(path)
        if isinstance(function, ast.AsyncFunctionDef)
    }
    assert handlers, f"no handlers under {ROOT}"
    assert {where: lines for where, lines in handlers.items() if lines > 12} == {}
