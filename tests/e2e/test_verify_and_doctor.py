"""``authkit verify`` and ``authkit doctor`` as an operator runs them, against an issuer on a socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest

from authkit_verify.testing import FakeIssuer
from fakes.commands import assert_one_line, run

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def served() -> Iterator[FakeIssuer]:
    """An issuer of EdDSA tokens whose key set is on a loopback port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/.well-known/jwks.json"
            self.send_response(200 if found else 404)
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(issuer.document() if found else b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = httpx.Request(
                "POST", issuer.issuer + self.path, headers=dict(self.headers), content=body
            )
            answer = issuer.endpoint.respond(request)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    issuer = FakeIssuer(f"http://127.0.0.1:{server.server_port}", algorithm="EdDSA")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield issuer
    server.shutdown()
    thread.join()
    server.server_close()


def run_patiently(*arguments: str, typed: str = "") -> CompletedProcess[str]:
    """Run a command, once more where the keys did not come in the five seconds that it waits for them.

    A busy machine may take as long.
    """
    done = run(*arguments, typed=typed)
    return run(*arguments, typed=typed) if "keys_unavailable" in done.stderr else done


def verify(issuer: FakeIssuer, token: str, *more: str, typed: str = "") -> tuple[int, str]:
    """Run ``authkit verify``; nothing of the token may be in what it says."""
    done = run_patiently("verify", token, "--issuer", issuer.issuer, "--audience", "api", *more, typed=typed)
    said = done.stdout + done.stderr
    for segment in (typed or token).strip().split("."):
        assert len(segment) < 8 or segment not in said
    assert "Traceback" not in said
    return done.returncode, said


def test_an_accepted_token_is_explained_with_status_0(served: FakeIssuer) -> None:
    status, said = verify(served, served.mint(), "--explain")
    assert status == 0
    assert said.startswith("accepted\n")
    assert "signature" in said
    status, said = verify(served, "-", "--explain", "--json", typed=served.mint() + "\n")
    assert (status, json.loads(said)["accepted"]) == (0, True)


def test_a_refused_token_is_explained_with_status_1(served: FakeIssuer) -> None:
    token = served.mint(aud="web", lifetime=-400, email="ada@mail.test")
    status, said = verify(served, token, "--explain")
    assert (status, said.splitlines()[0]) == (1, "refused: token_expired")
    assert "IssuerAccept(issuer=" in said
    assert "ada@mail.test" not in said
    status, said = verify(served, token, "--explain", "--json")
    codes = [check["code"] for check in json.loads(said)["checks"] if check["code"]]
    assert (status, codes) == (1, ["token_expired", "bad_audience"])
    assert "refused: invalid_token" in verify(served, "no.such.token", "--explain")[1]


def test_a_token_is_verified_without_a_network_by_a_public_key(served: FakeIssuer, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(served.key.pem())
    elsewhere = FakeIssuer("https://issuer.test", algorithm="EdDSA")
    token = elsewhere.mint(key=served.key)
    assert verify(elsewhere, token, "--pem", str(key))[0] == 0
    assert verify(elsewhere, token, "--pem", str(key), "--explain")[0] == 0
    assert verify(elsewhere, elsewhere.mint(), "--pem", str(key), "--explain")[0] == 1


def test_an_algorithm_that_is_not_named_is_refused(served: FakeIssuer) -> None:
    status, said = verify(served, served.mint(), "--algorithm", "RS256", "--explain")
    assert (status, said.splitlines()[0]) == (1, "refused: disallowed_alg")
    assert verify(served, served.mint(), "--algorithm", "EdDSA")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("t", "--issuer", "http://i.example.test", "--audience", "a"), "https"),
        (("t", "--issuer", "https://i.test", "--audience", "a", "--algorithm", "HS256"), "HS256"),
        (("t", "--issuer", "https://i.test", "--audience", "a", "--pem", "no-such-file"), "cannot be read"),
        (("Bearer", "eyJsecret", "--issuer", "https://i.test", "--audience", "a"), "more than one token"),
        (("t", "--issuer", "https://i.test"), "--audience"),
    ],
)
def test_a_wrong_use_of_verify_is_status_2(arguments: tuple[str, ...], said: str) -> None:
    done = run("verify", *arguments)
    assert_one_line(done, said, status=2)
    assert "eyJsecret" not in done.stderr


def test_a_token_is_taken_out_of_what_was_copied(served: FakeIssuer) -> None:
    token = served.mint("ann")
    for typed in (
        f"Bearer {token}\n",
        f'"{token}"',
        f"Authorization: Bearer {token}\r\n",
        f"'Bearer {token}'",
    ):
        done = run_patiently("verify", "-", "--issuer", served.issuer, "--any-audience", typed=typed)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["sub"] == "ann"
    refused = run("verify", "-", "--issuer", served.issuer, typed=token)
    assert_one_line(refused, "--any-audience", status=2)


def test_keys_that_are_not_found_are_explained(served: FakeIssuer) -> None:
    where = ("--jwks-url", served.issuer + "/gone")
    done = run("verify", served.mint(), "--issuer", served.issuer, "--any-audience", *where)
    assert done.returncode == 1
    assert "keys_unavailable" in done.stderr
    assert "/gone: the response has status 404" in done.stderr
    assert "authkit doctor" in done.stderr


def test_a_healthy_issuer_passes_with_status_0(served: FakeIssuer) -> None:
    done = run("doctor", "--issuer", served.issuer, "--algorithm", "EdDSA", "--audience", "api")
    assert (done.returncode, done.stderr) == (0, "")
    assert "key_usable" in done.stdout
    assert "error" not in done.stdout


def test_a_fault_of_the_issuer_is_status_1(served: FakeIssuer) -> None:
    done = run("doctor", "--issuer", served.issuer, "--algorithm", "RS256", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (1, False)
    errors = [finding["code"] for finding in report["findings"] if finding["level"] == "error"]
    assert errors == ["no_key_for_algorithms"]
    gone = run("doctor", "--issuer", served.issuer, "--jwks-url", served.issuer + "/gone")
    assert gone.returncode == 1
    assert "bad_status" in gone.stdout
    lost = run("doctor", "--issuer", served.issuer, "--discovery")
    assert "discovery_failed" in lost.stdout


def test_a_configuration_that_a_verifier_refuses_is_a_finding(served: FakeIssuer) -> None:
    done = run("doctor", "--issuer", "http://issuer.test", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["code"] == "configuration_refused"
    assert_one_line(run("doctor", "--audience", "a"), "--issuer", status=2)


def test_an_opaque_token_and_a_revoked_one_are_asked_about(served: FakeIssuer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    settings = served.introspection()
    secret.write_text(f"{settings.client_secret}\n")
    asks = (
        "--introspection-client", settings.client_id, "--introspection-secret-file", str(secret),
        "--introspection-url", f"{served.issuer}/introspect",
    )  # fmt: skip
    opaque, token = served.mint_opaque("ann"), served.mint("ann")
    assert [verify(served, one, *asks)[0] for one in (opaque, token)] == [0, 0]
    assert verify(served, opaque)[0] == 1
    served.revoke(token)
    status, said = verify(served, token, *asks, "--explain")
    assert (status, said.splitlines()[0]) == (1, "refused: token_inactive")
    done = run("doctor", "--issuer", served.issuer, *asks)
    assert (done.returncode, done.stderr) == (0, "")
    assert "introspection" in done.stdout
    secret.write_text("another secret")
    refused = verify(served, opaque, *asks)
    assert refused[0] == 1
    assert "another secret" not in refused[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--introspection-client", "api"), "--introspection-secret-file"),
        (("--introspection-client", "api", "--introspection-secret-file", "no-such-file"), "cannot be read"),
        (("--tenant", "acme"), "{tenant}"),
    ],
)
def test_options_that_do_not_suffice_are_status_2(arguments: tuple[str, ...], said: str) -> None:
    done = run("verify", "t", "--issuer", "https://i.test", "--audience", "a", *arguments)
    assert_one_line(done, said, status=2)


def test_a_token_of_a_tenant_is_accepted_for_a_template_of_issuers(tmp_path: Path) -> None:
    template = "https://login.example.com/{tenant}/v2.0"
    issuer = FakeIssuer("https://login.example.com/acme/v2.0", algorithm="EdDSA")
    key = tmp_path / "key.pem"
    key.write_text(issuer.key.pem())
    terms = ("--issuer", template, "--audience", "api", "--pem", str(key), "--tenant", "acme")
    assert run_patiently("verify", "-", *terms, typed=issuer.mint("ann")).returncode == 0
    other = FakeIssuer("https://login.example.com/globex/v2.0").mint(key=issuer.key)
    assert "bad_tenant" in run_patiently("verify", "-", *terms, typed=other).stderr
    assert run_patiently("verify", "-", *terms, "--tenant", "globex", typed=other).returncode == 0
