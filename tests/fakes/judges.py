"""Packages of Python that only judge this one, in an environment of their own; skipped where it is absent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fakes.ports import free_port
from fakes.programs import running
from fakes.repository import ROOT

FOLDER = ROOT / ".runtime" / "judges"
"""Where ``.ci/run`` installs ``tests/judges.txt``."""


def need(name: str) -> None:
    """Skip the test unless the package is installed in the pinned version."""
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "tests/judges.txt").read_text(), re.MULTILINE))
    distribution = f"{name.replace('-', '_')}-{pins[name]}.dist-info"
    if not any(FOLDER.glob(f"lib/python*/site-packages/{distribution}")):
        pytest.skip(f"{name} {pins[name]} is not installed (.ci/run tries to)")


@contextmanager
def serving(program: str, *arguments: str) -> Iterator[int]:
    """Run a server of ``tests/judges`` while the block runs; yield its port."""
    port = free_port()
    python, path = str(FOLDER / "bin" / "python"), str(ROOT / "tests" / "judges" / program)
    with running(python, path, str(port), *arguments, cwd=FOLDER):
        yield port
