"""``PYTHONPATH=docs python -m generate`` writes the generated parts of the documentation."""

from __future__ import annotations

from generate import outputs

for path, text in outputs().items():
    path.write_text(text, "utf-8")
