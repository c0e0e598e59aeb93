"""The files of this repository, for tests that read them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("authkit_verify", "authkit_issuer")
_UNTRACKED = frozenset({".git", ".venv", ".runtime", "__pycache__", "node_modules", "dist", "build"})


def files() -> list[Path]:
    """Return what git tracks or would track; without git, everything but the known build folders."""
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        found = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not _UNTRACKED & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file())


def entries() -> set[str]:
    """Return what is at the top of the repository, hidden files and caches left out."""
    return {found for found in os.listdir(ROOT) if not found.startswith((".", "__"))}  # noqa: PTH208 - often


def sources(*folders: str) -> Iterator[Path]:
    """Yield the Python files of these folders; of both packages when none is named."""
    for folder in folders or PACKAGES:
        yield from sorted((ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    """Return the path as it is written in messages."""
    return path.relative_to(ROOT).as_posix()
