"""Other people's vectors: published examples and recorded key sets, where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fakes.repository import ROOT

FOLDER = Path(os.environ.get("TESTDATA") or ROOT.parent / "shared" / "testdata")
"""Not named after the service: programs that a test starts would refuse an unknown setting."""


def read(name: str) -> Any:
    """Return the JSON of one file; skips the test where there is none."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"no test data: {name} is neither beside the repository nor under TESTDATA")
    return json.loads(path.read_text("utf-8"))
