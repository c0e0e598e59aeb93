"""Damage to tokens, at random."""

from __future__ import annotations

import random

SPICE = [
    b"",
    b".",
    b"=",
    b"\0",
    b"+",
    b"/",
    b"e30",
    b"bnVsbA",
    b"A" * 50,
    b"\n",
    b" ",
    b"eyJhbGciOiJub25lIn0",
]


def mutate(token: bytes, dice: random.Random) -> bytes:
    """Return the token with one to three places of it changed."""
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(token) + 1)
        kind = dice.randrange(5)
        if kind == 0:
            token = token[:at] + bytes([dice.randrange(128)]) + token[at + 1 :]
        elif kind == 1:
            token = token[:at] + dice.choice(SPICE) + token[at:]
        elif kind == 2:
            token = token[:at] + token[at + dice.randint(1, 9) :]
        elif kind == 3:
            segments = token.split(b".")
            dice.shuffle(segments)
            token = b".".join(segments)
        else:
            end = min(len(token), at + dice.randint(1, 40))
            token = token[:at] + token[at:end] + token[at:]
        token = token or b"."
    return token
