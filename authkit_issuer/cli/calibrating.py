"""``authkit calibrate``: Argon2id parameters for this machine."""

from __future__ import annotations

import statistics
import time
from typing import Annotated

import typer

from authkit_issuer.cli import output
from authkit_issuer.cli.output import AsJson
from authkit_issuer.security.calibration import Proposal, propose
from authkit_issuer.security.hashing import Cost, default_threads, usable_cores
from authkit_issuer.security.stored_hashes import spend

ROUNDS = 5
MEMORY_MIB = 256


def calibrate(
    *,
    target_ms: Annotated[
        int, typer.Option("--target-ms", min=1, max=5000, help="Time to hash one password, in ms.")
    ] = 50,
    memory_mib: Annotated[
        int, typer.Option("--memory-mib", min=20, help="Memory for all hashes at once, in MiB.")
    ] = MEMORY_MIB,
    as_json: AsJson = False,
) -> None:
    """Measure this machine and propose settings for password hashing."""
    threads = default_threads(usable_cores())
    proposal = propose(measure, target=target_ms / 1000, threads=threads, memory_mib=memory_mib)
    lines = report(proposal, memory_mib)
    settings = dict(line.split("=") for line in lines[:-1])
    facts = {"seconds": proposal.seconds, "logins_per_second": proposal.per_second}
    output.say({"settings": settings, **facts}, "\n".join(lines), as_json=as_json)


def report(proposal: Proposal, memory_mib: int) -> list[str]:
    """Return the settings, then their effect."""
    return [
        f"AUTHKIT_ARGON2_MEMORY_KIB={proposal.memory_kib}",
        f"AUTHKIT_ARGON2_TIME={proposal.passes}",
        f"AUTHKIT_HASH_THREADS={proposal.threads}",
        f"AUTHKIT_HASH_MEMORY_MIB={memory_mib}",
        f"# {proposal.seconds * 1000:.0f} ms a hash, at most {proposal.per_second:.0f} logins a second",
    ]


def measure(memory_kib: int, passes: int) -> float:
    """Return the median seconds of one hash on an idle core."""
    cost = Cost(algo="argon2id", memory_kib=memory_kib, passes=passes)
    return statistics.median(_once(cost) for _ in range(ROUNDS))


def _once(cost: Cost) -> float:
    started = time.perf_counter()
    spend(cost, "calibrate")
    return time.perf_counter() - started
