"""The drawings of the architecture: the layers of the import contracts, and the imports between them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp

_ROOT = Path(__file__).parents[2]
_WIDTH, _ROW, _BOX, _MARGIN = 860, 74, 30, 16
_STYLE = (
    ".box{fill:#eef2ff;stroke:#4f5fa3}.line{fill:none;stroke:#7a829c;stroke-opacity:.55}text{fill:#1b1f2e}"
    "@media(prefers-color-scheme:dark){.box{fill:#27305c}text{fill:#f0f2fa}.line{stroke:#b9c0d6}}"
)
Places = dict[str, tuple[float, float, float]]
"""The middle, the top and the width of each box."""


def drawings() -> dict[str, str]:
    """Return the drawings by the names of their files."""
    settings = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    graph = grimp.build_graph("authkit_verify", "authkit_issuer", exclude_type_checking_imports=True)
    layers = {
        contract["containers"][0]: [
            [name.strip() for name in layer.replace(":", "|").split("|")] for layer in contract["layers"]
        ]
        for contract in contracts
        if contract["type"] == "layers"
    }
    names = {
        "authkit_verify": "verifier.svg",
        "authkit_issuer": "issuer.svg",
        "authkit_issuer.domains": "domains.svg",
    }
    return {names[container]: _drawing(graph, container, rows) for container, rows in layers.items()}


def _drawing(graph: grimp.ImportGraph, container: str, rows: list[list[str]]) -> str:
    places = dict(_places(rows))
    height = len(rows) * _ROW
    lines = [_line(places[above], places[below]) for above, below in _edges(graph, container, rows)]
    boxes = [_box(name, place) for name, place in places.items()]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'role="img" aria-label="The layers of {container}" '
        'font-family="system-ui, sans-serif" font-size="13">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *lines, *boxes, "</svg>\n"])


def _places(rows: list[list[str]]) -> Iterator[tuple[str, tuple[float, float, float]]]:
    for number, row in enumerate(rows):
        space = (_WIDTH - _MARGIN) / len(row)
        for column, name in enumerate(row):
            width = min(space - _MARGIN, 9 * len(name) + 28)
            yield name, (_MARGIN / 2 + space * (column + 0.5), number * _ROW + 8, width)


def _edges(graph: grimp.ImportGraph, container: str, rows: list[list[str]]) -> Iterator[tuple[str, str]]:
    """Yield the imports between boxes, without those that others of them imply."""
    order = [name for row in rows for name in row]
    modules = {
        name: {f"{container}.{name}"} | graph.find_descendants(f"{container}.{name}") for name in order
    }
    direct = {
        above: {
            below
            for below in order
            if below != above
            and any(graph.find_modules_directly_imported_by(one) & modules[below] for one in modules[above])
        }
        for above in order
    }
    reach: dict[str, set[str]] = {}
    for name in reversed(order):
        reach[name] = direct[name].union(*(reach.get(below, set()) for below in direct[name]))
    for above in order:
        implied = set().union(*(reach.get(below, set()) for below in direct[above]))
        for below in order:
            if below in direct[above] - implied:
                yield above, below


def _line(above: tuple[float, float, float], below: tuple[float, float, float]) -> str:
    x1, y1, x2, y2 = above[0], above[1] + _BOX, below[0], below[1]
    bend = (y2 - y1) / 2
    curve = f"{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
    return f'<path class="line" d="M{x1:.0f} {y1:.0f} C{curve}"/>'


def _box(name: str, place: tuple[float, float, float]) -> str:
    x, y, width = place
    return (
        f'<rect class="box" x="{x - width / 2:.0f}" y="{y:.0f}" width="{width:.0f}" height="{_BOX}" rx="6"/>'
        f'<text x="{x:.0f}" y="{y + 20:.0f}" text-anchor="middle">{name}</text>'
    )
