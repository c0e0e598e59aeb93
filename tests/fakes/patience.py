"""How long a test waits for what must come. A busy machine is slow; what never comes fails all the same."""

from __future__ import annotations

import os

import httpx
import pytest

PATIENCE = 60.0
"""Seconds; less than a test may take, so that it says what did not come."""


def let_crowds_wait(patch: pytest.MonkeyPatch) -> None:
    """Let a crowd wait for a connection, and for one row, as long as a busy machine takes.

    Where the turn of each is not what is tested: the store refuses what waits for long behind many others.
    """
    patch.setattr("authkit_issuer.store.postgres.ACQUIRE_TIMEOUT", PATIENCE)
    patch.setattr("authkit_issuer.store.lock_waits.PATIENCE", PATIENCE)


def wait_patiently() -> None:
    """Give libraries that wait five seconds by default more time, in this process and those it starts."""
    for phase in ("connect", "read", "write", "pool"):
        setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, phase, PATIENCE)
    os.environ["AIOSMTPD_CONTROLLER_TIMEOUT"] = str(PATIENCE)
