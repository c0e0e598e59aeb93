"""The served document is what the service does: schemathesis asks every operation, in both directions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.contract import CLIENT
from fakes.deployment import deployed

SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
HOOKS = Path(__file__).parents[1] / "fakes" / "contract.py"

# Parameters that mean nothing here are ignored, as they are by every web server.
SETTINGS = """
[generation]
allow-extra-parameters = false
"""

# An external login at a port without a listener.
UNREACHABLE = {"client_id": "c", "issuer": "http://127.0.0.1:1", "allow_http_loopback": True}

pytestmark = pytest.mark.timeout(900)


def test_schemathesis_finds_nothing(tmp_path: Path, database_url: str, redis_url: str, rounds) -> None:
    settings = {
        "AUTHKIT_ORG_MODE": "multi",
        "AUTHKIT_INTROSPECTION_CLIENTS": json.dumps(dict([CLIENT])),
        "AUTHKIT_SESSION_MAX_PER_USER": "none",
        "AUTHKIT_SOLANA_DOMAINS": "app.example",
        "AUTHKIT_WEBAUTHN_RP_ID": "app.example",
        "AUTHKIT_WEBAUTHN_RELATED_ORIGINS": "https://app.example.org",
        "AUTHKIT_BASE_URL": "https://id.example.test",
        "AUTHKIT_PROVIDERS": json.dumps({"discord": {"client_id": "d"}, "loop": UNREACHABLE}),
    }
    with deployed(tmp_path, "redis", database_url, redis_url, count=1, **settings) as issuer:
        issuer.join("root_r")
        disposable = [issuer.join(f"spare_{number}").name for number in range(8)]
        issuer.command("users", "grant-role", "root_r@example.test", "admin")
        (server,) = issuer.servers
        (tmp_path / "settings.toml").write_text(SETTINGS)
        environment = os.environ | {
            "SCHEMATHESIS_HOOKS": str(HOOKS),
            "CONTRACT_URL": server.url,
            "CONTRACT_DISPOSABLE": ",".join(disposable),
        }
        done = subprocess.run(
            [
                SCHEMATHESIS, "--config-file", "settings.toml", "run", f"{server.url}/openapi.json",
                "--checks", "all",
                # A wrong code, a short password or a taken name fits every schema and is refused anyway.
                "--exclude-checks", "positive_data_acceptance",
                "--max-examples", str(rounds(100)), "--seed", "1", "--generation-database", "none",
                "--continue-on-failure", "--no-color",
            ],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5000:]
