"""Other people's vectors, where they are at hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def testdata() -> Callable[[str], Any]:
    """Read a JSON file of ``AUTHKIT_TESTDATA``; skips the test where there is none."""
    folder = Path(os.environ.get("AUTHKIT_TESTDATA") or Path(__file__).parents[3] / "shared" / "testdata")

    def read(name: str) -> Any:
        path = folder / name
        if not path.is_file():
            pytest.skip(f"no test data: {name} is neither beside the repository nor under AUTHKIT_TESTDATA")
        return json.loads(path.read_text("utf-8"))

    return read
