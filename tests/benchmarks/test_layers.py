"""``benchmarks/layers.py``: what each layer takes, and that there is something to take out."""

from __future__ import annotations

import subprocess
import sys

import layers
import pytest
from beside.cast import Turns
from beside.contenders import AUTHKIT, HASH, HELLO, JWKS, LOGIN, REFRESH, ROTATE, SELECT, WHO
from beside.without import LAYERS

from fakes.repository import ROOT


def test_every_layer_is_a_part_of_the_issuer() -> None:
    program = (
        "from beside.without import LAYERS\nfor take_out in LAYERS.values(): take_out()\nprint(len(LAYERS))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False)
    assert done.stdout == f"{len(LAYERS)}\n", done.stderr


def test_the_table_has_what_each_layer_spares_in_the_same_round() -> None:
    found = {action: Turns() for action in (WHO, REFRESH, JWKS, LOGIN)}
    for action, turns in found.items():
        floor = {WHO: SELECT, REFRESH: ROTATE, JWKS: HELLO, LOGIN: HASH}[action]
        for base in (100.0, 400.0, 200.0):
            turns.add(AUTHKIT, 1.0, base)
            turns.add(floor, 1.0, 40.0)
            turns.add(f"{AUTHKIT} without {layers.ALL}", 1.0, base - 50)
            for number, name in enumerate(LAYERS):
                turns.add(f"{AUTHKIT} without {name}", 1.0, base - number)
    table = {name: cells for name, *cells in layers.rows(found)}
    assert set(table["authkit"]) == {"200 (100 %)"}
    for number, name in enumerate(LAYERS):
        assert set(table[f"{name}, us less"]) == {f"{float(number):.2f} ({number / 200:.0%})"}
    assert set(table["what remains"]) == {"150"}
    assert set(table["the floor of the action"]) == {"40.0"}


def test_a_layer_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("authkit_issuer.server.process.AccessLog")
    with pytest.raises(AssertionError, match="AccessLog"):
        LAYERS["the line of the access log"]()
