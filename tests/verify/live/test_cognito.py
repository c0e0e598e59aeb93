"""Moto issues the tokens, as user pools of Amazon Cognito do, at the hosts of AWS: through its proxy."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from authkit_verify import IssuerAccept, TokenError, Verifier, presets
from fakes import judges
from fakes.certificates import private_ca

REGION = "eu-west-1"
HOST = f"cognito-idp.{REGION}.amazonaws.com"
PASSWORD = "Passw0rd!long"

pytestmark = pytest.mark.timeout(180)


@dataclass
class Aws:
    """The region as an application reaches it: through a proxy, with a CA of its own."""

    proxy: str
    ca_file: str
    client: httpx.AsyncClient

    async def call(self, operation: str, **terms: Any) -> Any:
        """Call an operation of Cognito and return its answer."""
        headers = {
            "X-Amz-Target": f"AWSCognitoIdentityProviderService.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=a/20260101/{REGION}/cognito-idp/aws4_request",
        }
        answer = await self.client.post(f"https://{HOST}/", json=terms, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()


@dataclass
class Pool:
    """A user pool with ann, who is staff, and the tokens that she got for one of two app clients."""

    id: str
    client: str
    other: str
    access: str
    identity: str


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of the proxy, and the CA file."""
    judges.need("moto")
    # By this name moto finds the certificate of a host, and makes none itself.
    ca_file = tmp_path_factory.mktemp("moto") / f"_.{HOST.partition('.')[2]}.crt"
    with judges.serving("cognito.py", str(private_ca(ca_file, x509.DNSName(HOST)))) as port:
        yield port, ca_file


@pytest.fixture
async def aws(moto: tuple[int, Path]) -> AsyncIterator[Aws]:
    port, ca_file = moto
    proxy = f"http://127.0.0.1:{port}"
    context = ssl.create_default_context(cafile=ca_file)
    # The proxy ends each connection after its answer, and does not say so.
    once = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(
        verify=context, proxy=proxy, trust_env=False, timeout=30, limits=once
    ) as client:
        yield Aws(proxy, str(ca_file), client)


@pytest.fixture
async def pool(aws: Aws) -> Pool:
    made = (await aws.call("CreateUserPool", PoolName="shop"))["UserPool"]["Id"]
    flow = "ADMIN_USER_PASSWORD_AUTH"

    async def client(name: str) -> str:
        answer = await aws.call(
            "CreateUserPoolClient", UserPoolId=made, ClientName=name, ExplicitAuthFlows=[f"ALLOW_{flow}"]
        )
        return answer["UserPoolClient"]["ClientId"]

    ann = {"UserPoolId": made, "Username": "ann"}
    await aws.call("AdminCreateUser", **ann)
    await aws.call("AdminSetUserPassword", **ann, Password=PASSWORD, Permanent=True)
    await aws.call("CreateGroup", UserPoolId=made, GroupName="staff")
    await aws.call("AdminAddUserToGroup", **ann, GroupName="staff")
    app, other = await client("app"), await client("other")
    typed = {"USERNAME": "ann", "PASSWORD": PASSWORD}
    answer = await aws.call(
        "AdminInitiateAuth", UserPoolId=made, ClientId=app, AuthFlow=flow, AuthParameters=typed
    )
    tokens = answer["AuthenticationResult"]
    return Pool(made, app, other, tokens["AccessToken"], tokens["IdToken"])


async def test_the_preset_accepts_an_access_token_by_its_client(aws: Aws, pool: Pool) -> None:
    accept = presets.cognito(REGION, pool.id, clients=[pool.client], proxy=aws.proxy, ca_file=aws.ca_file)
    async with Verifier(accept) as verifier:
        claims = await verifier.verify(pool.access)
        assert (claims.username, claims.roles, claims.client_id) == ("ann", ("staff",), pool.client)
        assert claims.audience == (pool.client,)
        with pytest.raises(TokenError, match=r"bad_claim: .*token_use"):
            await verifier.verify(pool.identity)


async def test_the_preset_refuses_the_tokens_of_another_client(aws: Aws, pool: Pool) -> None:
    accept = presets.cognito(REGION, pool.id, clients=[pool.other], proxy=aws.proxy, ca_file=aws.ca_file)
    async with Verifier(accept) as verifier:
        for token in (pool.access, pool.identity):
            with pytest.raises(TokenError, match="bad_audience"):
                await verifier.verify(token)


async def test_id_tokens_are_accepted_where_they_are_meant(aws: Aws, pool: Pool) -> None:
    meant = IssuerAccept(
        issuer=f"https://{HOST}/{pool.id}",
        audiences=[pool.client],
        required_claims={"token_use": "id"},
        proxy=aws.proxy,
        ca_file=aws.ca_file,
    )
    async with Verifier(meant) as verifier:
        assert (await verifier.verify(pool.identity)).audience == (pool.client,)
        with pytest.raises(TokenError, match="bad_audience"):
            await verifier.verify(pool.access)
