"""Regular expressions are ones that every supported Python matches alike."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from fakes.repository import ROOT

MISMATCHED = re.compile(r"[*+?}]\+|\(\?>")
"""Possessive quantifiers and atomic groups: Python before 3.11.5 takes less, or more, than they say."""


def patterns(path: Path) -> Iterator[str]:
    """Yield the text constants of a module with patterns that may be a part of one."""
    source = path.read_text()
    if not re.search(r"\bimport\b.*\bre\b", source):
        return
    tree = ast.parse(source)
    if not any(
        isinstance(node, ast.Import) and "re" in {one.name for one in node.names} for node in tree.body
    ):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            yield node.value


def is_mismatched(text: str) -> bool:
    if not MISMATCHED.search(text) or re.search("[a-z] [a-z]", text):  # or it is a sentence
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parsed = str(re._parser.parse(text))  # type: ignore[attr-defined]
        except re.error:
            return True  # a part of a pattern: rather too strict
    return "POSSESSIVE" in parsed or "ATOMIC" in parsed


def test_no_pattern_has_what_python_before_3_11_5_matches_wrongly() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {text}"
        for package in ("authkit_verify", "authkit_issuer")
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in patterns(path)
        if is_mismatched(text)
    ]
    assert found == []


def test_the_law_sees_them() -> None:
    assert all(map(is_mismatched, (r"a*+", r"(?:a|b)?+", r"(?>a+)", r"[^;]*+(")))
    assert not any(map(is_mismatched, (r"[*+?+]", r"a+b", r"[a-z+]+\+")))
