"""A receiver that verifies with the library of Standard Webhooks. ``PUT /secret``, ``GET /accepted``."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

secret: list[str] = []
accepted: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def do_GET(self) -> None:
        self._answer(200, json.dumps(accepted).encode())

    def do_PUT(self) -> None:
        secret[:] = [self._body().decode()]
        self._answer(204)

    def do_POST(self) -> None:
        body = self._body()
        try:
            event = Webhook(secret[0]).verify(
                body, {name.lower(): text for name, text in self.headers.items()}
            )
        except WebhookVerificationError:
            self._answer(400)
            return
        accepted.append(event["type"])
        self._answer(204)

    def log_message(self, *_: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
sys.stdout.write("ready\n")
sys.stdout.flush()
server.serve_forever()
