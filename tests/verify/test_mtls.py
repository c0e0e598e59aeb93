"""Tokens that are bound to a client certificate (RFC 8705), from the server or from a trusted proxy."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from authkit_verify import (
    AuthMiddleware,
    CertificateHeader,
    DPoP,
    Proof,
    SyncVerifier,
    TokenError,
    Verifier,
    wsgi,
)
from authkit_verify._policy.proof.certificates import CertificateFormat, pem_thumbprint
from authkit_verify.config import AcceptConfig
from authkit_verify.testing import FakeClient, FakeIssuer, encode

Connect = Callable[..., Any]
PROXY = ("10.1.2.3", 5000)


def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'a,b;Hash="c')])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 7, start, start + dt.timedelta(99))
    return made.sign(key, hashes.SHA256())


CERTIFICATE, OTHER = certificate(), certificate()
DER = CERTIFICATE.public_bytes(serialization.Encoding.DER)
PEM = CERTIFICATE.public_bytes(serialization.Encoding.PEM).decode()
OTHER_PEM = OTHER.public_bytes(serialization.Encoding.PEM).decode()
CNF = {"x5t#S256": encode(hashlib.sha256(DER).digest())}
HASH = hashlib.sha256(DER).hexdigest()
OTHER_HASH = OTHER.fingerprint(hashes.SHA256()).hex()


def verifier_of(issuer: FakeIssuer, header: CertificateHeader | None = None, **terms: Any) -> Verifier:
    config = AcceptConfig(issuers=[issuer.accept(**terms)], algorithms=["ES256"])
    return Verifier(config, issuer.client, issuer.clock, certificate_header=header)


async def answered(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def tls(*chain: str, **members: Any) -> dict[str, Any]:
    return {"extensions": {"tls": {"client_cert_chain": list(chain)} | members}}


async def test_the_certificate_of_the_connection_is_the_proof(issuer: FakeIssuer, connect: Connect) -> None:
    async with verifier_of(issuer) as verifier:
        app, bound = AuthMiddleware(answered, verifier), issuer.mint(cnf=CNF)
        for _ in range(2):  # examined, then from the cache
            assert (await connect(app, token=bound, **tls(PEM, OTHER_PEM)).run()).status == 200
            for scope in (
                {}, {"extensions": None}, {"extensions": {"tls": {}}}, tls(), tls(OTHER_PEM, PEM), tls("x"),
                tls(PEM, client_cert_error="expired"),
                {"headers": [(b"client-cert", b":" + b64(DER) + b":")]},
            ):  # fmt: skip
                refused = await connect(app, token=bound, **scope).run()
                assert (refused.status, b"certificate" in refused.body) == (401, True)
        assert (await connect(app, token=issuer.mint(), **tls(PEM)).run()).status == 200


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("pem", quote(PEM, safe="")),
        ("pem", quote(PEM + OTHER_PEM)),
        ("xfcc", f"By=spiffe://a/b;Hash={HASH}"),
        ("xfcc", f'hash={HASH.upper()};Subject="CN=a,b;Hash={OTHER_HASH}";URI='),
        ("xfcc", f'Subject="a\\";Hash={OTHER_HASH}\\"";Hash={HASH};Cert="{quote(PEM)}"'),
        ("rfc9440", f":{b64(DER).decode()}:"),
        ("rfc9440", f" :{b64(DER).decode()}: "),
    ],
    ids=lambda value: value[:4],
)
async def test_a_trusted_proxy_passes_the_certificate_on(
    issuer: FakeIssuer, connect: Connect, form: CertificateFormat, value: str
) -> None:
    header = CertificateHeader(name="X-Cert", format=form, trusted_proxies=["10.0.0.0/8", "fd00::/8"])
    sent = [(b"x-cert", value.encode())]
    async with verifier_of(issuer, header) as verifier:
        app, bound = AuthMiddleware(answered, verifier), issuer.mint(cnf=CNF)
        for peer in (PROXY, ("::ffff:10.9.9.9", 1), ("fd00::1", 1)):
            assert (await connect(app, token=bound, headers=sent, client=peer).run()).status == 200
        for peer in (("11.1.2.3", 5000), ("::1", 1), None, ("", 0), ("testclient", 50000)):
            assert (await connect(app, token=bound, headers=sent, client=peer).run()).status == 401
        twice = await connect(app, token=bound, headers=sent * 2, client=PROXY).run()
        assert twice.status == 401
        # The connection ends at the proxy: its certificate is not the client's.
        assert (await connect(app, token=bound, client=PROXY, **tls(PEM)).run()).status == 401


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("pem", ""),
        ("pem", quote(OTHER_PEM + PEM)),
        ("pem", quote(PEM) + "," + quote(OTHER_PEM)),
        ("pem", quote(OTHER_PEM) + ", " + quote(PEM)),
        ("pem", b64(DER).decode()),
        ("pem", "-----BEGIN CERTIFICATE-----AA=A-----END CERTIFICATE-----"),
        ("xfcc", f"Hash={OTHER_HASH}"),
        ("xfcc", f"Hash={HASH},Hash={HASH}"),
        ("xfcc", f"Hash={OTHER_HASH};Hash={HASH}"),
        ("xfcc", f"Hash={HASH};Hash={OTHER_HASH}"),
        ("xfcc", f"By=a;Hash={HASH};URI=b,By=c;URI=d"),
        ("xfcc", f'Subject="Hash={HASH}"'),
        ("xfcc", f'Subject=";Hash={HASH};'),
        ("xfcc", f'Hash={HASH};Subject="'),
        ("xfcc", f'Hash={HASH};Subject="a"b'),
        ("xfcc", f'Hash={HASH};"a"'),
        ("xfcc", f"NotHash={HASH}"),
        ("xfcc", f"Hash={HASH}00"),
        ("xfcc", '"' + '\\"' * 30_000),
        ("rfc9440", b64(DER).decode()),
        ("rfc9440", "::"),
        ("rfc9440", f":{b64(DER).decode()}:, :{b64(DER).decode()}:"),
        ("rfc9440", ":" + "A" * 70_000 + ":"),
    ],
    ids=lambda value: value[:4],
)
async def test_a_header_without_that_certificate_proves_nothing(
    issuer: FakeIssuer, connect: Connect, form: CertificateFormat, value: str
) -> None:
    header = CertificateHeader(name="x-cert", format=form, trusted_proxies=["10.0.0.0/8"])
    async with verifier_of(issuer, header) as verifier:
        app, bound = AuthMiddleware(answered, verifier), issuer.mint(cnf=CNF)
        scope = {"headers": [(b"x-cert", value.encode())], "client": PROXY}
        assert (await connect(app, token=bound, **scope).run()).status == 401


@pytest.mark.parametrize("first", ["x_cert", "x-cert"])
@pytest.mark.parametrize(
    ("form", "of_client", "of_proxy"),
    [
        ("pem", quote(PEM), quote(OTHER_PEM)),
        ("xfcc", f"Hash={HASH}", f"By=a;Hash={OTHER_HASH}"),
        ("xfcc", f'Hash={HASH};Subject="', f"By=a;Hash={OTHER_HASH}"),
        ("xfcc", f'Hash={HASH};Subject="', f'By=a;Hash={OTHER_HASH};Subject="CN=ben"'),
        ("xfcc", f'Hash={HASH};Subject="', f'By=a;Hash={OTHER_HASH};Subject="CN=b\\"n";URI='),
        ("xfcc", f'Hash={HASH};Subject="\\', f'By=a;Hash={OTHER_HASH};Subject="";URI='),
    ],
    ids=lambda value: value[:4],  # of random certificates
)
def test_wsgi_takes_no_certificate_of_a_client_beside_that_of_the_proxy(
    first: str, form: CertificateFormat, of_client: str, of_proxy: str
) -> None:
    issuer = FakeIssuer()

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    header = CertificateHeader(name="x-cert", format=form, trusted_proxies=["127.0.0.1"])
    bound = ("authorization", f"Bearer {issuer.mint(cnf=CNF)}")
    with (
        SyncVerifier(issuer.accept(), issuer.client, issuer.clock, certificate_header=header) as verifier,
        running(wsgi.AuthMiddleware(app, verifier)) as client,
    ):
        own = of_client.partition(";")[0]
        assert client.get("/", headers=[bound, ("x-cert", own)]).status_code == 200
        stolen = [bound, (first, of_client), ("x-cert", of_proxy)]
        assert client.get("/", headers=stolen).status_code == 401


@contextmanager
def running(app: Any) -> Iterator[httpx.Client]:
    """Serve a WSGI application by the server of the standard library, which joins headers."""
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
            yield client
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


async def test_verify_takes_the_thumbprint_alone(issuer: FakeIssuer) -> None:
    async with verifier_of(issuer) as verifier:
        bound = issuer.mint(cnf=CNF)
        await verifier.verify(bound, proof=Proof(certificate=CNF["x5t#S256"]))
        for proof in (None, Proof(), Proof(certificate="é"), Proof(certificate=CNF["x5t#S256"] + "=")):
            with pytest.raises(TokenError, match="certificate") as caught:
                await verifier.verify(bound, proof=proof)
            assert caught.value.code == "invalid_token"
            assert (await verifier.explain(bound, proof=proof)).code == "invalid_token"


async def test_a_token_that_is_bound_twice_needs_both_proofs(issuer: FakeIssuer, connect: Connect) -> None:
    client = FakeClient(clock=issuer.clock)
    async with verifier_of(issuer) as verifier:
        app, bound = AuthMiddleware(answered, verifier), issuer.mint(cnf=CNF | client.cnf)

        def headers() -> list[tuple[bytes, bytes]]:
            sent = client.headers(bound, "GET", "http://a.test/")
            return [(b"host", b"a.test"), *((n.lower().encode(), v.encode()) for n, v in sent.items())]

        assert (await connect(app, headers=headers(), **tls(PEM)).run()).status == 200
        assert (await connect(app, headers=headers()).run()).status == 401
        assert (await connect(app, headers=headers(), **tls(OTHER_PEM)).run()).status == 401
        assert (await connect(app, token=bound, **tls(PEM)).run()).status == 401


async def test_an_issuer_may_require_or_forbid_certificates(issuer: FakeIssuer, connect: Connect) -> None:
    bound, bare = issuer.mint(cnf=CNF), issuer.mint()
    async with verifier_of(issuer, mtls="required") as verifier:
        app = AuthMiddleware(answered, verifier, resource="https://api.test")
        assert (await connect(app, token=bound, **tls(PEM)).run()).status == 200
        assert (await connect(app, token=bare, **tls(PEM)).run()).status == 401
        metadata = await connect(app, path="/.well-known/oauth-protected-resource").run()
        assert b'"tls_client_certificate_bound_access_tokens":true' in metadata.body
    async with verifier_of(issuer, mtls="disabled") as verifier:
        app = AuthMiddleware(answered, verifier)
        assert (await connect(app, token=bound, **tls(PEM)).run()).status == 401
        assert (await connect(app, token=bare).run()).status == 200


def test_the_example_of_rfc_8705_has_its_thumbprint() -> None:
    """The certificate of appendix A, and the thumbprint that section 3.1 prints for it."""
    pem = """-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----"""
    assert pem_thumbprint(pem) == "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"}, {"name": ""}, {"format": "der"}, {"trusted_proxies": []},
        {"trusted_proxies": "10.0.0.0/8"}, {"trusted_proxies": ["10.0.0.1/8"]},
        {"trusted_proxies": ["proxy"]},
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_when_it_is_made(wrong: dict[str, Any]) -> None:
    right = {"name": "x-cert", "format": "pem", "trusted_proxies": ["10.0.0.0/8"]}
    with pytest.raises(ValueError, match=f"CertificateHeader.{next(iter(wrong))}"):
        CertificateHeader(**(right | wrong))


def test_settings_of_proofs_can_be_compared_and_shown() -> None:
    one = CertificateHeader(name="X-Cert", format="pem", trusted_proxies=["10.0.0.0/8"])
    assert one == CertificateHeader(name="x-cert", format="pem", trusted_proxies=("10.0.0.0/8",))
    assert "s3cret" not in repr(DPoP(require_nonce=True, nonce_secrets=[b"s3cret" * 6]))
