"""The socket that a server process listens on: a port, a unix socket, or one that its parent opened."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from authkit_issuer.errors import StartupError
from authkit_issuer.server.options import ServeOptions

_BACKLOG = 2048
_ANYBODY = 0o666


@contextmanager
def listening(options: ServeOptions) -> Generator[tuple[socket.socket, str]]:
    """Listen before anything else starts; yield the socket and its address, such as ``http://127.0.0.1:8000``.

    Raises:
        StartupError: The place is taken, or cannot be used.
    """
    if options.fd is not None:
        listener = _inherited(options.fd)
    elif options.uds is not None:
        listener = bind_unix(options.uds)
    else:
        listener = bind(options.host, options.port)
    try:
        yield listener, _address(listener, options.host)
    finally:
        listener.close()
        if options.uds is not None:
            options.uds.unlink(missing_ok=True)


def bind(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """Listen on a port, or raise ``StartupError``, which names the ``option``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Two sockets of this kind may hold one port until one of them listens: now, and not after the start.
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or "not a port number"
        raise StartupError(
            f"Cannot listen on {host} port {port}: {reason.lower()}; {option} selects another."
        ) from error
    return listener


def bind_unix(path: Path) -> socket.socket:
    """Listen on a unix socket, in place of one that a killed process left; or raise ``StartupError``."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left(path)
        listener.bind(str(path))
        path.chmod(_ANYBODY)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise StartupError(f"Cannot listen on {path}: {reason}; --uds selects another.") from error
    return listener


def _remove_left(path: Path) -> None:
    """Remove a socket on which no process listens; ``bind`` refuses everything else that is there."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)


def _inherited(number: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=os.dup(number))
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StartupError(f"--fd {number} is not a socket: {(error.strerror or '').lower()}.") from error
    if not listening:
        listener.close()
        raise StartupError(f"--fd {number} is a socket that does not listen.")
    return listener


def _address(listener: socket.socket, host: str) -> str:
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    name = listener.getsockname()
    host = host if listener.family == socket.AF_INET else f"[{name[0]}]"
    return f"http://{host}:{name[1]}"
