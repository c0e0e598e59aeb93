"""The linters are part of the proof: one command runs everything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.repository import ROOT

BIN = Path(sys.executable).parent

CHECKS = {
    "ruff finds nothing": ["ruff", "check", "--no-fix", "."],
    "every file is formatted": ["ruff", "format", "--check", "."],
    "mypy finds nothing and accepts the public API": ["mypy"],
    "pyright finds nothing and accepts the public API": ["pyright"],
    "modules import only what they may": ["lint-imports", "--no-logo"],
    "imports and declared dependencies agree": ["deptry", "."],
    "installed packages fit together": ["python", "-m", "pip", "check"],
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", CHECKS.values(), ids=CHECKS.keys())
def test_the_linters_agree(command: list[str]) -> None:
    program = str(BIN / command[0])
    # With more room for what is new, node looks less often for what can go: a tenth of pyright's time.
    room = {"NODE_OPTIONS": f"{os.environ.get('NODE_OPTIONS', '')} --max-semi-space-size=64"}
    environment = os.environ | room | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
