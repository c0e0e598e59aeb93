"""Run the few tests that failed once more, each without others beside it, and name those that then pass.

A test that waits for a killed server can fail where the machine stops for seconds. `make test` decides with a
second try and says so. A soak has none: there, a test that fails once has failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FEW = 3
"""More failures than this have a cause in the code."""
FAILED = Path(".pytest_cache/v/cache/lastfailed")
TESTS_FAILED = 1
"""The exit code of pytest for failed tests; others are an interruption or a fault in how it was called."""


def main(code: int) -> int:
    """Return the exit code of the second try, or that of the first where there is none."""
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if code != TESTS_FAILED or not 0 < len(failed) <= FEW:
        return code
    print(f"A second try, alone, for {len(failed)}:", *failed, sep="\n  ", flush=True)
    again = [sys.executable, "-m", "pytest", "--last-failed", "--last-failed-no-failures=none"]
    second = subprocess.run(again, check=False)
    if second.returncode == 0:
        print("UNSTEADY: failed beside the other tests, passed alone:", *failed, sep="\n  ", flush=True)
    return second.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
