"""``authkit calibrate`` measures this machine and prints settings that work."""

from __future__ import annotations

from authkit_issuer.config import Config
from fakes.commands import assert_one_line, run


def test_the_proposed_settings_can_be_used() -> None:
    done = run("calibrate", "--target-ms", "1", "--memory-mib", "64")
    assert done.returncode == 0, done.stderr
    *settings, note = done.stdout.splitlines()
    config = Config.from_env(
        dict(line.split("=", 1) for line in settings), issuer="https://i.example", issued_audiences=("api",)
    )
    assert (config.argon2_memory_kib, config.argon2_time, config.hash_memory_mib) == (19_456, 2, 64)
    assert "logins a second" in note


def test_an_impossible_target_is_one_plain_line() -> None:
    assert_one_line(run("calibrate", "--target-ms", "0"), "target-ms", status=2)
