"""Name servers that do not answer: what else the server connects to by name goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from authkit_issuer.domains.webhooks.addresses import MAX_LOOKUPS
from authkit_issuer.federation.http import AT_ONCE
from fakes.patience import PATIENCE

_HELD = AT_ONCE + MAX_LOOKUPS
_SERVER = f"""
import asyncio, os
from authkit_issuer.server import process

async def serve(*_):
    loop = asyncio.get_running_loop()
    silent = [asyncio.ensure_future(loop.getaddrinfo("silent", None)) for _ in range({_HELD})]
    await asyncio.wait(silent, timeout=0.5)
    waiting = sum(not task.done() for task in silent)
    other = asyncio.ensure_future(loop.getaddrinfo("localhost", None))
    await asyncio.wait([other], timeout={PATIENCE / 2})
    print(waiting, "wait, another one", "is found" if other.done() else "waits as well", flush=True)
    os._exit(0)  # an end of the loop would wait for the threads

class Signals:
    def enter_loop(self):
        pass

process._run = serve
process.run(None, None, None, Signals(), ready=None)
"""


def test_a_provider_and_webhooks_whose_name_servers_are_silent_leave_look_ups_to_others(
    tmp_path: Path,
) -> None:
    # The C library reads the aliases of a name from here, and waits for a writer.
    aliases = tmp_path / "aliases"
    os.mkfifo(aliases)
    env = {name: text for name, text in os.environ.items() if name != "UV_THREADPOOL_SIZE"}
    done = subprocess.run(
        [sys.executable, "-c", _SERVER],
        env=env | {"HOSTALIASES": str(aliases)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == f"{_HELD} wait, another one is found\n", done.stderr
