"""The ``authkit`` command as an operator runs it: real processes with a clean environment.

They are forks of one Python that has imported the command (``fakes.warm``), since its import takes longer
than most of what is tested; ``tests/e2e/test_commands.py`` runs the command itself.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from fakes.soak import SOAK
from fakes.warm import WarmProcess, start, start_program


def environment(**settings: str) -> dict[str, str]:
    """Return our environment with these settings and no other of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AUTHKIT_")} | settings


def run(*arguments: str, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; ``typed`` is its standard input."""
    return _ended(lambda files: start(arguments, environment(**settings), files), typed)


def run_program(program: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a file of Python to its end, in its folder, with every warning an error.

    A fork has imported our modules already, so a soak runs Python itself.
    """
    if SOAK:
        command = [sys.executable, "-W", "error", str(program)]
        return subprocess.run(
            command, cwd=program.parent, env=settings, capture_output=True, text=True, check=False, timeout=60
        )
    return _ended(lambda files: start_program(program, settings, files))


def _ended(
    started: Callable[[tuple[int, int, int]], WarmProcess], typed: str = ""
) -> subprocess.CompletedProcess[str]:
    with (
        tempfile.TemporaryFile("w+") as typing,
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryFile() as log,
    ):
        typing.write(typed)
        typing.seek(0)
        files = (typing.fileno(), said.fileno(), log.fileno())
        process = started(files)
        try:
            status = process.wait(timeout=120)
        finally:  # the time of the test may be over first
            process.stop()
        return subprocess.CompletedProcess(process.args, status, _written(said), _written(log))


def assert_one_line(done: subprocess.CompletedProcess[str], said: str, status: int = 1) -> None:
    """Fail unless the command refused with one plain line that says this."""
    assert done.returncode == status, done
    assert said in done.stderr
    assert done.stderr.startswith("authkit: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


class Server:
    """A running ``authkit serve`` with what it printed until it was ready and the seconds that took."""

    def __init__(self, process: WarmProcess, greeting: str, seconds: float, log: IO[bytes]) -> None:
        self.process, self.greeting, self.seconds = process, greeting, seconds
        self._log = log
        self.url = re.findall(r"listening on ([^\s;]+)", greeting)[0]

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Send a signal as a terminal does, to the whole group; return the exit status and the log."""
        os.killpg(self.process.pid, number)
        self.process.wait(timeout=60)
        return self.process.returncode, self.log()

    def log(self) -> str:
        """Return what the server has logged so far."""
        return _written(self._log)


def _written(log: IO[bytes]) -> str:
    # Read beside the position, which the server's own writing moves.
    return os.pread(log.fileno(), 1 << 26, 0).decode(errors="replace")


@contextmanager
def serving(*arguments: str, **settings: str) -> Iterator[Server]:
    """Run ``authkit serve`` while the block runs."""
    began = time.monotonic()
    last = "Stop with Ctrl-C" if "--dev" in arguments else "authkit is listening"
    greeting = ""
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, encoding="utf-8") as said,
        Path(os.devnull).open() as nothing,
        tempfile.TemporaryFile() as log,  # an unread pipe would stop the server when it is full
    ):
        files = (nothing.fileno(), writing, log.fileno())
        process = start(("serve", *arguments), environment(**settings), files)
        os.close(writing)
        try:
            while last not in greeting:
                line = said.readline()
                assert line, _written(log)
                greeting += line
            yield Server(process, greeting, time.monotonic() - began, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)  # killed, it would leave its database running
                process.wait(timeout=60)


def serving_dev(data_dir: Path, port: int = 0) -> AbstractContextManager[Server]:
    """Run ``authkit serve --dev`` over a data folder."""
    return serving("--dev", "--port", str(port), "--data-dir", str(data_dir))
