"""The ``authkit`` command as an operator runs it: real processes with a clean environment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

AUTHKIT = (sys.executable, "-m", "authkit_issuer.cli")


def environment(**settings: str) -> dict[str, str]:
    """Return our environment with these settings and no other of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AUTHKIT_")} | settings


def run(*arguments: str, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; ``typed`` is its standard input."""
    return subprocess.run(
        [*AUTHKIT, *arguments],
        env=environment(**settings),
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], said: str, status: int = 1) -> None:
    """Fail unless the command refused with one plain line that says this."""
    assert done.returncode == status, done
    assert said in done.stderr
    assert done.stderr.startswith("authkit: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


class Server:
    """A running ``authkit serve`` with what it printed until it was ready and the seconds that took."""

    def __init__(self, process: subprocess.Popen[str], greeting: str, seconds: float) -> None:
        self.process, self.greeting, self.seconds = process, greeting, seconds
        self.url = re.findall(r"listening on ([^\s;]+)", greeting)[0]

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Send a signal as a terminal does, to the whole group; return the exit status and the log."""
        os.killpg(self.process.pid, number)
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, log


@contextmanager
def serving(*arguments: str, **settings: str) -> Iterator[Server]:
    """Run ``authkit serve`` while the block runs."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*AUTHKIT, "serve", *arguments], env=environment(**settings),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    last = "Stop with Ctrl-C" if "--dev" in arguments else "authkit is listening"
    greeting = ""
    try:
        assert process.stdout is not None
        while last not in greeting:
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            greeting += line
        yield Server(process, greeting, time.monotonic() - began)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)  # killed, it would leave its database running
            process.communicate(timeout=60)


def serving_dev(data_dir: Path, port: int = 0) -> AbstractContextManager[Server]:
    """Run ``authkit serve --dev`` over a data folder."""
    return serving("--dev", "--port", str(port), "--data-dir", str(data_dir))
