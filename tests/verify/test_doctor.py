"""doctor: every fault of an issuer by its own code, found over real sockets."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from authkit_verify import IssuerAccept
from authkit_verify._jwks.fetch import MAX_BYTES
from authkit_verify.doctor import diagnose, probing
from authkit_verify.doctor.report import Report
from authkit_verify.testing import FakeIssuer, FakeKey
from fakes.clock import FakeClock
from fakes.ports import free_port
from fakes.verdicts import complaints

OIDC = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"
GOOD = {"etag": '"1"', "cache-control": "max-age=600"}
EC = FakeKey.generate("ec", "ES256")
RSA = FakeKey.generate("rsa", "RS256")
ED = FakeKey.generate("ed", "EdDSA")


class Loopback:
    """An issuer on a socket. ``pages`` maps a path to (status, headers, body); None as a body never ends."""

    def __init__(self) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.asked: list[str] = []
        self.pages: dict[str, tuple[int, dict[str, str], bytes | None]] = {}
        self.serve([RSA.jwk()])
        self.describe()

    def serve(self, keys: Any, **headers: str) -> None:
        """Publish these members as the key set."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[JWKS] = (200, GOOD | named, json.dumps({"keys": keys}).encode())

    def describe(self, place: str = OIDC, **changes: Any) -> None:
        """Publish metadata that is right but for the changes."""
        document = {"issuer": self.issuer, "jwks_uri": self.issuer + JWKS} | changes
        self.pages[place] = (200, {}, json.dumps(document).encode())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; what is no HTTP is hung up on."""
        head = await reader.readline()
        if not head.startswith(b"GET "):
            writer.close()
            return
        while (await reader.readline()).strip():
            pass
        path = head.split()[1].decode()
        self.asked.append(path)
        status, headers, body = self.pages.get(path, (404, {}, b""))
        if body is not None:
            lines = {"date": formatdate(usegmt=True), "content-length": str(len(body))} | headers
            fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"HTTP/1.1 {status} X\r\n{fields}connection: close\r\n\r\n".encode("latin-1") + body)
        else:
            await reader.read()  # until the other side gives up
        writer.close()


@pytest.fixture
async def loopback() -> AsyncIterator[Loopback]:
    made = Loopback()
    async with await asyncio.start_server(made.answer, "127.0.0.1", made.port):
        yield made


async def examine(loopback: Loopback, *, algorithms: tuple[str, ...] = ("RS256",), **terms: Any) -> Report:
    usual = {"issuer": loopback.issuer, "any_audience": True, "allow_http_loopback": True}
    return await diagnose(IssuerAccept(**(usual | terms)), algorithms=algorithms)


def codes(report: Report, level: str) -> set[str]:
    return {finding.code for finding in report.findings if finding.level == level}


async def test_a_healthy_issuer_has_nothing_to_complain_about(loopback: Loopback) -> None:
    for terms in ({}, {"discovery": True}):
        report = await examine(loopback, **terms)
        assert (report.ok, codes(report, "error")) == (True, set())
        assert codes(report, "warning") == {"http_loopback"}
        assert codes(report, "ok") == {
            "metadata", "no_metadata", "key_set", "key_usable", "algorithms", "response_time", "etag",
            "cache", "clock",
        }  # fmt: skip


async def test_an_https_issuer_on_the_books_is_asked_through_the_hosts_client(clock: FakeClock) -> None:
    issuer = FakeIssuer(algorithm="RS256", clock=clock)
    issuer.headers = {"Date": formatdate(clock(), usegmt=True), "ETag": '"x"'}
    report = await diagnose(issuer.accept(jwks_url=issuer.issuer + "/jwks.json"), issuer.client, clock)
    await issuer.client.aclose()
    assert report.ok
    assert codes(report, "warning") == set()
    assert "issuer_form" in codes(report, "ok")


def weak() -> dict[str, Any]:
    key = FakeKey("weak", "RS256", rsa.generate_private_key(65537, 1024))
    return key.jwk()


def secret(key: FakeKey) -> dict[str, Any]:
    return key.jwk() | {"d": "AQAB"}


def without(key: FakeKey, name: str) -> dict[str, Any]:
    return {member: value for member, value in key.jwk().items() if member != name}


@pytest.mark.parametrize(
    "key",
    [RSA.jwk(), EC.jwk(), ED.jwk(), without(ED, "alg")],
    ids=["RSA", "EC", "Ed25519", "Ed25519, no alg"],
)
async def test_every_algorithm_is_accepted_by_default_as_by_the_verifier(
    loopback: Loopback, key: dict[str, Any]
) -> None:
    loopback.serve([key])
    report = await diagnose(IssuerAccept(issuer=loopback.issuer, any_audience=True, allow_http_loopback=True))
    assert complaints(report) == {("warning", "http_loopback")}


KEY_SETS = [
    ("a weak key", [RSA.jwk(), weak()], "warning", "key_unusable", "1024 bits"),
    ("only a weak key", [weak()], "error", "no_usable_key", "No key"),
    ("none at all", [], "error", "no_usable_key", "No key"),
    ("another use", [RSA.jwk(), EC.jwk() | {"use": "enc"}], "ok", "key_for_other_use", "not for signatures"),
    ("other operations", [RSA.jwk(), EC.jwk() | {"key_ops": ["x"]}], "warning", "key_unusable", "verifying"),
    ("another curve", [RSA.jwk(), EC.jwk() | {"crv": "secp256k1"}], "warning", "key_unusable", "kind of key"),
    ("a wrong algorithm", [RSA.jwk() | {"alg": "ES256"}, RSA.jwk()], "warning", "key_unusable", "algorithm"),
    (
        "another issuer", [RSA.jwk(), EC.jwk() | {"issuer": "https://a.test"}],
        "warning", "key_of_other_issuer", "https://a.test",
    ),
    ("no object", [RSA.jwk(), 7], "warning", "key_unusable", "not an object"),
    ("a secret half", [secret(RSA)], "error", "private_key_published", "'rsa'"),
    ("a secret passed over", [RSA.jwk(), secret(EC) | {"use": "enc"}], "error", "private_key_published", "1"),
    ("a symmetric key", [RSA.jwk(), {"kty": "oct", "k": "AQAB"}], "error", "private_key_published", "Key 1"),
    ("no algorithm", [without(RSA, "alg")], "warning", "alg_missing", "1 keys"),
    ("no id", [without(RSA, "kid"), EC.jwk()], "warning", "kid_missing", "only tokens without a kid"),
    ("a repeated id", [RSA.jwk(), EC.jwk() | {"kid": "rsa"}], "warning", "kid_repeated", "'rsa'"),
    ("too many keys", [RSA.jwk()] * 101, "warning", "too_many_keys", "100"),
    ("much text", [RSA.jwk() | {"x": "y" * 140_000}], "warning", "key_set_large", "262144"),
    ("no key that fits", [EC.jwk()], "error", "no_key_for_algorithms", "'ES256'"),
    ("a key for more", [RSA.jwk(), EC.jwk()], "warning", "algorithm_not_accepted", "'ES256'"),
    ("an Ed25519 key", [RSA.jwk(), ED.jwk()], "warning", "algorithm_not_accepted", "'Ed25519', 'EdDSA'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "level", "code", "said"), [row[1:] for row in KEY_SETS], ids=[r[0] for r in KEY_SETS]
)
async def test_each_key_is_judged(loopback: Loopback, keys: Any, level: str, code: str, said: str) -> None:
    loopback.serve(keys)
    report = await examine(loopback)
    assert any(
        (f.level, f.code) == (level, code) and said in f.sentence + (f.advice or "") for f in report.findings
    )
    assert report.ok == (level != "error")


async def test_one_key_listed_twice_is_not_a_repeated_id(loopback: Loopback) -> None:
    loopback.serve([RSA.jwk(), RSA.jwk()])
    assert "kid_repeated" not in codes(await examine(loopback), "warning")


ANSWERS = [
    ("a status", (503, {}, b""), "bad_status", "503"),
    ("not found", (404, {}, b""), "bad_status", "404"),
    ("a redirect", (302, {"location": "/elsewhere"}, b""), "redirect", "'/elsewhere'"),
    ("a hostile redirect", (302, {"location": "/\x9b31m" + "x" * 900}, b""), "redirect", "\\x9b31m"),
    ("an oversize", (200, {}, b" " * (MAX_BYTES + 1)), "too_large", str(MAX_BYTES)),
    ("compression", (200, {"content-encoding": "gzip"}, b"x"), "compressed", "compressed"),
    ("a web page", (200, {}, b"<html></html>"), "not_json", "web page"),
    ("broken JSON", (200, {}, b'{"keys": ['), "not_json", "not JSON"),
    ("another document", (200, {}, b'{"issuer": "x"}'), "not_a_key_set", "no list of keys"),
]


@pytest.mark.parametrize(
    ("page", "code", "said"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS]
)
async def test_each_bad_answer_has_its_code(loopback: Loopback, page: Any, code: str, said: str) -> None:
    loopback.pages[JWKS] = page
    report = await examine(loopback)
    (finding,) = [finding for finding in report.findings if finding.level == "error"]
    assert finding.code == code
    assert said in finding.sentence
    assert len(finding.sentence) < 500
    assert str(report).replace("\n", "").isprintable()
    assert "/elsewhere" not in loopback.asked


async def test_an_issuer_that_hangs_times_out(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "TOTAL_TIMEOUT", 0.2)
    loopback.pages[JWKS] = (200, {}, None)
    assert codes(await examine(loopback), "error") == {"timeout"}


async def test_a_closed_port_differs_from_everything_else(loopback: Loopback) -> None:
    report = await examine(loopback, jwks_url=f"http://127.0.0.1:{free_port()}/jwks.json")
    assert codes(report, "error") == {"connection_refused"}


async def test_a_name_without_an_address_differs_from_everything_else(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_args: Any, **_options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lost)
    report = await examine(loopback, jwks_url="https://nowhere.invalid/jwks.json")
    assert codes(report, "error") == {"dns_failure"}


async def test_a_certificate_without_a_trusted_issuer_is_a_tls_failure(
    loopback: Loopback, tmp_path: Path
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(self_signed(tmp_path / "pem"))
    port = free_port()
    async with await asyncio.start_server(loopback.answer, "127.0.0.1", port, ssl=context):
        report = await examine(loopback, jwks_url=f"https://127.0.0.1:{port}{JWKS}")
    (finding,) = [finding for finding in report.findings if finding.level == "error"]
    assert finding.code == "tls_failure"
    assert "self-signed" in finding.sentence


async def test_plain_http_where_https_is_meant_is_a_tls_failure(loopback: Loopback) -> None:
    report = await examine(loopback, jwks_url=f"https://127.0.0.1:{loopback.port}{JWKS}")
    assert codes(report, "error") == {"tls_failure"}


def self_signed(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = built.serial_number(1).not_valid_before(start).not_valid_after(start.replace(year=2090))
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + dated.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return path


Change = Callable[[Loopback], None]
METADATA: list[tuple[str, Change, dict[str, Any], str, str]] = [
    ("a slash too many", lambda i: i.describe(issuer=i.issuer + "/"), {}, "error", "issuer_trailing_slash"),
    ("another issuer", lambda i: i.describe(issuer="https://a.test"), {}, "error", "issuer_mismatch"),
    ("no address of keys", lambda i: i.describe(jwks_uri=None), {}, "warning", "metadata_unfit"),
    ("plain http", lambda i: i.describe(jwks_uri="http://a.test/"), {"discovery": False}, "warning",
     "jwks_uri_refused"),
    ("plain http found", lambda i: i.describe(jwks_uri="http://a.test/"), {}, "error",
     "jwks_uri_refused"),
    ("another origin", lambda i: i.describe(jwks_uri=f"http://localhost:{i.port}{JWKS}"), {}, "warning",
     "jwks_uri_other_origin"),
    ("keys elsewhere", lambda i: i.describe(jwks_uri=i.issuer + "/keys"), {"discovery": False}, "warning",
     "keys_elsewhere"),
    ("no JSON", lambda i: i.pages.update({OIDC: (200, {}, b"<html>")}), {}, "warning", "metadata_not_json"),
    ("a redirect", lambda i: i.pages.update({OIDC: (301, {}, b"")}), {}, "warning", "redirect"),
    ("none", lambda i: i.pages.pop(OIDC) and None, {}, "ok", "no_metadata"),
    ("none found", lambda i: i.pages.pop(OIDC) and None, {"discovery": True}, "error", "discovery_failed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "terms", "level", "code"), [row[1:] for row in METADATA], ids=[row[0] for row in METADATA]
)
async def test_each_fault_of_the_metadata_has_its_code(
    loopback: Loopback, change: Change, terms: dict[str, Any], level: str, code: str
) -> None:
    change(loopback)
    report = await examine(loopback, **terms)
    assert code in codes(report, level)
    assert report.ok == (level != "error")


async def test_the_other_form_of_metadata_is_as_good(loopback: Loopback) -> None:
    del loopback.pages[OIDC]
    loopback.describe(OAUTH)
    report = await examine(loopback, discovery=True)
    assert report.ok
    assert {"metadata", "no_metadata", "key_usable"} <= codes(report, "ok")


async def test_a_guessed_address_that_fails_points_to_the_one_in_the_metadata(loopback: Loopback) -> None:
    loopback.pages["/keys"] = loopback.pages.pop(JWKS)
    loopback.describe(jwks_uri=loopback.issuer + "/keys")
    report = await examine(loopback, discovery=False)
    (finding,) = [one for one in report.findings if one.level == "error"]
    assert finding.code == "bad_status"
    assert "discovery=False" in (finding.advice or "")
    assert (await examine(loopback)).ok


async def test_the_query_of_a_configured_address_is_not_shown(loopback: Loopback) -> None:
    report = await examine(loopback, jwks_url=loopback.issuer + "/keys?code=secret")
    assert "keys_elsewhere" in codes(report, "warning")
    assert not report.ok
    assert "code=" not in str(report)


HEADERS = [
    ({"cache-control": "max-age=15"}, "warning", "cache_short", "fresh for 60 s"),
    ({"cache-control": "no-store"}, "warning", "cache_short", "fresh for 60 s"),
    ({"cache-control": "max-age=86400"}, "ok", "cache", "fresh for 300 s"),
    ({"cache-control": "max-age=600, stale-if-error=0"}, "warning", "stale_short", "0 s more"),
    ({}, "ok", "cache", "Without cache headers"),
    ({}, "warning", "no_etag", "no ETag"),
]


@pytest.mark.parametrize(("headers", "level", "code", "said"), HEADERS)
async def test_the_headers_are_held_against_the_configuration(
    loopback: Loopback, headers: dict[str, str], level: str, code: str, said: str
) -> None:
    loopback.pages[JWKS] = (200, headers, loopback.pages[JWKS][2])
    report = await examine(loopback)
    assert any((f.level, f.code) == (level, code) and said in f.sentence for f in report.findings)


@pytest.mark.parametrize(
    ("offset", "age", "level", "code"),
    [
        (0, 0, "ok", "clock"),
        (20, 0, "ok", "clock"),
        (-45, 0, "warning", "clock_offset"),
        (45, 0, "warning", "clock_offset"),
        (90, 0, "error", "clock_offset"),
        (-90, 0, "error", "clock_offset"),
        (-3600, 3600, "ok", "clock"),
        (None, 0, "warning", "no_date"),
    ],
)
async def test_the_clocks_are_compared(
    clock: FakeClock, offset: int | None, age: int, level: str, code: str
) -> None:
    issuer = FakeIssuer(algorithm="RS256", clock=clock)
    if offset is not None:
        issuer.headers = {"Date": formatdate(clock() + offset, usegmt=True), "Age": str(age)}
    report = await diagnose(issuer.accept(jwks_url=issuer.issuer + "/jwks.json"), issuer.client, clock)
    await issuer.client.aclose()
    assert code in codes(report, level)


@pytest.mark.parametrize(("seconds", "said"), [(1.5, "1.5 s."), (3.0, "503")])
async def test_a_slow_answer_is_measured(clock: FakeClock, seconds: float, said: str) -> None:
    issuer = FakeIssuer(algorithm="RS256", clock=clock)
    client = issuer.client
    answer = client._transport.handler  # type: ignore[attr-defined]

    async def late(request: Any) -> Any:
        clock.advance(seconds)
        return await answer(request)

    client._transport.handler = late  # type: ignore[attr-defined]
    report = await diagnose(issuer.accept(), client, clock)
    await client.aclose()
    (slow,) = [finding for finding in report.findings if finding.code == "slow"]
    assert said in slow.sentence


@pytest.mark.parametrize(
    ("issuer", "code"),
    [("https://i.test/t?x=1", "issuer_has_query"), ("urn:issuer", "issuer_not_a_url")],
)
async def test_a_name_that_is_no_fit_address_is_pointed_out(issuer: str, code: str) -> None:
    fake = FakeIssuer(issuer, algorithm="RS256")
    report = await diagnose(fake.accept(jwks_url="https://i.test/jwks.json"), fake.client)
    await fake.client.aclose()
    assert code in codes(report, "warning")
    assert "key_usable" in codes(report, "ok")


async def test_pinned_keys_are_looked_at_without_a_request(issuer: FakeIssuer, clock: FakeClock) -> None:
    for until, ok in ((None, True), (clock() - 1, False)):
        accept = issuer.accept(pinned_only=True, pinned_pems=[issuer.key.pem()], pinned_until=until)
        report = await diagnose(accept, issuer.client, clock)
        assert report.ok is ok
    assert issuer.requests == []


async def test_a_report_is_plain_json_and_an_aligned_table(loopback: Loopback) -> None:
    report = await examine(loopback)
    read = json.loads(json.dumps(report.to_dict()))
    assert (read["issuer"], read["ok"]) == (loopback.issuer, True)
    assert read["findings"][0]["code"] == "http_loopback"
    heads, *rows = str(report).splitlines()
    assert len(rows) == len(report.findings)
    assert all(row[heads.index("finding") - 1] == " " for row in rows)


async def test_keys_over_plain_http_on_another_host_are_a_warning() -> None:
    issuer = FakeIssuer(algorithm="RS256", jwks_url="http://keycloak:8080/certs")
    for terms in ({}, {"discovery": True}):
        accept = issuer.accept(allow_http_hosts=["keycloak"], **terms)
        report = await diagnose(accept, issuer.client)
        assert report.ok
        assert "http_keys" in codes(report, "warning")
    refused = await diagnose(issuer.accept(discovery=True), issuer.client)
    assert {"jwks_uri_refused", "discovery_failed"} <= codes(refused, "error")
