"""The wheel holds what the source tree holds, and works on its own."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fakes.repository import PACKAGES, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as an installer would, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_both_packages(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert tree <= inside
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside
    assert any(name.endswith(".sql") for name in inside)
    assert not any(name.startswith(("tests/", "benchmarks/", "examples/")) for name in inside)


def test_the_unpacked_wheel_works_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import authkit_verify, authkit_issuer, authkit_issuer.http\n"
        "from authkit_issuer.store.migrate import shipped\n"
        f"assert authkit_issuer.__file__.startswith({str(tmp_path)!r})\n"
        f"assert authkit_verify.__file__.startswith({str(tmp_path)!r})\n"
        "print(len(shipped()))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", program],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(list((ROOT / "authkit_issuer/store/migrations").glob("*.sql")))
