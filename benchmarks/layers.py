"""Where the time of a request goes: the issuer beside itself with one cost taken out, in alternating rounds.

    python benchmarks/layers.py [rounds] [--seconds S]

Each server is the issuer as in production, with one layer taken out (``beside/without.py``). "us less" is the
processor time per request that it spares with 16 connections (logins: 1), the median of the differences
inside each round. The layers overlap a little, and none of these servers could be used. What remains without
all of them is uvicorn's own answer, and routing, guards, body, the handler and the JSON.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import warnings
from functools import partial

import uvloop

os.environ.setdefault("BENCHMARK_CALLERS", "16")

from beside.cast import Cast, Turns
from beside.contenders import (
    AUTHKIT,
    HASH,
    HELLO,
    JWKS,
    LOGIN,
    REFRESH,
    ROTATE,
    SELECT,
    WHO,
    Contender,
    Parts,
    issuer_parts,
    ours,
)
from beside.rounds import short, table
from beside.stage import set_stage
from beside.without import LAYERS

ACTIONS = {WHO: SELECT, REFRESH: ROTATE, JWKS: HELLO, LOGIN: HASH}
"""Each action, and its floor."""
ALL = "all of these"
CONNECTIONS = {LOGIN: 1}
"""How many connections ask at once, 16 unless it is here."""


def connections(action: str) -> int:
    return CONNECTIONS.get(action, 16)


def without(issuer: Contender, name: str, layers: list[str]) -> Contender:
    """Return the issuer without some of its layers."""
    label = f"{AUTHKIT} without {name}"
    return Contender(
        name=label,
        command=lambda port: [sys.executable, "-m", "beside.without", str(port), *layers],
        ready=issuer.ready,
        parts=partial(_named, label),
        env=issuer.env,
    )


async def _named(label: str, port: int) -> Parts:
    found = await issuer_parts(port)
    return {(action, label): asking for (action, _), asking in found.items() if action in ACTIONS}


def less(turns: Turns, name: str) -> float:
    """Return the microseconds that a request takes less without a layer."""
    other = turns.costs[f"{AUTHKIT} without {name}"]
    return statistics.median(a - b for a, b in zip(turns.costs[AUTHKIT], other, strict=True))


def rows(found: dict[str, Turns]) -> list[list[str]]:
    """Return the rows of the table: the issuer, what each layer takes, what remains, and the floor."""
    totals = {action: turns.cost(AUTHKIT) for action, turns in found.items()}
    lines = [["authkit", *(f"{short(total)} (100 %)" for total in totals.values())]]
    for name in (*LAYERS, ALL):
        spared = {action: less(turns, name) for action, turns in found.items()}
        cells = [f"{short(us)} ({us / totals[action]:.0%})" for action, us in spared.items()]
        lines.append([f"{name}, us less", *cells])
    left = {action: totals[action] - less(turns, ALL) for action, turns in found.items()}
    lines.append(["what remains", *(short(us) for us in left.values())])
    hello = found[JWKS].cost(HELLO)
    lines.append(["of it a bare answer of uvicorn", *(short(hello) for _ in found)])
    floors = [f"{short(turns.cost(ACTIONS[action]))}" for action, turns in found.items()]
    return [*lines, ["the floor of the action", *floors]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="the length of a turn (default 0.3)")
    return parser.parse_args()


async def main() -> None:
    given = arguments()
    async with set_stage() as stage:
        cast = Cast(stage.folder, {})
        issuer, floors = await ours(stage)
        issuer.env["AUTHKIT_SESSION_MAX_PER_USER"] = "100"  # one of each server
        issuer.env["AUTHKIT_DATABASE_POOL_SIZE"] = "8"  # the database has 100 connections for all of them
        others = [without(issuer, name, [name]) for name in LAYERS]
        everything = without(issuer, ALL, list(LAYERS))
        with cast.running([issuer, floors, *others, everything], 1):
            results = await cast.play(
                list(ACTIONS), given.rounds, given.seconds, counts=lambda action: (connections(action),)
            )
    found = {action: turns[connections(action)] for action, turns in results.items()}
    print(table(["CPU us", *found], rows(found)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()  # the issuer says that it cannot send mail
    uvloop.run(main())
