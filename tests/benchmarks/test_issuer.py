"""``benchmarks/issuer.py``: one run, its goals, its charts, and the pins of its peers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from beside import contenders as own
from beside import peers
from beside.cast import Turns
from beside.plots import bars
from beside.rounds import Goal, judged

from fakes.repository import ROOT

PINS = ROOT / "benchmarks" / "peers"


@pytest.mark.network
@pytest.mark.timeout(400)
def test_a_run_without_peers_prints_every_action_beside_its_floor() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/issuer.py"), "1", "--seconds", "0.01", "--no-peers"]
    few = os.environ | {"BENCHMARK_CALLERS": "2"}
    done = subprocess.run(command, env=few, capture_output=True, text=True, timeout=390, check=False)
    assert done.returncode == 0, done.stderr  # no goal beside the floors is gated yet
    firsts = re.findall(r"^\| ([\w :,-]+?) +\| [\d.]+ +\|", done.stdout, re.MULTILINE)
    for name in (own.HELLO, own.SELECT, own.ROTATE, own.HASH, own.VERIFIER):
        assert name in firsts
    assert firsts.count(own.AUTHKIT) == 6  # four actions, its own row of the default hashes, the starts
    assert "refresh with 1 connection, latency / its floor" in done.stdout


def test_a_missed_goal_ends_the_run_with_failure_only_if_it_is_gated() -> None:
    assert judged([Goal("far away", 9.0, most=2.0, gated=False), Goal("met", 1.0, most=2.0)])
    assert not judged([Goal("lost", 9.0, most=2.0)])
    assert Goal("far away", 9.0, most=2.0, gated=False).row()[-1] == "open"


def test_ratios_are_medians_of_the_rounds_and_not_ratios_of_medians() -> None:
    turns = Turns()
    for ours, theirs in ((1.0, 2.0), (10.0, 20.0), (100.0, 150.0)):
        turns.add("ours", 1 / ours, ours)
        turns.add("theirs", 1 / theirs, theirs)
    assert turns.cheaper("ours", "theirs") == pytest.approx(2.0)
    assert turns.faster("ours", "theirs") == pytest.approx(2.0)
    turns.keep(["ours"])
    assert list(turns.costs) == list(turns.rates) == ["ours"]


def test_the_bars_of_a_chart_are_as_long_as_their_numbers() -> None:
    chart = ET.fromstring(
        bars("a < b", "us", ["1", "16"], {"authkit": [100, 50], "other & co": [200, 0]}, "authkit")
    )
    rects = chart.findall("{*}rect")
    first, second, third, none = (float(rect.get("width") or 0) for rect in rects)
    assert first / second == pytest.approx(2, rel=0.01)
    assert third / first == pytest.approx(2, rel=0.01)
    assert none >= 1
    assert rects[0].get("fill") != rects[2].get("fill")
    texts = [text.text for text in chart.findall("{*}text")]
    assert {"a < b", "other & co", "us: 1, 16", "100"} <= set(texts)


def test_the_peers_of_python_are_pinned_to_exact_versions() -> None:
    lines = (PINS / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert {"fastapi-users", "django-allauth", "gunicorn"} <= {line.partition("==")[0] for line in lines}


def test_the_peers_of_node_are_locked_without_an_address() -> None:
    lock = json.loads((PINS / "package-lock.json").read_text())
    wanted = json.loads((PINS / "package.json").read_text())["dependencies"]
    assert lock["packages"][""]["dependencies"] == wanted
    assert all(re.fullmatch(r"[\d.]+", version) for version in wanted.values())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())


def test_a_peer_that_cannot_be_installed_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(peers, "NODE", tmp_path / "node")
    monkeypatch.setattr(peers, "PYTHON", tmp_path / "python")
    monkeypatch.setattr(peers, "_PINS", tmp_path)
    assert set(peers.installed()) == {"Python", "node"}
    stage = type("Stage", (), {"sockets": "", "dsn": ""})
    assert peers.peers(stage, {"Python": "", "node": ""}, "same") == []
