"""The harness refuses what it says it refuses."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from blockbuster import BlockingError

from authkit_issuer.config import is_dev_environment, process_environment
from fakes import commands, refusals, servers, warm
from fakes.commands import run_program
from fakes.imports import missing_imports
from fakes.laws import for_each
from fakes.repository import ROOT
from fakes.until import wait_until


@pytest.mark.parametrize("host", ["192.0.2.1", "example.com", "2001:db8::1"])
async def test_nothing_outside_of_this_machine_can_be_reached(host: str) -> None:
    with pytest.raises(refusals.OutsideRefused):
        socket.getaddrinfo(host, 80)
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(f"http://{host if ':' not in host else f'[{host}]'}/")
    assert refusals.outside
    refusals.outside.clear()


def test_this_machine_can_be_reached(own_redis: servers.RedisServer) -> None:
    assert servers.answers(own_redis.port)
    own_redis.stop()
    assert not servers.answers(own_redis.port)


async def test_code_of_ours_that_blocks_the_loop_fails() -> None:
    source = "import time\ndef block():\n    time.sleep(0.001)\n"
    names: dict[str, Callable[[], None]] = {}
    exec(compile(source, str(ROOT / "authkit_issuer" / "blocking.py"), "exec"), names)
    with pytest.raises(BlockingError):
        names["block"]()


def test_the_environment_says_nothing_about_the_service() -> None:
    assert not [name for name in process_environment() if name.startswith("AUTHKIT_")]
    assert is_dev_environment()
    assert os.environ["XDG_RUNTIME_DIR"]


@pytest.mark.parametrize(
    ("failing", "outcome", "said"),
    [
        ({"steady": "True", "unsteady": "Path('unsteady').exists()"}, 0, "UNSTEADY"),
        ({"steady": "True", "broken": "False"}, 1, "A second try"),
        ({f"broken{number}": "False" for number in range(4)}, 1, ""),
    ],
)
def test_a_few_failed_tests_have_a_second_try(
    tmp_path: Path, failing: dict[str, str], outcome: int, said: str
) -> None:
    tests = [
        f"def test_{name}():\n    holds = {rule}\n    Path('{name}').touch()\n    assert holds\n"
        for name, rule in failing.items()
    ]
    (tmp_path / "test_them.py").write_text("from pathlib import Path\n" + "".join(tests))
    first = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], check=False, cwd=tmp_path, capture_output=True
    )
    assert first.returncode == 1
    second = [sys.executable, ROOT / "tests" / "second_try.py", str(first.returncode)]
    ended = subprocess.run(second, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == outcome, ended.stdout
    assert said in ended.stdout
    assert "test_steady" not in ended.stdout


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import warnings\nwarnings.warn('an old name', stacklevel=1)", "an old name"),
        ("import fakes", "No module named 'fakes'"),
        ("from beside import absent", "cannot import name 'absent' from 'beside'"),
        ("print(__name__)\nraise SystemExit(open('beside.py').read())", "present = 1"),
    ],
)
def test_a_program_runs_as_its_reader_runs_it(tmp_path: Path, program: str, said: str) -> None:
    (tmp_path / "beside.py").write_text("present = 1")
    (tmp_path / "program.py").write_text(program)
    done = run_program(tmp_path / "program.py", dict(os.environ))
    assert done.returncode == 1
    assert said in done.stderr
    (tmp_path / "program.py").write_text("from beside import present\nprint(__name__, present)")
    assert run_program(tmp_path / "program.py", dict(os.environ)).stdout == "__main__ 1\n"


def test_a_program_is_ended_with_its_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, number = tmp_path / "program.py", tmp_path / "number"
    program.write_text("import os, time\nopen('number', 'w').write(str(os.getpid()))\ntime.sleep(600)")
    wait = warm.WarmProcess.wait

    def interrupted(process: warm.WarmProcess, timeout: float) -> int:
        monkeypatch.setattr(warm.WarmProcess, "wait", wait)
        wait_until(lambda: number.read_text() != "", FileNotFoundError)
        raise KeyboardInterrupt

    monkeypatch.setattr(warm.WarmProcess, "wait", interrupted)
    monkeypatch.setattr(commands, "SOAK", False)
    with pytest.raises(KeyboardInterrupt):
        run_program(program, dict(os.environ))
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)
    program.write_text("print('the next one')")
    assert run_program(program, dict(os.environ)).stdout == "the next one\n"


@pytest.mark.parametrize(
    ("program", "missing"),
    [
        ("import logging\nlogging.handlers.MemoryHandler(1)", {"logging.handlers"}),
        ("import logging.handlers\nlogging.handlers.MemoryHandler(1)\nlogging.info('')", set()),
        ("import urllib as u\nprint(f'{u.parse.quote(x)}')", {"urllib.parse"}),
        ("from authkit_issuer import store\nstore.migrate.migrate()", {"authkit_issuer.store.migrate"}),
        (
            "from authkit_issuer import store\nimport authkit_issuer.store.migrate\nstore.migrate.migrate()",
            set(),
        ),
        ("from authkit_verify import testing\ntesting.FakeIssuer()", set()),
        ("import os, absent\nos.path.join(absent.path)", set()),
    ],
)
def test_a_program_says_what_it_imports(program: str, missing: set[str]) -> None:
    assert missing_imports(program) == missing


async def test_ageing_moves_one_row_back(database_url: str, age: Callable[..., Awaitable[None]]) -> None:
    async def two_users(connection):
        return await connection.fetch(
            "insert into profiles.users (email) values ('a@example.test'), ('b@example.test') returning id"
        )

    first, second = [row["id"] for row in await servers.on(database_url, two_users)]
    await age("users", first, created_at=3600)
    old = "select id from profiles.users where created_at < now() - interval '59 minutes'"
    assert [row["id"] for row in await servers.on(database_url, lambda c: c.fetch(old))] == [first]
    with pytest.raises(AssertionError, match="no row"):
        await age("users", "00000000-0000-0000-0000-000000000000", created_at=1)
    assert second != first


@pytest.mark.parametrize("turn", [1, 2])
async def test_every_test_starts_with_an_empty_database(database_url: str, turn: int) -> None:
    async def look_and_leave(connection):
        found = await connection.fetchval("select count(*) from profiles.users")
        role = await connection.fetchval("select name from profiles.roles")
        await connection.execute("insert into profiles.users (email) values ('left@example.test')")
        await connection.execute("update profiles.roles set name = 'admin'")
        return found, role

    assert await servers.on(database_url, look_and_leave) == (0, "Administrator")


def test_a_law_over_a_table_lists_every_row_that_breaks_it() -> None:
    @for_each([1, 2, 3, 4], str)
    def law(number: int) -> None:
        assert number % 2, f"{number} is even"

    with pytest.raises(AssertionError, match=r"(?s)2 rows.*2: .*2 is even.*4: .*4 is even"):
        law()
    with pytest.raises(AssertionError, match="no rows"):
        for_each([], str)(lambda _: None)()
