"""The cost of authentication in an ASGI application, in process and over sockets, in alternating rounds.

    python benchmarks/asgi.py [rounds]

In process an application is called without a server. Over sockets each one runs under uvicorn with uvloop and
httptools in a process of its own, and 32 connections ask it in turns of a fifth of a second; "cpu us" is the
server's processor time per request. Every request has an RS256 token of 1083 characters, one of 64; FastAPI
and Starlette get the same tokens from PyJWT. Ratios are medians of the ratio inside each round. The exit
status is 1 when a goal is missed; requests per second beside the bare application are reported, no goal.
"""

from __future__ import annotations

import random
import statistics
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import uvloop
from beside import apps
from beside.load import answer_length, keep_apart, requests, servers, volley
from beside.rounds import Candidate, Goal, Times, alternate, judged, ratio, short, table
from beside.tokens import mint

LIVE = 64
SECONDS = 0.2
LINES = {"bare": apps.BARE, "Starlette": apps.STARLETTE, "FastAPI": apps.FASTAPI}
"""The base of a line: the application of its kind without authentication."""


def base_of(name: str) -> str:
    return next(base for kind, base in LINES.items() if name.startswith(kind))


def in_kinds(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: list(LINES.values()).index(base_of(name)))


def called(app: Any) -> Candidate:
    """Call an application with the scope a server would make."""
    headers = {
        b"host": b"127.0.0.1", b"user-agent": b"bench", b"accept": b"*/*", b"accept-language": b"en",
        b"x-request-id": b"0123456789abcdef",
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def run(items: list[Any]) -> None:
        for scope in items:
            await app(scope, receive, send)
        assert statuses == [200] * len(items)
        statuses.clear()

    def feed() -> list[Any]:
        return [
            {
                "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
                "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"",
                "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {},
                "headers": [*headers.items(), (b"authorization", b"Bearer " + token.encode())],
            }
            for token in TOKENS
        ]  # fmt: skip

    return Candidate(run, feed)


ISSUER = apps.issuer_of()
TOKENS = mint(ISSUER, LIVE)


def in_process_table(times: Times) -> str:
    rows = [
        [
            name,
            short(statistics.median(values)),
            short(statistics.median(a - b for a, b in zip(values, times[base_of(name)], strict=True))),
        ]
        for name, values in ((name, times[name]) for name in in_kinds(times))
    ]
    return table(["in process", "us", "added us"], rows)


async def over_sockets(names: list[str], rounds: int) -> tuple[Times, Times]:
    rates: Times = {name: [] for name in names}
    costs: Times = {name: [] for name in names}
    wanted = requests(TOKENS)
    with servers(names, apps.secret_of(ISSUER)) as running:
        awake = keep_apart(serving=False)
        lengths = {name: answer_length(server.port, wanted[0]) for name, server in running.items()}
        for number in range(rounds + 1):
            for name in random.sample(names, len(names)):
                rate, cpu = await volley(running[name], wanted, lengths[name], SECONDS, awake=awake)
                if number:
                    rates[name].append(rate)
                    costs[name].append(cpu)
    return rates, costs


def socket_table(rates: Times, costs: Times) -> str:
    rows = [
        [
            name,
            f"{statistics.median(values):.0f}",
            short(ratio(values, rates[base_of(name)])),
            short(statistics.median(costs[name])),
        ]
        for name, values in ((name, rates[name]) for name in in_kinds(rates))
    ]
    return table(["uvicorn, uvloop, httptools", "requests/s", "of its base", "cpu us"], rows)


def goals(times: Times, rates: Times) -> list[Goal]:
    """Return the goals, as ratios of this run."""
    added = statistics.median(a - b for a, b in zip(times[apps.OURS], times[apps.BARE], strict=True))
    found = [Goal("us added to a bare application, in process", added, most=5)]
    for peer, promise in {"PyJWT 2.15.1": 3.0, "PyJWT 2.10.1": 2.2}.items():
        other = f"Starlette + its middleware, {peer}"
        if other in rates:
            got = ratio(rates[apps.STARLETTE_OURS], rates[other])
            found.append(Goal(f"{apps.STARLETTE_OURS}, requests/s x {other}", got, least=promise))
    other = next(name for name in rates if name.startswith("FastAPI + PyJWT"))
    got = ratio(rates[apps.FASTAPI_OURS], rates[other])
    found.append(Goal(f"{apps.FASTAPI_OURS}, requests/s x {other}", got, least=2.2))
    return found


async def main() -> bool:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 31
    makers = apps.applications(ISSUER)
    times = await alternate({name: called(make()) for name, make in makers.items()}, rounds)
    print(f"RS256, {len(TOKENS[0])} characters, {LIVE} live tokens, medians of {rounds} rounds\n")
    print(in_process_table(times))
    rates, costs = await over_sockets(list(makers), rounds)
    print("\n" + socket_table(rates, costs))
    await ISSUER.client.aclose()
    return judged(goals(times, rates))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(not uvloop.run(main()))
