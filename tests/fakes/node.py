"""Programs for node that other people wrote: run where node and their packages are, skipped elsewhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fakes.ports import free_port
from fakes.programs import running
from fakes.repository import ROOT

FOLDER = ROOT / ".runtime" / "node"
"""Where ``.ci/run`` installs the packages of ``tests/node``."""
OLDEST = 20


def node() -> str:
    """Return the path of node, or skip the test."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    version = re.match(r"v(\d+)\.", said)
    if version is None or int(version[1]) < OLDEST:
        pytest.skip(f"node {OLDEST} or newer is needed, this is {said.strip()}")
    return found


def need(name: str) -> None:
    """Skip the test unless the npm package is installed in the pinned version, and node with it."""
    node()
    wanted = json.loads((ROOT / "tests/node/package-lock.json").read_text())
    version = wanted["packages"][f"node_modules/{name}"]["version"]
    try:
        installed = json.loads((FOLDER / "node_modules" / name / "package.json").read_text())["version"]
    except FileNotFoundError:
        pytest.skip(f"the npm package {name} is not installed (.ci/run tries to)")
    if installed != version:
        pytest.skip(f"the npm package {name} is there as {installed}, not as {version}")


@contextmanager
def asking(program: str, *arguments: str) -> Iterator[Callable[[str], Any]]:
    """Run the text of an ES module while the block runs; it answers each line that it is asked in JSON."""
    with subprocess.Popen(
        [node(), "--input-type=module", "-e", program, *arguments],
        cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as process:  # fmt: skip

        def ask(line: str) -> Any:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{line}\n")
            answer = process.stdout.readline()
            assert answer, "the program has ended; its last words are above"
            return json.loads(answer)

        try:
            yield ask
        finally:
            process.kill()


@contextmanager
def serving(program: str, *arguments: str) -> Iterator[str]:
    """Run a server of ``tests/node`` while the block runs; yield its address."""
    port = free_port()
    text = (ROOT / "tests" / "node" / program).read_text()
    with running(node(), "--input-type=module", "-e", text, str(port), *arguments, cwd=FOLDER):
        yield f"http://127.0.0.1:{port}"
