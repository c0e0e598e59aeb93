"""The goals of the issuer, as ratios of one run; those that are not gated are open until they are met."""

from __future__ import annotations

import statistics

from beside import contenders as own
from beside import peers
from beside.cast import Results, Start
from beside.rounds import Goal, Times, ratio


def goals(results: Results, starts: dict[str, Start], cold: Times) -> list[Goal]:
    """Return the goals whose candidates took part."""
    return [*_floors(results), *_peers(results), *_login(results), *_processes(starts, cold)]


_FLOORS = (
    (own.JWKS, own.HELLO, (3.0, 2.0)),
    (own.WHO, own.SELECT, (3.0, 1.8)),
    (own.REFRESH, own.ROTATE, (2.5, 1.5)),
)
"""Action, its floor, at most how often its processor time with 16 connections: a first step, the goal."""
_PEERS = (
    (own.WHO, own.AUTHKIT, peers.FASTAPI_JWT, 8.0, False),
    (own.WHO, own.AUTHKIT, peers.FASTAPI_DB, 8.0, False),
    (own.WHO, own.AUTHKIT, peers.BETTER, 10.0, False),
    (own.PROTECTED, own.VERIFIER, peers.FASTAPI_JWT, 6.0, True),
    (own.PROTECTED, own.VERIFIER, peers.FASTAPI_JWT, 15.0, False),
    (own.PROTECTED, own.VERIFIER, peers.FASTAPI_DB, 6.0, True),
    (own.PROTECTED, own.VERIFIER, peers.BETTER, 6.0, True),
    (own.LOGIN, own.AUTHKIT, peers.BETTER, 1.3, False),
)
"""Action, ours, the peer, at least how many times our processor time with 16 connections, gated."""


def _open(what: str, got: float, most: float) -> Goal:
    return Goal(what, got, most=most, gated=False)


def _floors(results: Results) -> list[Goal]:
    refresh = results[own.REFRESH]
    shared = ratio(refresh[64].costs[own.AUTHKIT], refresh[16].costs[own.ROTATE])
    return [
        *(
            _open(f"{action}, CPU / {floor}", results[action][16].cheaper(floor, own.AUTHKIT), most)
            for action, floor, steps in _FLOORS
            for most in steps
        ),
        _open("refresh with 64 connections, CPU / its floor with 16", shared, 0.9),
        _open(
            "refresh with 1 connection, latency / its floor", refresh[1].faster(own.ROTATE, own.AUTHKIT), 1.3
        ),
    ]


def _peers(results: Results) -> list[Goal]:
    return [
        Goal(f"{action}, CPU of {peer} / ours", turns.cheaper(ours, peer), least=least, gated=gated)
        for action, ours, peer, least, gated in _PEERS
        if peer in (turns := results[action][16]).costs
    ]


def _login(results: Results) -> list[Goal]:
    turns = results[own.LOGIN][1]
    beyond = [a - b for a, b in zip(turns.costs[own.AUTHKIT], turns.costs[own.HASH], strict=True)]
    return [
        _open("login, CPU / one hash of the same library", turns.cheaper(own.HASH, own.AUTHKIT), 1.15),
        _open("login, CPU us beyond the hash", statistics.median(beyond), 800),
    ]


def _processes(starts: dict[str, Start], cold: Times) -> list[Goal]:
    imported = ratio(cold["import Verifier"], cold["import jwt"])
    helped = ratio(cold["authkit --help"], cold["uvicorn --help"])
    first = statistics.median(starts[own.AUTHKIT].seconds)
    return [
        _open("from authkit_verify import Verifier, CPU / import jwt", imported, 1),
        _open("authkit --help, CPU / uvicorn --help", helped, 1.6),
        _open("seconds from the start of the issuer to its first answer", first, 0.4),
    ]
