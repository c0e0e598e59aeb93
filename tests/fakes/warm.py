"""Processes that start at once: forks of one Python that has imported everything.

Most of the time of a command, and of a small program, is the import of its modules. Each fork is a process of
its own all the same, with its arguments, environment, session and exit status; only what Python itself reads
at its start (``PYTHON...``), or a library when it is imported, has no effect.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

MODULE = "authkit_issuer.cli"
_WARM = (
    MODULE,
    f"{MODULE}.doctor",
    "authkit_issuer.http",
    "authkit_issuer.embedded",
    "authkit_issuer.server",
    "uvicorn.loops.auto",
    "authkit_verify.testing",
)
_SIZE = struct.Struct("!I")
_Descriptors = tuple[int, int, int]
"""Standard input, output and error."""


class WarmProcess:
    """A fork, with the names of ``subprocess.Popen`` that tests use."""

    def __init__(self, arguments: Sequence[str], status: int) -> None:
        self.args = arguments
        self.returncode: int | None = None
        self._status = os.fdopen(status, "rb", buffering=0)
        self.pid = self._number()

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Return the exit status. Raises ``subprocess.TimeoutExpired`` after so many seconds."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(list(self.args), timeout)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def stop(self) -> None:
        """Kill the process, and what it started, if it runs."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait(timeout=30)

    def _end(self) -> None:
        self.returncode = self._number()
        self._status.close()

    def _number(self) -> int:
        line = self._status.readline()
        assert line, "the Python that forks has ended"
        return int(line)


class _Origin:
    """The Python that is forked, started by the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def fork(
        self,
        program: Path | None,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        files: _Descriptors,
    ) -> WarmProcess:
        folder = program.parent if program else Path.cwd()
        said = [str(program or ""), list(arguments), dict(environment), str(folder)]
        request = json.dumps(said).encode()
        reading, writing = os.pipe()
        with self._lock:
            connection = self._socket = self._socket or _started()
            socket.send_fds(connection, [_SIZE.pack(len(request))], [*files, writing])
            connection.sendall(request)
            os.close(writing)
            return WarmProcess(arguments, reading)


def _started() -> socket.socket:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "fakes.warm", str(theirs.fileno())],
        pass_fds=[theirs.fileno()], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    theirs.close()

    def stop() -> None:
        ours.close()  # it ends when nothing can ask it any more
        process.wait(timeout=30)

    atexit.register(stop)
    return ours


_origin = _Origin()


def start(arguments: Sequence[str], environment: Mapping[str, str], files: _Descriptors) -> WarmProcess:
    """Start ``authkit`` with these arguments in a session of its own."""
    return _origin.fork(None, arguments, environment, files)


def start_program(program: Path, environment: Mapping[str, str], files: _Descriptors) -> WarmProcess:
    """Start a file of Python in its folder, with every warning an error, in a session of its own."""
    return _origin.fork(program, (), environment, files)


# --- the Python that is forked ----------------------------------------------------------------------------


def _serve(connection: socket.socket) -> None:
    """Fork for every request until the other side closes; report process ids and exit statuses."""
    running: dict[int, int] = {}
    ended, wake = os.pipe()
    for end in (ended, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready, _, _ = select.select([connection, ended], [], [])
        if ended in ready:
            os.read(ended, 1024)
            _report(running)
        if connection in ready:
            size, files, _, _ = socket.recv_fds(connection, _SIZE.size, 4)
            if not size:
                return
            request = _read(connection, *_SIZE.unpack(size))
            child = os.fork()
            if child == 0:
                connection.detach()
                _become(request, files)
            *standard, status = files
            for descriptor in standard:
                os.close(descriptor)
            running[child] = status
            os.write(status, b"%d\n" % child)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return data


def _report(running: dict[int, int]) -> None:
    for child, status in list(running.items()):
        ended, how = os.waitpid(child, os.WNOHANG)
        if ended:
            with suppress(BrokenPipeError):  # a test that was interrupted waits for it no more
                os.write(status, b"%d\n" % os.waitstatus_to_exitcode(how))
            os.close(running.pop(child))


def _become(request: bytes, files: Iterable[int]) -> NoReturn:
    """Be the process that was asked for, to its end."""
    program, arguments, environment, folder = json.loads(request)
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, descriptor in enumerate(list(files)[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, 4096)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.argv[1:] = arguments
    if program:
        _run(program)
    else:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
    sys.exit(0)


def _run(program: str) -> None:
    """Run a file as ``python -W error`` does: it imports what lies beside it, and nothing of the tests."""
    tests = str(Path(__file__).parents[1])
    sys.path[:] = [str(Path(program).parent), *(entry for entry in sys.path[1:] if entry != tests)]
    del sys.modules["fakes"]
    warnings.simplefilter("error")
    sys.warnoptions[:] = ["error"]  # for what the program starts
    runpy.run_path(program, run_name="__main__")


def _import_everything() -> None:
    """Import what commands and programs do; a warning is an error here, as in a program."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        commands = importlib.import_module(f"{MODULE}.commands").COMMANDS
        modules = sorted(module for module, _ in commands.values() if module is not None)
        for name in (*_WARM, *(f"{MODULE}.{module}" for module in modules)):
            importlib.import_module(name)


if __name__ == "__main__":
    _import_everything()
    assert threading.active_count() == 1, "a fork would lose the other threads"
    gc.freeze()  # a collection in a fork would copy every page
    _serve(socket.socket(fileno=int(sys.argv[1])))
