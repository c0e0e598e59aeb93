"""The HTTP client of each issuer: whose it is, what it sends where, and which proxy it goes through."""

from __future__ import annotations

import asyncio
import random
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from authkit_verify import AcceptConfig, IssuerAccept, Verifier
from authkit_verify._jwks.client import environment_proxy
from authkit_verify.testing import FakeIssuer
from fakes.certificates import private_ca


def client(answer: Callable[[httpx.Request], httpx.Response], **terms: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(answer), headers=terms)


async def test_the_client_and_the_headers_of_one_issuer_go_to_no_other() -> None:
    seen: dict[str, str | None] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen[request.url.host] = request.headers.get("authorization")
        return httpx.Response(503)

    pod, rest = client(answer, authorization="Bearer pod"), client(answer)
    issuers = [
        IssuerAccept(issuer="https://k8s.test", audiences=["a"], http_client=pod),
        IssuerAccept(issuer="https://keyed.test", audiences=["a"], headers={"Authorization": "Bearer key"}),
        IssuerAccept(issuer="https://other.test", audiences=["a"]),
    ]
    await Verifier(AcceptConfig(issuers=issuers), http_client=rest).warm()
    assert seen == {"k8s.test": "Bearer pod", "keyed.test": "Bearer key", "other.test": None}


async def test_headers_of_an_issuer_replace_none_that_the_limits_need() -> None:
    issuer = FakeIssuer()
    headers = {"Accept-Encoding": "gzip", "X-Key": "1"}
    async with issuer.verifier(headers=headers) as verifier:
        await verifier.verify(issuer.mint())
    sent = issuer.requests[0].headers
    assert (sent["accept-encoding"], sent["x-key"]) == ("identity", "1")


def test_a_record_shows_no_credential() -> None:
    accept = IssuerAccept(
        issuer="https://i.test",
        any_audience=True,
        headers={"Authorization": "Bearer SECRET"},
        proxy="http://user:SECRET@proxy.test",
    )
    assert "SECRET" not in repr(accept)
    assert hash(accept) == hash(accept)


@asynccontextmanager
async def recording_proxy() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers every request with the key set of no issuer, and records the request lines."""
    lines: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], lines


def fetched_over_http(**terms: object) -> Verifier:
    accept = IssuerAccept(
        issuer="https://i.test",
        any_audience=True,
        jwks_url="http://keys.internal/set",
        allow_http_hosts=["keys.internal"],
        **terms,  # type: ignore[arg-type]
    )
    return Verifier(AcceptConfig(issuers=[accept]))


async def test_the_proxy_of_an_issuer_carries_its_requests() -> None:
    async with recording_proxy() as (port, lines):
        await fetched_over_http(proxy=f"http://127.0.0.1:{port}").warm()
    assert lines == [b"GET http://keys.internal/set HTTP/1.1\r\n"]


@pytest.mark.parametrize("excluded", ["", "[::1]", "fd00::/8,::1", "10.0.0.0/8", "example.com"])
async def test_the_proxy_of_the_environment_carries_them_whatever_else_it_excludes(
    monkeypatch: pytest.MonkeyPatch, excluded: str
) -> None:
    async with recording_proxy() as (port, lines):
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, excluded)
        await fetched_over_http().warm()
    assert lines == [b"GET http://keys.internal/set HTTP/1.1\r\n"]


@pytest.mark.parametrize(
    ("excluded", "url", "through"),
    [
        ("", "https://i.test/x", True),
        ("*", "https://i.test/x", False),
        ("i.test", "https://i.test/x", False),
        ("i.test", "https://a.i.test/x", False),
        (".i.test", "https://a.i.test/x", False),
        ("*.i.test", "https://a.i.test/x", False),
        ("i.test", "https://noti.test/x", True),
        ("i.test:443", "https://i.test/x", False),
        ("http://i.test", "https://i.test/x", True),
        ("https://i.test", "https://i.test/x", False),
        ("10.0.0.0/8", "https://10.1.2.3/x", False),
        ("10.0.0.0/8", "https://11.1.2.3/x", True),
        ("10.1.2.3", "https://10.1.2.3:8443/x", False),
        ("fd00::/8", "https://[fd00::7]/x", False),
        ("[fd00::7]", "https://[fd00::7]/x", False),
        ("[fd00::7]:443", "https://[fd00::7]/x", False),
        ("fd00::/8", "https://i.test/x", True),
        ("i test,,]:,://,[", "https://i.test/x", True),
        ("", "https://localhost/x", False),
        ("", "http://[::1]/x", False),
    ],
)
def test_no_proxy_names_hosts_domains_addresses_and_ranges(
    monkeypatch: pytest.MonkeyPatch, excluded: str, url: str, *, through: bool
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "proxy.test:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, excluded)
    assert environment_proxy(url) == ("http://proxy.test:3128" if through else None)


async def test_the_ca_file_of_one_issuer_is_trusted_for_that_issuer_alone(tmp_path: Path) -> None:
    ca_file = private_ca(tmp_path / "ca.pem", x509.IPAddress(ip_address("127.0.0.1")))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ca_file)
    served = FakeIssuer()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = served.document()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body)
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        trusting = served.accept(jwks_url=url, ca_file=str(ca_file))
        other = IssuerAccept(issuer="https://other.test", any_audience=True, jwks_url=url)
        async with Verifier(AcceptConfig(issuers=[trusting, other], algorithms=["ES256"])) as verifier:
            await verifier.verify(served.mint())
            health = (await verifier.warm())["issuers"]
    assert health[served.issuer]["last_error"] is None
    assert "TLS failed: self-signed certificate" in (health["https://other.test"]["last_error"] or "")


def test_any_environment_names_a_proxy_or_none(
    rounds: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(10)
    parts = [
        "*",
        ".",
        ":",
        "[",
        "]",
        "/",
        "//",
        "://",
        "::1",
        "fd00::",
        "10.0.0.0",
        "8",
        "i.test",
        " ",
        "@",
        "%",
        "\u0130",
    ]
    for _ in range(rounds(20_000)):
        entries = ["".join(dice.choices(parts, k=dice.randrange(5))) for _ in range(3)]
        monkeypatch.setenv("no_proxy", ",".join(entries))
        monkeypatch.setenv("https_proxy", "http://proxy.test")
        for host in ("i.test", "10.1.2.3", "[fd00::7]"):
            assert environment_proxy(f"https://{host}/k") in {"http://proxy.test", None}


async def test_a_proxy_that_needs_a_missing_package_is_named_as_the_cause() -> None:
    verifier = fetched_over_http(proxy="socks5://127.0.0.1:1")
    error = (await verifier.warm())["issuers"]["https://i.test"]["last_error"]
    assert error is not None
    assert "http://keys.internal/set" in error
    assert "socksio" in error


def test_the_import_leaves_large_libraries_to_the_first_fetch() -> None:
    script = """if True:
        import sys
        from authkit_verify import Verifier
        large = {"httpx", "httpcore", "anyio", "jwt", "cryptography.x509", "urllib.request", "email.utils"}
        print(sorted(large & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_names_of_the_package_are_loaded_when_one_is_used() -> None:
    script = """if True:
        import sys, authkit_verify, authkit_verify.cli
        large = {"asyncio", "ssl", "msgspec", "cryptography", "authkit_verify._verify.verifier"}
        print(sorted(large & set(sys.modules)))
        print(authkit_verify.Verifier.__name__, "Verifier" in vars(authkit_verify))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "Verifier True"]
