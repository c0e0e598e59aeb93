"""How often a test repeats something: in full in a soak (``SOAK=1``), otherwise a tenth of it."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SOAK = os.environ.get("SOAK", "") not in {"", "0"}


def rounds(full: int) -> int:
    """Return how often to repeat what a soak repeats so often."""
    return full if SOAK else max(1, full // 10)


def generate_inputs() -> None:
    """Set how Hypothesis works: the same inputs in each run, and others in each soak.

    It measures no times: on a busy machine they say nothing about the code.
    """
    settings.register_profile(
        "authkit",
        max_examples=rounds(1000),
        derandomize=not SOAK,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("authkit")
