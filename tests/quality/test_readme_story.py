"""The page of the first token, told by its own lines: a served issuer, the program, and the curl lines."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from fakes import servers
from fakes.ports import free_port
from fakes.readme import blocks

PAGE = "docs/start/first_token.md"
BIN = Path(sys.executable).parent


def curl_lines() -> list[str]:
    """Return the curl lines of the page, in order."""
    lines = [line.removeprefix("$ ") for block in blocks("console", PAGE) for line in block.splitlines()]
    return [line for line in lines if line.startswith("curl ")]


@contextmanager
def running(arguments: list[str], port: int, folder: Path) -> Iterator[None]:
    """Run a server until the block ends; it must answer within a minute and stop on Ctrl-C."""
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 60
            while not servers.answers(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield
            process.send_signal(signal.SIGINT)
            process.wait(20)
            assert "Traceback" not in log.read_text(), log.read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def curl(line: str, known: dict[str, str]) -> httpx.Response:
    """Send what a curl line says; ``<name>`` stands for what an earlier answer called so."""
    words = shlex.split(re.sub(r"<(\w+)>", lambda match: known[match[1]], line))
    headers, data, url = {}, None, ""
    rest = iter(words[1:])
    for word in rest:
        if word == "-H":
            name, _, value = next(rest).partition(":")
            headers[name] = value.strip()
        elif word == "-d":
            data = next(rest)
        elif word != "-s":
            url = word
    return httpx.request("POST" if data else "GET", url, headers=headers, content=data, timeout=20)


def facts(answer: Any) -> dict[str, str]:
    """Return the texts of a JSON answer; of a list, those of its first entry."""
    found: dict[str, str] = {}
    if isinstance(answer, list):
        return facts(answer[0]) if answer else {}
    if isinstance(answer, dict):
        for name, value in answer.items():
            found |= {name: value} if isinstance(value, str) else facts(value)
    return found


def test_the_lines_of_the_page_work_in_their_order(tmp_path: Path) -> None:
    issuer, app = free_port(), free_port()
    here = lambda text: text.replace(":8000", f":{issuer}").replace(":9000", f":{app}")  # noqa: E731
    (tmp_path / "hello.py").write_text(here(blocks("python", PAGE)[0]))
    serve = [
        str(BIN / "authkit"),
        "serve",
        "--dev",
        "--port",
        str(issuer),
        "--data-dir",
        str(tmp_path / "data"),
    ]
    hello = [sys.executable, "-m", "uvicorn", "hello:app", "--port", str(app), "--app-dir", str(tmp_path)]
    known: dict[str, str] = {}
    with running(serve, issuer, tmp_path), running(hello, app, tmp_path):
        assert httpx.get(f"http://127.0.0.1:{app}/").status_code == 401
        for line in map(here, curl_lines()):
            answer = curl(line, known)
            while answer.is_success and answer.text.replace(" ", "") == '{"messages":[]}':
                time.sleep(0.05)  # mails are sent after the answer; the test's own timeout ends this
                answer = curl(line, known)
            assert answer.is_success, f"{line}\n{answer.text}"
            if "json" in answer.headers.get("content-type", ""):
                known |= facts(answer.json())
        assert answer.text == "Hello, ada_l!\n"
