"""The page of metrics: every measurement of the issuer, and every line of its log."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from authkit_issuer.telemetry.measurements import MEASUREMENTS, Measurement

_ISSUER = Path(__file__).parents[2] / "authkit_issuer"
_LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error, with a traceback"}
_FIELD = re.compile(r"%[\d.]*[sdgro]")


def metrics() -> str:
    """Return the table of measurements, by the names under which Prometheus sees them."""
    rows = [
        f"| `{_exposed(entry)}` | {_labels(entry)} | {entry.help.replace('``', '`')} |"
        for entry in MEASUREMENTS
    ]
    return "\n".join(["| Metric | Labels | Meaning |", "|---|---|---|", *rows])


def log_lines() -> str:
    """Return the table of lines that the program logs, by logger."""
    found = sorted({line for path in _ISSUER.rglob("*.py") for line in _of(path)})
    rows = [f"| `{logger}` | {level} | {text} |" for logger, level, text in found]
    return "\n".join(["| Logger | Level | Line |", "|---|---|---|", *rows])


def _exposed(entry: Measurement) -> str:
    return f"{entry.name}_total" if entry.kind == "counter" else entry.name


def _labels(entry: Measurement) -> str:
    return ", ".join(f"`{label}`" for label in entry.labels)


def _of(path: Path) -> Iterator[tuple[str, str, str]]:
    tree = ast.parse(path.read_text("utf-8"))
    loggers = dict(_loggers(tree))
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        owner, level, text = node.func.value, node.func.attr, node.args[0]
        if level == "makeRecord":  # name, level, file, line, text
            level, text = ast.unparse(node.args[1]).removeprefix("logging.").lower(), node.args[4]
        known = isinstance(owner, ast.Name) and level in _LEVELS and owner.id in loggers
        if known and isinstance(owner, ast.Name) and isinstance(text, ast.Constant):
            words = _FIELD.sub("…", str(text.value)).replace("%%", "%").replace("|", "\\|")
            yield loggers[owner.id], _LEVELS[level], " ".join(words.split())


def _loggers(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of a module that are loggers, with the names of these."""
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func) == "logging.getLogger"
            and isinstance(node.value.args[0], ast.Constant)
        ):
            yield node.targets[0].id, str(node.value.args[0].value)


REGIONS: dict[str, Callable[[], str]] = {"metrics": metrics, "log lines": log_lines}
