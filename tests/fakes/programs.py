"""Servers that other people wrote, in processes of their own: ready when they say so, stopped for sure."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(*command: str, cwd: Path) -> Iterator[None]:
    """Run a program while the block runs: it prints ``ready`` when it serves, and ends with its input."""
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            while (line := process.stdout.readline()) != "ready\n":
                if not line:
                    log.seek(0)
                    raise AssertionError(f"{command[0]} did not start: {log.read()}")
            yield
        finally:
            process.kill()
