"""The guides say what is so: their programs run, and the files they name exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.readme import blocks
from fakes.repository import ROOT

GUIDES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/guides").glob("*.md"))
PROGRAMS = [(guide, number) for guide in GUIDES for number in range(len(blocks("python", guide)))]


@pytest.mark.parametrize(("guide", "number"), PROGRAMS)
def test_every_program_of_a_guide_runs(
    guide: str, number: int, empty_database_url: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(blocks("python", guide)[number])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env=os.environ | {"AUTHKIT_DATABASE_URL": empty_database_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("guide", GUIDES)
def test_every_file_that_a_guide_names_exists(guide: str) -> None:
    text = (ROOT / guide).read_text("utf-8")
    named = re.findall(r"`((?:examples|tests|authkit_\w+)/[\w./]+)`", text)
    named += re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    places = (ROOT, (ROOT / guide).parent)
    assert [path for path in named if not any((place / path).exists() for place in places)] == []
