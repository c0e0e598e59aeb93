"""Servers of a benchmark: their processor, what they use, and what is said of one that does not start."""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path

import pytest
from beside.processes import Process, processors

from fakes.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the clock of another process is Linux's")

SERVER = """
import http.server, os, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        {burn}
        body = repr(sorted(os.sched_getaffinity(0))).encode()
        self.send_response(200); self.send_header('content-length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
{before}
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"""


def started(folder: Path, *, burn: str = "pass", before: str = "") -> Process:
    port = free_port()
    program = SERVER.format(burn=burn, before=before)
    return Process(
        [sys.executable, "-c", program, str(port)],
        port=port, ready="/", output=folder / "server.log", env={}, cwd=folder,
    )  # fmt: skip


def get(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/")
    return connection.getresponse().read().decode()


def test_the_work_of_every_thread_and_child_is_counted(tmp_path: Path) -> None:
    work = "for _ in range(3_000_000): pass"
    # The work of a thread is done and the thread is gone, as in a server with a thread per request.
    server = started(tmp_path, burn=f"exec({work!r})", before="if os.fork(): os.wait()")
    try:
        before = server.cpu()
        assert before is not None
        get(server.port)
        after = server.cpu()
        assert after is not None
        assert after - before > 0.01
        assert server.memory() > 5
        assert server.start_cpu > 0
    finally:
        server.stop()
    with pytest.raises(ConnectionError):
        get(server.port)


def test_a_server_has_a_processor_apart_from_the_load(tmp_path: Path) -> None:
    places = processors()
    if places is None:
        pytest.skip("one processor")
    mine = os.sched_getaffinity(0)
    server = started(tmp_path)
    try:
        assert get(server.port) == repr(sorted(places[0]))
        assert not places[0] & places[1]
        assert os.sched_getaffinity(0) == mine
    finally:
        server.stop()


def test_a_server_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such table"):
        started(tmp_path, before="sys.exit('no such table')")
