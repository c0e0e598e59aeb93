"""The processor time of fresh processes: imports, and commands that print their help."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from beside.rounds import Times, short, table

_BIN = Path(sys.executable).parent
WITH_BYTECODE = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of a fresh process: an import that compiles its modules again measures the compiler."""
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import Verifier": [sys.executable, "-c", "from authkit_verify import Verifier"],
    "import jwt": [sys.executable, "-c", "import jwt.algorithms"],
    "authkit --help": [str(_BIN / "authkit"), "--help"],
    "uvicorn --help": [str(_BIN / "uvicorn"), "--help"],
}


def spent(command: Sequence[str]) -> float:
    """Return the milliseconds of processor time of a command that succeeds."""
    with subprocess.Popen(
        command, env=WITH_BYTECODE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return (usage.ru_utime + usage.ru_stime) * 1e3


def fresh_processes(rounds: int) -> Times:
    """Return the milliseconds of each command, one number per round, after one round that is not counted."""
    times: Times = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name in random.sample(list(COMMANDS), len(COMMANDS)):
            milliseconds = spent(COMMANDS[name])
            if number:
                times[name].append(milliseconds)
    return times


def cold_table(times: Times) -> str:
    rows = [[name, short(statistics.median(values))] for name, values in times.items()]
    return table(["fresh process", "CPU ms"], rows)
