"""What a command shows on a terminal while it works."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from fakes.commands import environment
from fakes.servers import on
from fakes.warm import start

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no pseudo terminal"),
]


def shown(*arguments: str, **settings: str) -> str:
    """Return what a command writes to standard error, while that is a terminal."""
    terminal, side = os.openpty()
    with Path(os.devnull).open("r+") as nothing:
        process = start(arguments, environment(**settings), (nothing.fileno(), nothing.fileno(), side))
        os.close(side)
        assert process.wait(timeout=60) == 0
    text = b""
    try:
        while chunk := os.read(terminal, 65_536):
            text += chunk
    except OSError:  # on Linux a closed terminal is an error
        pass
    os.close(terminal)
    return text.decode()


def test_a_purge_counts(settings: dict[str, str], database_url: str) -> None:
    add = (
        "insert into profiles.users (email, deleted_at)"
        " select 'u' || n || '@x.test', now() - interval '90 days' from generate_series(1, 3) as n"
    )
    asyncio.run(on(database_url, lambda connection: connection.execute(add)))
    assert re.search(r"\d purged", shown("purge", **settings))
