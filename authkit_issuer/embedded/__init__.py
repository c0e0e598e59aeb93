"""PostgreSQL from a wheel, in a data folder: the development default. For Linux and macOS.

The server is a child of this process. It listens only on a Unix socket that its owner alone can open.
Everything here blocks: call it before a loop runs, or from a thread.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from authkit_issuer.embedded.wheel import Account, Binaries, account_for_programs, let_enter
from authkit_issuer.errors import StartupError

_CLUSTER, _LOCK, _LOG, _PID_FILE = "postgres", "lock", "postgres.log", "postmaster.pid"
_KEYS = "keys.json"
"""The keys of development, which share the data folder and may be there first."""
_PORT = 5432
_SOCKETS = "authkit-sockets-"
_MARK = "cluster_name=authkit"
"""The argument that marks the command line of each embedded server."""
START_TIMEOUT = 60.0
"""Seconds; recovery after a crash can take a while on a busy disk."""
STOP_TIMEOUT = 30.0
_POLL = 0.02
_SOCKET_PATH = re.compile(r"[A-Za-z0-9_./-]{1,80}")
"""A path that fits a Unix socket address (103 bytes on macOS) and needs no quoting in a list of hosts."""


class EmbeddedPostgres:
    """A running server and the lock on its data folder, created by ``start``."""

    def __init__(self, process: subprocess.Popen[Any], sockets: Path, lock: IO[str]) -> None:
        """Keep the process, its socket folder and the lock."""
        self._process = process
        self._sockets = sockets
        self._lock = lock

    @classmethod
    def start(cls, data_dir: Path) -> EmbeddedPostgres:
        """Start the server of a data folder, which is created if it does not exist.

        An embedded server whose process was killed is stopped first.

        Raises:
            StartupError: the folder cannot be used, or another process uses it.
        """
        folder = data_dir.expanduser().resolve()
        own = [path for path in (folder, *folder.parents) if not path.exists()]
        if not own and _holds_own_files_only(folder):
            own = [folder]
        lock = _take(folder)
        try:
            return cls._start(folder, lock, own)
        except BaseException as error:
            lock.close()
            if isinstance(error, OSError):
                raise StartupError(f"The data folder {folder} cannot be used: {error.strerror}.") from error
            raise

    @classmethod
    def _start(cls, folder: Path, lock: IO[str], own: list[Path]) -> EmbeddedPostgres:
        cluster, account = folder / _CLUSTER, account_for_programs()
        let_enter(account, folder, own)
        binaries = Binaries.find().runnable_by(account, folder)
        if (cluster / "PG_VERSION").exists():
            _clear_the_way(cluster)
        else:
            _create(cluster, binaries, account)
        sockets = _socket_folder(cluster, account)
        process = _launch(folder / _LOG, cluster, sockets, binaries, account)
        server = cls(process, sockets, lock)
        try:
            _await_ready(process, folder / _LOG, cluster)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def dsn(self) -> str:
        """The URL of its database, with every part: a missing one would be read from ``PG*``."""
        return (
            f"postgresql://postgres@/postgres?host={quote(str(self._sockets))}&port={_PORT}&sslmode=disable"
        )

    def stop(self) -> None:
        """Stop the server once everything is on disk, and release the folder."""
        try:
            _end(self._process)
        finally:
            _remove_sockets(self._sockets)
            self._lock.close()


def _holds_own_files_only(folder: Path) -> bool:
    """True if this package created the folder earlier: for the keys of development, or for a server."""
    try:
        names = {entry.name for entry in folder.iterdir()} - {_LOCK}  # which a refused start leaves anywhere
    except OSError:
        return False
    return bool(names) and names <= {_KEYS, _CLUSTER, _LOG}


def _take(folder: Path) -> IO[str]:
    """Lock the folder for this process; the lock ends with the process, even if it is killed."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = (folder / _LOCK).open("w")
    except OSError as error:
        raise StartupError(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise StartupError(
            f"The data folder {folder} is in use by another process: stop it, or use another folder."
        ) from error
    return handle


def _clear_the_way(cluster: Path) -> None:
    """Handle the pid file of an earlier server; PostgreSQL handles that of a stopped one."""
    try:
        lines = (cluster / _PID_FILE).read_text().split("\n")
        pid = int(lines[0])
    except (FileNotFoundError, ValueError):
        return
    command = _command(pid)
    if not command:
        return
    if "postgres" not in command:
        # Another program has that pid now, as happens when a container restarts.
        (cluster / _PID_FILE).unlink()
        return
    # This process holds the lock, so a server with the mark has lost its parent: stop it.
    if _MARK not in command:
        raise StartupError(f"The data folder {cluster.parent} is in use by another server (process {pid}).")
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_TIMEOUT
    while _command(pid):
        if time.monotonic() > deadline:
            raise StartupError(f"An earlier PostgreSQL (process {pid}) does not stop: stop it by hand.")
        time.sleep(_POLL)
    if len(lines) > 4:  # a start that was killed has written a part of it
        _remove_sockets(Path(lines[4]))


def _command(pid: int) -> str:
    """Return the command line of a process, ``""`` if it does not run."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            return ""
    found = subprocess.run(  # noqa: S603 - a fixed program and a number
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def _create(cluster: Path, binaries: Binaries, account: Account | None) -> None:
    """Create the files in a folder beside, then rename it: an interrupted start leaves no cluster."""
    fresh = cluster.with_name(f"{cluster.name}.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    if account is not None:
        os.chown(fresh, account.uid, account.gid)
    done = subprocess.run(  # noqa: S603 - a program out of the wheel, and no shell
        [
            binaries.program("initdb"), "--pgdata", fresh, "--username", "postgres", "--auth", "trust",
            # The same order and letter case everywhere, whatever the machine's own locale is.
            "--encoding", "UTF8", "--locale", "C",
            "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
        ],
        **binaries.surroundings(account), capture_output=True, check=False, start_new_session=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise StartupError(f"PostgreSQL cannot make its files in {cluster}: {_last(done.stderr.decode())}")
    fresh.rename(cluster)


def _socket_folder(cluster: Path, account: Account | None) -> Path:
    """Return the cluster's folder, or a private one if that path cannot name a socket."""
    if _SOCKET_PATH.fullmatch(str(cluster)):
        return cluster
    sockets = Path(tempfile.mkdtemp(prefix=_SOCKETS))
    if account is not None:
        os.chown(sockets, account.uid, account.gid)
    return sockets


def _remove_sockets(folder: Path) -> None:
    """Remove the folder if it was created for the sockets."""
    if folder.name.startswith(_SOCKETS):
        shutil.rmtree(folder, ignore_errors=True)


def _launch(
    log: Path, cluster: Path, sockets: Path, binaries: Binaries, account: Account | None
) -> subprocess.Popen[Any]:
    arguments = ("-D", cluster, "-k", sockets, "-p", str(_PORT), "-c", "listen_addresses=", "-c", _MARK)
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - as above
            [binaries.program("postgres"), *arguments],
            **binaries.surroundings(account),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches this process alone: the server must outlive the running requests.
            start_new_session=True,
        )


def _await_ready(process: subprocess.Popen[Any], log: Path, cluster: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not _is_ready(process.pid, cluster):
        if process.poll() is not None:
            raise StartupError(f"PostgreSQL does not start: {_last(log.read_text(errors='replace'))}")
        if time.monotonic() > deadline:
            raise StartupError(f"PostgreSQL does not get ready within {START_TIMEOUT:.0f} s; see {log}.")
        time.sleep(_POLL)


def _is_ready(pid: int, cluster: Path) -> bool:
    """True if the pid file names this process and the state ``ready``."""
    try:
        lines = (cluster / _PID_FILE).read_text().split("\n")
    except FileNotFoundError:
        return False
    return lines[0] == str(pid) and len(lines) > 7 and lines[7].strip() == "ready"


def _end(process: subprocess.Popen[Any]) -> None:
    """Ask for a fast shutdown, then for an immediate one, then kill."""
    for request, patience in ((signal.SIGINT, STOP_TIMEOUT), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        process.send_signal(request)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        return


def _last(output: str) -> str:
    """Return the last error line of a PostgreSQL program as the end of a sentence."""
    lines = [line for line in output.splitlines() if line.strip()]
    complaints = [line for line in lines if re.search(r"FATAL:|PANIC:|error:", line)]
    found = (complaints or lines or ["it printed no error"])[-1]
    return re.sub(r"^.*(?:FATAL|PANIC|error):\s*", "", found).strip().rstrip(".") + "."
