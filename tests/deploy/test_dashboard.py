"""The dashboard of ``deploy/grafana``: expressions read what exists, and leave no metric out."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from authkit_issuer.telemetry.measurements import MEASUREMENTS, Measurement
from fakes.repository import ROOT

DASHBOARD = json.loads((ROOT / "deploy/grafana/authkit.json").read_text())
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
EXPOSED = {
    measurement.name + suffix: measurement
    for measurement in MEASUREMENTS
    for suffix in SUFFIXES[measurement.kind]
}
SCRAPED = {"job", "le"}
"""Labels that Prometheus adds, and that of a bucket."""


def targets() -> list[dict[str, Any]]:
    return [target for panel in DASHBOARD["panels"] for target in panel["targets"]]


def read(expression: str) -> list[Measurement]:
    return [EXPOSED[name] for name in re.findall(r"\bauthkit_\w+", expression)]


@pytest.mark.parametrize("target", targets(), ids=lambda target: target["expr"][:60])
def test_an_expression_reads_metrics_and_labels_that_exist(target: dict[str, str]) -> None:
    expression = target["expr"]
    assert all(expression.count(one) == expression.count(other) for one, other in ("()", "[]", "{}"))
    known = {label for measurement in read(expression) for label in measurement.labels} | SCRAPED
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    used = {label.strip() for group in grouped for label in group.split(",")}
    used |= set(re.findall(r"(\w+)(?:=~|!=|=)\"", expression))
    used |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert used <= known


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {measurement.name for target in targets() for measurement in read(target["expr"])}
    assert shown == {measurement.name for measurement in MEASUREMENTS}


def test_every_panel_has_a_place_of_its_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
