"""The issuer beside its floors and beside other people's servers, in alternating rounds.

    python benchmarks/issuer.py [rounds] [--seconds S] [--plots] [--no-peers]

One PostgreSQL holds a database for each server. The issuer runs as in production: Redis, access log, counted
rate limits, ES256. Each server is one process on a processor of its own, where there are two; load and
databases share the others. The peers write no access log. Logins compare the same argon2id hash everywhere;
a second table has the default hash of each peer. "CPU us" is the processor time of the server per request.
Ratios are medians of the ratio inside each round: trust them before requests per second.

A floor is a bare ASGI answer with nothing but what the action cannot do without. The exit status is 1 when a
gated goal is missed; other goals are open until they are met. ``verify.py`` and ``asgi.py`` have the goals of
the verifier. ``--plots`` writes the charts of ``docs/benchmarks``. ``--no-peers`` leaves out other people's
servers, which a run otherwise installs in ``.runtime``.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import warnings
from pathlib import Path

import uvloop
from beside import goals, peers
from beside.cast import Cast, Results, Start
from beside.cold import cold_table, fresh_processes
from beside.contenders import AUTHKIT, JWKS, LOGIN, OWN_LOGIN, PROTECTED, REFRESH, VERIFIER, WHO, ours
from beside.plots import bars
from beside.rounds import judged, short, table
from beside.stage import set_stage

ACTIONS = (WHO, REFRESH, PROTECTED, JWKS, LOGIN)
STARTS, COLD_ROUNDS = 3, 5
CHARTS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


def ours_at(action: str) -> str:
    return VERIFIER if action == PROTECTED else AUTHKIT


def action_table(action: str, results: Results) -> str:
    """Return the candidates of an action, one column for each number of connections."""
    found = results[action]
    ours = ours_at(action)
    first = next(iter(found.values()))
    names = sorted(first.costs, key=lambda name: (name != ours, name.startswith("floor"), name))
    rows = [
        [
            name,
            *(short(turns.cost(name)) for turns in found.values()),
            *(short(turns.cheaper(ours, name)) for turns in found.values()),
            *(f"{turns.rate(name):.0f}" for turns in found.values()),
            *(short(turns.faster(ours, name)) for turns in found.values()),
        ]
        for name in names
    ]
    columns = ["CPU us", "its CPU / ours", "requests/s", "our requests/s / its"]
    return table([action, *(f"{column}, {count}" for column in columns for count in found)], rows)


def start_table(starts: dict[str, Start]) -> str:
    rows = [
        [
            name,
            short(statistics.median(start.seconds) * 1e3),
            short(statistics.median(start.cpu) * 1e3),
            f"{start.fresh:.0f}",
            f"{start.loaded:.0f}",
        ]
        for name, start in starts.items()
    ]
    head = ["server", "ms to the first answer", "CPU ms", "MB resident, fresh", "MB resident, loaded"]
    return table(head, rows)


def draw(results: Results) -> None:
    CHARTS.mkdir(parents=True, exist_ok=True)
    for action, found in results.items():
        names = next(iter(found.values())).costs
        rows = {name: [turns.cost(name) for turns in found.values()] for name in sorted(names)}
        title = f"{action}: processor time of the server per request"
        series = [f"{count} connection{'s' if count > 1 else ''}" for count in found]
        chart = bars(title, "microseconds", series, rows, "authkit")
        (CHARTS / f"{action.lower().replace(',', '').replace(' ', '_')}.svg").write_text(chart)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="the length of a turn (default 0.3)")
    parser.add_argument("--plots", action="store_true", help="write the charts of docs/benchmarks")
    parser.add_argument("--no-peers", action="store_true", help="measure only the issuer and its floors")
    return parser.parse_args()


async def main() -> bool:
    given = arguments()
    absent = {} if given.no_peers else peers.installed()
    cold = fresh_processes(min(COLD_ROUNDS, given.rounds))
    async with set_stage() as stage:
        cast = Cast(stage.folder, absent)
        others = [] if given.no_peers else peers.peers(stage, absent, "same")
        own = [] if given.no_peers else peers.peers(stage, absent, "own")
        issuer = await ours(stage)
        with cast.running([*issuer, *others], min(STARTS, given.rounds)):
            results = await cast.play(ACTIONS, given.rounds, given.seconds)
        with cast.running([*issuer[:1], *own], 1):
            results |= await cast.play([OWN_LOGIN], given.rounds, given.seconds)
    for name, reason in absent.items():
        print(f"(left out: {name}: {reason})\n")
    print(f"medians of {given.rounds} rounds of {given.seconds} s, with 1, 16 and 64 connections\n")
    for part in (*(action_table(action, results) for action in results), start_table(cast.starts)):
        print(part + "\n")
    print(cold_table(cold))
    if given.plots:
        draw(results)
    return judged(goals.goals(results, cast.starts, cold))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()  # the issuer says that it cannot send mail
    sys.exit(not uvloop.run(main()))
