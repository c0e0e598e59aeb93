"""Sockets that notice that the machine behind them vanished."""

from __future__ import annotations

import socket
from collections.abc import Mapping


def notice_silence(connected: socket.socket | None, options: Mapping[str, int]) -> None:
    """Probe an idle connection over TCP, as these options of TCP say; a unix socket needs none of it.

    Args:
        connected: The socket of a transport; None if it has none.
        options: Values by the names in ``socket``, such as ``TCP_KEEPIDLE``; systems lack some of them.
    """
    if connected is None or connected.family == getattr(socket, "AF_UNIX", None):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        option = getattr(socket, name, None)
        if option is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
