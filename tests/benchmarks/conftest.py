"""The benchmarks are scripts that import each other from their own folder."""

from __future__ import annotations

import sys

from fakes.repository import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
