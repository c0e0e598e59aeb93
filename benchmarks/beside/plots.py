"""Bar charts in SVG that read well on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_WIDTH, _LABEL, _BAR, _GAP, _TOP = 760, 240, 13, 14, 56
_ROOM = _WIDTH - _LABEL - 90
"""The width of the longest bar; its number is written behind it."""
_COLOURS = ("#7aa2d6", "#3f74b5", "#1f4c86")
_OURS = ("#e2a25c", "#d07f2b", "#a85d10")
_TEXT = 'font-family="sans-serif" font-size="12" fill="#808080"'


def bars(title: str, unit: str, series: Sequence[str], rows: Mapping[str, Sequence[float]], ours: str) -> str:
    """Return a chart with one group of bars for each row; those whose name begins with ``ours`` stand out.

    Args:
        title: The line above the chart.
        unit: What the numbers are.
        series: The names of the bars of a group.
        rows: The numbers of each group, one for each series.
        ours: The beginning of the names that stand out.
    """
    longest = max((value for values in rows.values() for value in values), default=0.0) or 1.0
    height = _TOP + sum(len(values) * _BAR + _GAP for values in rows.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text x="8" y="20" {_TEXT} font-weight="bold">{escape(title)}</text>',
        f'<text x="8" y="38" {_TEXT}>{escape(unit)}: {escape(", ".join(series))}</text>',
    ]
    y = _TOP
    for name, values in rows.items():
        colours = _OURS if name.startswith(ours) else _COLOURS
        parts.append(_text(_LABEL - 8, y + len(values) * _BAR / 2 + 4, name, ' text-anchor="end"'))
        for value, colour in zip(values, colours, strict=False):
            width = max(1.0, value / longest * _ROOM)
            parts.append(
                f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{colour}"/>'
            )
            parts.append(_text(_LABEL + width + 6, y + _BAR - 3, f"{value:,.0f}"))
            y += _BAR
        y += _GAP
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {_TEXT}{more}>{escape(text)}</text>'
