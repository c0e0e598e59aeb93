"""The files of ``deploy/``: their settings exist, and each tool that is installed accepts its file."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml
from cryptography import x509

from authkit_issuer.cli import app as command
from authkit_issuer.cli.serving import serve
from authkit_issuer.config import Config
from authkit_issuer.config.checks import warnings
from authkit_issuer.errors import ConfigError
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.senders.smtp import Server
from authkit_issuer.server.options import GRACEFUL, KEEP_ALIVE
from fakes import judges
from fakes.certificates import private_ca
from fakes.ports import free_port
from fakes.repository import ROOT

DEPLOY = ROOT / "deploy"
ALIASES = {"AUTHKIT_AUDIENCES"}
OF_THE_FILES = {"AUTHKIT_UPSTREAM"}
"""Names that a file of ours reads itself."""
SETTINGS = {f"AUTHKIT_{entry.name.upper()}" for entry in dataclasses.fields(Config)} | ALIASES | OF_THE_FILES


PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
"""Debian has nginx in a folder that is in the path of root alone."""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program, path=PATH) is None, reason=f"{program} is not installed")


def run(*words: str, **options: Any) -> str:
    done = subprocess.run(
        [shutil.which(words[0], path=PATH) or words[0], *words[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def env_file() -> dict[str, str]:
    lines = (DEPLOY / "authkit.env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes/authkit.yaml").read_text()))


def manifest(kind: str) -> dict[str, Any]:
    (found,) = [one for one in manifests() if one["kind"] == kind]
    return found


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_every_setting_that_a_file_names_exists() -> None:
    named = {
        (path.name, name)
        for path in [*DEPLOY.rglob("*"), ROOT / "docs/guides/deploy.md"]
        if path.is_file()
        for name in re.findall(r"\bAUTHKIT_[A-Z_0-9]+\b", path.read_text())
    }
    assert {(path, name) for path, name in named if name not in SETTINGS} == set()
    assert len({name for _, name in named}) > 8


def test_the_settings_of_each_file_are_a_configuration_for_production() -> None:
    of_kubernetes = manifest("ConfigMap")["data"] | manifest("Secret")["stringData"]
    for settings in (env_file(), of_kubernetes):
        config = Config.from_env(settings)
        assert config.is_production
        assert config.keys_dir == "/etc/authkit/keys"
        assert config.redis_url
        assert config.smtp_url
        assert config.trusted_proxies


def test_the_settings_for_mailpit_send_mails_to_its_container() -> None:
    lines = (DEPLOY / "authkit.env.example").read_text().splitlines()
    instead = dict(re.findall(r"(?m)^# (AUTHKIT_\w+)=(.*)$", "\n".join(lines)))
    assert set(instead) == {"AUTHKIT_SMTP_URL", "AUTHKIT_SMTP_ALLOW_PLAIN"}
    config = Config.from_env(env_file() | instead)
    url = config.smtp_url
    assert url is not None
    assert Server.parse(url, allow_plain=config.smtp_allow_plain).host in compose()["services"]
    assert any("no TLS" in text for text in warnings(config, sends_mail=True))
    with pytest.raises(ConfigError, match="smtp_allow_plain"):
        Server.parse(url)


def test_compose_waits_for_the_database_that_takes_connections() -> None:
    words = compose()["services"]["postgres"]["healthcheck"]["test"]
    assert words[words.index("-h") + 1] == "127.0.0.1"


def test_processes_get_the_time_that_a_clean_stop_takes() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    before = float(container["args"][container["args"].index("--drain-delay") + 1])
    assert pod["terminationGracePeriodSeconds"] > before + 2 * GRACEFUL
    assert int(compose()["services"]["authkit"]["stop_grace_period"].rstrip("s")) > GRACEFUL
    unit = (DEPLOY / "systemd/authkit.service").read_text()
    assert int(re.findall(r"(?m)^TimeoutStopSec=(\d+)", unit)[0]) > GRACEFUL


def test_the_probes_ask_for_paths_that_exist() -> None:
    paths = {operation.path for operation in OPERATIONS}
    (container,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    probes = {container[name]["httpGet"]["path"] for name in ("readinessProbe", "livenessProbe")}
    elsewhere = "".join((DEPLOY / name).read_text() for name in ("Containerfile", "Caddyfile", "nginx.conf"))
    assert probes | set(re.findall(r"/(?:healthz|readyz)\b", elsewhere)) <= paths


def test_the_containers_run_commands_that_exist() -> None:
    from typer.main import get_command

    commands = get_command(command).commands  # type: ignore[attr-defined]
    text = (DEPLOY / "Containerfile").read_text()
    serve = json.loads(re.findall(r"(?m)^CMD (\[.*\])$", text)[0])
    services = compose()["services"]
    jobs = manifest("Job")["spec"]["template"]["spec"]["containers"]
    pods = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    for words in (serve, services["migrate"]["command"], jobs[0]["args"], pods[0]["args"]):
        options = {option for parameter in commands[words[0]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
    assert set(re.findall(r"authkit (\w+) (\w+)", services["keys"]["command"][0])) == {("keys", "generate")}


def test_redis_keeps_what_it_holds() -> None:
    words = compose()["services"]["redis"]["command"]
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert words[words.index("--appendonly") + 1] == "yes"


def test_a_build_copies_what_the_package_needs_and_no_secret() -> None:
    kept = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    assert kept[0] == "*"
    names = [line[1:] for line in kept if line.startswith("!")]
    assert all((ROOT / name).exists() for name in names)
    of_the_build = {"hatch_build.py", "pyproject.toml", "README.md", "LICENSE"}
    assert {"authkit_issuer", "authkit_verify"} | of_the_build == set(names)


def test_the_manifests_are_what_kubernetes_reads() -> None:
    judges.need("kubernetes-validate")
    program = (
        "import sys, yaml, kubernetes_validate as judge\n"
        "for one in yaml.safe_load_all(open(sys.argv[1])):\n"
        "    judge.validate(one, judge.latest_version(), strict=True)\n"
    )
    run(str(judges.FOLDER / "bin/python"), "-c", program, str(DEPLOY / "kubernetes/authkit.yaml"))


@needs("systemd-analyze")
def test_systemd_accepts_the_unit_and_finds_it_confined(tmp_path: Path) -> None:
    unit = tmp_path / "authkit.service"
    program = shutil.which("true") or "/bin/true"
    text = (DEPLOY / "systemd/authkit.service").read_text()
    unit.write_text(text.replace("/srv/authkit/bin/authkit", program))
    assert "authkit.service" not in run("systemd-analyze", "verify", "--man=no", str(unit))
    run("systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", str(unit))


@needs("caddy")
def test_caddy_accepts_its_file(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    file = str(DEPLOY / "Caddyfile")
    run("caddy", "validate", "--adapter", "caddyfile", "--config", file, env=env)
    adapted = run("caddy", "adapt", "--adapter", "caddyfile", "--config", file, env=env)
    assert "127.0.0.1:8000" in adapted
    assert '"match":[{"path":["/healthz","/readyz"]}]' in adapted
    assert '"request":{"delete":["Upgrade"]}' in adapted


@needs("nginx")
def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    run("nginx", "-t", "-c", str(nginx_configuration(tmp_path, 8443, 8080, 8000)), "-p", str(tmp_path))


@needs("nginx")
def test_nginx_passes_on_its_own_word_about_the_caller_and_no_probe(tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as upstream:
        Thread(target=upstream.serve_forever, daemon=True).start()
        https, http = free_port(), free_port()
        configuration = nginx_configuration(tmp_path, https, http, upstream.server_port)
        with subprocess.Popen(
            [str(shutil.which("nginx", path=PATH)), "-c", str(configuration), "-p", str(tmp_path)]
        ) as nginx:
            try:
                transport = httpx.HTTPTransport(verify=False, retries=8)  # nginx needs a moment
                headers = {"Host": "auth.example.com", "X-Forwarded-For": "203.0.113.9"}
                with httpx.Client(transport=transport, headers=headers) as client:
                    at = f"https://127.0.0.1:{https}"
                    assert client.get(f"{at}/auth/capabilities").status_code == 200
                    assert client.get(f"{at}/readyz").status_code == 404
                    moved = client.get(f"http://127.0.0.1:{http}/docs?a=1")
            finally:
                nginx.terminate()
        upstream.shutdown()
    assert [one["x-forwarded-for"] for one in seen] == ["127.0.0.1"]
    assert (seen[0]["host"], seen[0]["x-forwarded-proto"]) == ("auth.example.com", "https")
    assert (moved.status_code, moved.headers["location"]) == (301, "https://auth.example.com/docs?a=1")


def nginx_configuration(folder: Path, https: int, http: int, upstream: int) -> Path:
    """Return a whole configuration around our block, with a certificate and free ports."""
    private_ca(folder / "fullchain.pem", x509.DNSName("auth.example.com"))
    shutil.copy(folder / "fullchain.pem", folder / "privkey.pem")
    block = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("/etc/ssl/authkit/", f"{folder}/"),
        ("listen 443", f"listen 127.0.0.1:{https}"),
        ("listen 80;", f"listen 127.0.0.1:{http};"),
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
    ):
        assert old in block
        block = block.replace(old, new)
    block = re.sub(r"(?m)^ *listen \[::\].*$", "", block)
    places = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = folder / "nginx.conf"
    whole.write_text(
        f"pid {folder}/pid; error_log stderr; worker_processes 1; daemon off;\n"
        f"events {{}}\nhttp {{ access_log off; {places}\n{block}\n}}\n"
    )
    return whole


def test_the_command_has_the_defaults_of_the_server() -> None:
    options = inspect.signature(serve).parameters
    assert (options["graceful"].default, options["keep_alive"].default) == (GRACEFUL, KEEP_ALIVE)
