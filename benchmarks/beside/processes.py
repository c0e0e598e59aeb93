"""Server processes beside each other: where they run, what they use, and how soon they answer."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_PORTS = range(20_000, 32_768)
PATIENCE = 90.0
"""Seconds until the first answer; a busy machine starts some servers slowly."""


def processors() -> tuple[set[int], set[int]] | None:
    """Return the processors of the servers and those of load and databases; None if all share one."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    everywhere = os.sched_getaffinity(0)
    servers = {min(everywhere)}
    return (servers, everywhere - servers) if len(everywhere) > 1 else None


def free_port() -> int:
    """Return a port without a listener, below those of outgoing connections: one of these could take it."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def answers_at_all(port: int) -> bool:
    """True if something accepts connections on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(port: int, path: str) -> bool:
    """True once a request to the path is answered by anything but a failure of the server."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode())
            status = connection.recv(64)
    except OSError:
        return False
    return re.match(rb"HTTP/1\.[01] [234]", status) is not None


class Process:
    """A server of one or more processes on its own processor.

    ``seconds`` and ``start_cpu`` are the time and the processor time from the start to the first answer.

    Raises:
        RuntimeError: it ended or gave no answer; the text has the end of its output.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        ready: str,
        output: Path,
        env: Mapping[str, str],
        cwd: Path,
    ) -> None:
        self.port = port
        self._output = output
        with output.open("wb") as written:
            began = time.perf_counter()
            self._process = self._started(command, written, {**os.environ, **env}, cwd)
        self._members = [self._process.pid]
        try:
            self._await(ready, began + PATIENCE)
        except BaseException:
            self.stop()
            raise
        self.seconds = time.perf_counter() - began
        self._members = members(self._process.pid)
        self.start_cpu = self.cpu() or 0.0

    @staticmethod
    def _started(
        command: Sequence[str], output: IO[bytes], env: Mapping[str, str], cwd: Path
    ) -> subprocess.Popen[bytes]:
        """Start the command on the processor of the servers: a child inherits it."""
        places = processors()
        here = os.sched_getaffinity(0) if places else set[int]()
        try:
            if places:
                os.sched_setaffinity(0, places[0])
            return subprocess.Popen(command, stdout=output, stderr=output, env=env, cwd=cwd)
        finally:
            if places:
                os.sched_setaffinity(0, here)

    def _await(self, ready: str, deadline: float) -> None:
        while not answers(self.port, ready):
            if self._process.poll() is not None or time.perf_counter() > deadline:
                raise RuntimeError(f"no answer to {ready}: {self.last_words()}")
            time.sleep(0.005)

    def last_words(self) -> str:
        return self._output.read_bytes()[-600:].decode(errors="replace").strip()

    def cpu(self) -> float | None:
        """Return the processor time of all its processes in seconds, if the system has a clock for it."""
        try:
            return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._members)
        except (OSError, AttributeError, OverflowError):
            return None

    def memory(self) -> float:
        """Return the resident MB of its largest process, 0 if unknown."""
        sizes = []
        for pid in self._members:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return 0.0
            sizes.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
        return max(sizes)

    def descriptors(self) -> int:
        """Return how many descriptors its processes have open, 0 if unknown."""
        try:
            return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._members)
        except OSError:
            return 0

    def stop(self) -> None:
        """Stop it and its descendants, which can outlive their parent."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in self._members[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def members(pid: int) -> list[int]:
    """Return the process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in members(int(child)))]
