"""uvicorn's server without its signal handlers."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import uvicorn


class QuietServer(uvicorn.Server):
    """Leaves the signals to ``Signals``: uvicorn would raise them again after the shutdown."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield
