"""Parameters for a machine: the floor holds, memory comes before passes, the budget is kept."""

from __future__ import annotations

import pytest

from authkit_issuer.cli.calibrating import report
from authkit_issuer.security.calibration import FLOOR_MEMORY_KIB, FLOOR_PASSES, propose


def machine(kib_passes_per_second: float):
    return lambda memory_kib, passes: memory_kib * passes / kib_passes_per_second


def test_a_slow_machine_keeps_the_floor() -> None:
    found = propose(machine(100_000), target=0.05, threads=1, memory_mib=256)
    assert (found.memory_kib, found.passes) == (FLOOR_MEMORY_KIB, FLOOR_PASSES)
    assert found.seconds > 0.05


def test_memory_comes_first_then_passes() -> None:
    assert propose(machine(2_000_000), target=0.05, threads=1, memory_mib=256).memory_kib == 47_104
    fast = propose(machine(10_000_000), target=0.05, threads=1, memory_mib=256)
    assert (fast.memory_kib, fast.passes) == (65_536, 7)
    assert fast.seconds <= 0.05


def test_the_memory_of_all_threads_together_fits_the_budget() -> None:
    found = propose(machine(10_000_000), target=0.05, threads=8, memory_mib=256)
    assert found.threads * found.memory_kib <= 256 * 1024
    tight = propose(machine(10_000_000), target=0.05, threads=8, memory_mib=40)
    assert (tight.memory_kib, tight.threads) == (FLOOR_MEMORY_KIB, 2)


@pytest.mark.parametrize("speed", [1e5, 1e6, 1e7, 1e9])
def test_what_is_proposed_can_be_configured(speed: float) -> None:
    from authkit_issuer.config import Config

    found = propose(machine(speed), target=0.05, threads=4, memory_mib=256)
    env = dict(line.split("=", 1) for line in report(found, 256) if not line.startswith("#"))
    config = Config.from_env(env, issuer="https://i.example", issued_audiences=("api",))
    assert (config.argon2_memory_kib, config.hash_threads) == (found.memory_kib, found.threads)
