"""ClickHouse's HTTP interface on the loopback, over a double or over the real engine in ``chdb``."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

USER, PASSWORD = "authkit", "pässword:with colon"

# What the interface knows by itself; every other argument is a setting.
RESERVED = {"query", "database", "wait_end_of_query"}
SETTINGS = {"async_insert", "input_format_skip_unknown_fields"}
KEY = ("user_id", "occurred_at", "id", "issuer")
COLUMNS = {
    *KEY, "session_id", "event", "method", "reason", "ip_addr", "user_agent", "actor", "target", "data",
}  # fmt: skip
ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r", "\\0": "\0", "\\'": "'"}


class Refused(Exception):
    """The server's refusal: an HTTP status and an exception code."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


@dataclass
class Asked:
    """A request as it arrived; parameters and settings as the interface tells them apart."""

    query: str
    database: str
    parameters: dict[str, str]
    settings: dict[str, str]
    data: str
    headers: dict[str, str]


Engine = Callable[[Asked], str]


def unescaped(text: str) -> str:
    """Read a parameter as a field of TabSeparated, where neither tab nor line break may stand."""
    if re.search(r"[\t\n]", text):
        raise Refused(400, 457, "a parameter is not one field")
    return re.sub(r"\\.", lambda found: ESCAPES[found[0]], text)


def strings(text: str) -> list[str]:
    """Read a parameter of the type Array(String)."""
    assert re.fullmatch(r"\[('(\\.|[^'\\])*'(,'(\\.|[^'\\])*')*)?\]", text), text
    return [unescaped(entry) for entry in re.findall(r"'((?:\\.|[^'\\])*)'", text)]


@dataclass
class Double:
    """Keeps rows as parts do, repeats included, and answers the reader's question."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __call__(self, asked: Asked) -> str:
        """Run one statement."""
        text = " ".join(asked.query.split())
        if found := re.search(r"create table if not exists (\S+) \(", text):
            assert "engine = ReplacingMergeTree" in text
            assert f"order by ({', '.join(KEY)})" in text
            self.tables.setdefault(found[1], [])
            return ""
        if found := re.fullmatch(r"insert into (\S+) format JSONEachRow", text):
            return self._insert(found[1], asked)
        if found := re.search(r" from (\S+) as e final where (.+) order by (.+) limit (\S+) format", text):
            return self._select(*found.groups(), asked.parameters)
        raise Refused(400, 62, f"syntax error: {text}")

    def _table(self, name: str) -> list[dict[str, Any]]:
        if name not in self.tables:
            raise Refused(404, 60, f"table {name} does not exist")
        return self.tables[name]

    def _insert(self, table: str, asked: Asked) -> str:
        rows = [json.loads(line) for line in asked.data.splitlines()]
        for row in rows:
            if row.keys() != COLUMNS:
                raise Refused(400, 117, "unknown field")
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", row["occurred_at"])
            json.loads(row["data"])
        self._table(table).extend(rows)
        return ""

    def _select(self, table: str, which: str, order: str, limit: str, values: dict[str, str]) -> str:
        assert order == "e.occurred_at desc, e.id desc"
        assert limit == "{limit:UInt32}"
        once = {tuple(row[name] for name in KEY): row for row in self._table(table)}
        rows = sorted(once.values(), key=lambda row: (row["occurred_at"], row["id"]), reverse=True)
        for condition in [] if which == "true" else which.split(" and "):
            rows = [row for row in rows if self._holds(condition, row, values)]
        found = rows[: int(values["limit"])]
        return "".join(
            json.dumps(
                row | {"id": str(row["id"]), "occurred_at": row["occurred_at"].replace(" ", "T") + "Z"}
            )
            + "\n"
            for row in found
        )

    def _holds(self, condition: str, row: dict[str, Any], values: dict[str, str]) -> bool:
        if condition == "e.user_id = {user:String}":
            return row["user_id"] == unescaped(values["user"])
        if condition == "has({events:Array(String)}, e.event)":
            return row["event"] in strings(values["events"])
        assert condition == "(e.occurred_at, e.id) < ({moment:DateTime64(6, 'UTC')}, {number:Int64})"
        return (row["occurred_at"], row["id"]) < (values["moment"], int(values["number"]))


class Real:
    """The engine itself, in this process."""

    def __init__(self, folder: Path) -> None:
        from chdb import session

        self._session = session.Session(str(folder))
        self._lock = threading.Lock()
        self._session.query("create database if not exists audit")

    def __call__(self, asked: Asked) -> str:
        """Run one statement with the settings and parameters that came with it."""
        with self._lock:
            self._session.query(f"use {asked.database}")
            for name, value in asked.settings.items():
                self._session.query(f"set {name} = {value}")
            query = f"{asked.query}\n{asked.data}" if asked.data else asked.query
            try:
                return str(self._session.query(query, params=asked.parameters or None))
            except RuntimeError as error:
                raise Refused(400, 1, str(error)) from error

    def close(self) -> None:
        self._session.query("drop database audit")
        self._session.close()


class ClickHouseServer:
    """Answers as a server would, or, once for each entry of ``mishaps``, as a server in trouble.

    ``refuse`` answers 503; ``hang up`` closes the connection; ``lose the answer`` does the work first;
    ``midway`` answers 200 with an exception; ``nonsense`` returns what is not a row; ``stall`` waits.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asked: list[Asked] = []
        self.mishaps: deque[str] = deque()
        self.down = False
        self.release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: Asked, given: str | None) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if given != f"Basic {expected}":
            return 403, {"X-ClickHouse-Exception-Code": "516"}, f"authentication of {given} failed".encode()
        self.asked.append(asked)
        mishap = "refuse" if self.down else self.mishaps.popleft() if self.mishaps else ""
        if mishap in {"refuse", "hang up"}:
            return (503, {}, b"upstream down") if mishap == "refuse" else (0, {}, b"")
        if mishap == "stall":
            self.release.wait(20)
        if mishap == "nonsense":
            return 200, {}, b"<html>a proxy speaks</html>"
        try:
            body = self.engine(asked)
        except Refused as error:
            code = {"X-ClickHouse-Exception-Code": str(error.code)}
            return error.status, code, f"Code: {error.code}. {error} {asked.data}".encode()
        if mishap == "midway":
            return 200, {"X-ClickHouse-Exception-Code": "241"}, b"memory limit"
        return (0, {}, b"") if mishap == "lose the answer" else (200, {}, body.encode())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                asked = read(self.path, body, dict(self.headers))
                status, headers, answer = outer.answer(asked, self.headers["Authorization"])
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler


def read(path: str, body: str, headers: dict[str, str]) -> Asked:
    """Take a request apart; an argument that is neither reserved, parameter nor known setting is refused."""
    arguments = dict(parse_qsl(urlsplit(path).query, keep_blank_values=True, strict_parsing=True))
    settings = {
        name: value
        for name, value in arguments.items()
        if name not in RESERVED and not name.startswith("param_")
    }
    assert settings.keys() <= SETTINGS, settings
    assert arguments["wait_end_of_query"] == "1"
    return Asked(
        query=arguments.get("query", body),
        database=arguments["database"],
        parameters={
            name.removeprefix("param_"): value
            for name, value in arguments.items()
            if name.startswith("param_")
        },
        settings=settings,
        data=body if "query" in arguments else "",
        headers=headers,
    )
