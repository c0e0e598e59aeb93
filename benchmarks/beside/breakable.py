"""A key server on a real socket that can be slow or down, and counts requests."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from authkit_verify.testing import FakeIssuer


class KeyServer:
    """Serves the current keys of its issuer. ``delay`` is seconds per response."""

    def __init__(self, algorithm: str) -> None:
        self.fetches, self.delay, self.down = 0, 0.0, False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.request_queue_size = 128
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.issuer = FakeIssuer(self.url, algorithm=algorithm)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.fetches += 1
        time.sleep(self.delay)
        body = b"" if self.down else self.issuer.document()
        request.send_response(503 if self.down else 200)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
