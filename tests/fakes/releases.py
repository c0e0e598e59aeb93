"""The release after this one: the same program with one more migration, run from a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from authkit_issuer.store.migration_files import shipped
from fakes.commands import environment
from fakes.repository import ROOT

LATER = """-- readable by: {newest}

alter table profiles.users add column of_the_next_release text not null default 'none';
create table profiles.of_the_next_release (id uuid primary key references profiles.users (id));
"""


def next_release(folder: Path) -> Path:
    """Return the folder of a release whose schema is one version ahead."""
    for package in ("authkit_issuer", "authkit_verify"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    newest = len(shipped())
    migration = folder / f"authkit_issuer/store/migrations/{newest + 1:04d}_next_release.sql"
    migration.write_text(LATER.format(newest=newest))
    return folder


def command(folder: Path, *arguments: str, **settings: str) -> str:
    """Run a command of the release in this folder and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "authkit_issuer.cli", *arguments],
        cwd=folder, env=environment(**settings), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


@contextmanager
def process(folder: Path, *arguments: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``authkit serve`` of the release in this folder, and yield the process and its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "authkit_issuer.cli", "serve", "--port", "0", *arguments],
        cwd=folder, env=environment(**settings), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as running:  # fmt: skip
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            while line and "listening on" not in line:
                line = running.stdout.readline()
            assert line, "the process did not start"
            yield running, int(line.split("listening on ")[1].split()[0].rstrip(";/.").rpartition(":")[2])
        finally:
            running.kill()
