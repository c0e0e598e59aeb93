"""Opaque access tokens of a certified OpenID Connect provider: the npm package ``oidc-provider``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from authkit_verify import AcceptConfig, ClaimsMapping, IssuerAccept, Verifier
from authkit_verify.config.introspection import Introspection
from authkit_verify.doctor import diagnose
from fakes import node
from fakes.patience import PATIENCE
from fakes.ports import free_port
from fakes.verdicts import identity_or_code as outcome

pytestmark = pytest.mark.timeout(120)

SECRET = "s3cret+with/odd:characters % and=more&of-them"

# The provider as its documentation sets one up. Each line of its input is a JSON object: a grant to make an
# access token of, or a token to revoke.
PROVIDER = """
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

console.info = console.error; // the notices of the provider are no answers
const [port, secret] = process.argv.slice(1);
const api = { audience: 'api', scope: 'read write', accessTokenFormat: 'opaque', accessTokenTTL: 600 };
const client = (id, more) => ({
  client_id: id, client_secret: secret, redirect_uris: [], response_types: [],
  grant_types: ['client_credentials'], ...more,
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client('basic', { token_endpoint_auth_method: 'client_secret_basic' }),
    client('post', { token_endpoint_auth_method: 'client_secret_post' }),
  ],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: { enabled: true, getResourceServerInfo: () => api },
  },
  ttl: { AccessToken: 600, ClientCredentials: 600, Grant: 600 },
  findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
const made = async ({ user, scope, audience }) => {
  const owner = await provider.Client.find('basic');
  const grant = new provider.Grant({ accountId: user, clientId: 'basic' });
  grant.addResourceScope('urn:api', scope);
  const token = new provider.AccessToken({
    accountId: user, client: owner, scope, grantId: await grant.save(), gty: 'authorization_code',
  });
  token.resourceServer = new provider.ResourceServer('urn:api', { ...api, audience });
  return token.save();
};
provider.listen(Number(port), '127.0.0.1', async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    try {
      if (order.revoke) {
        await (await provider.AccessToken.find(order.revoke)).destroy();
        console.log('null');
      } else {
        console.log(JSON.stringify(await made(order)));
      }
    } catch (error) {
      console.log(JSON.stringify({ error: String(error.stack) }));
    }
  }
});
"""

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def provider() -> Iterator[tuple[str, Ask]]:
    """The URL of a running provider, and what makes and revokes its tokens."""
    node.need("oidc-provider")
    port = free_port()
    with node.asking(PROVIDER, str(port), SECRET) as ask:

        def order(**terms: Any) -> Any:
            answer = ask(json.dumps({"scope": "read", "audience": "api", "user": "ann"} | terms))
            assert not isinstance(answer, dict), answer["error"]
            return answer

        yield f"http://127.0.0.1:{port}", order


def accept(issuer: str, client: str = "basic", **terms: Any) -> IssuerAccept:
    own = {name: terms.pop(name) for name in list(terms) if name in Introspection.__slots__}
    asked = Introspection(
        **{
            "client_id": client,
            "client_secret": SECRET,
            "auth_method": f"client_secret_{client}",
            "max_ttl": 0.0,
            "timeout": PATIENCE,
        }
        | own
    )
    usual: dict[str, Any] = {"issuer": issuer, "audiences": ["api"], "allow_http_loopback": True}
    return IssuerAccept(**usual | {"introspection": asked} | terms)


@pytest.mark.parametrize("client", ["basic", "post"])
async def test_an_opaque_access_token_is_accepted_until_it_is_revoked(
    provider: tuple[str, Ask], client: str
) -> None:
    issuer, order = provider
    token = order(scope="read write")
    async with Verifier(accept(issuer, client, required_scopes=["read"])) as verifier:
        claims = await verifier.verify(token)
        assert (claims.user_id, claims.audience, claims.scopes) == ("ann", ("api",), ("read", "write"))
        assert claims.client_id == "basic"
        assert (await verifier.explain(token)).accepted
        order(revoke=token)
        assert await outcome(verifier, token) == "token_inactive"
        assert await outcome(verifier, "unknown") == "token_inactive"
        assert await outcome(verifier, order(scope="write")) == "insufficient_scope"
        assert await outcome(verifier, order(audience="other")) == "bad_audience"


async def test_the_doctor_finds_the_endpoint_well_and_names_wrong_credentials(
    provider: tuple[str, Ask],
) -> None:
    issuer, _ = provider
    algorithms = AcceptConfig(issuers=[accept(issuer)]).algorithms
    well = await diagnose(accept(issuer), algorithms=algorithms)
    assert (well.findings[-1].level, well.findings[-1].code) == ("ok", "introspection")
    wrong = await diagnose(accept(issuer, client_secret="wrong"), algorithms=algorithms)
    assert wrong.findings[-1].code == "introspection_credentials_refused"


async def test_a_token_of_a_client_has_the_client_as_its_user_where_that_is_configured(
    provider: tuple[str, Ask],
) -> None:
    import httpx

    issuer, _ = provider
    grant = {"grant_type": "client_credentials", "resource": "urn:api", "scope": "read"}
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{issuer}/token", data=grant | {"client_id": "post", "client_secret": SECRET}
        )
    token = answer.json()["access_token"]
    async with Verifier(accept(issuer)) as verifier:
        assert await outcome(verifier, token) == "invalid_token", "it has no sub"
    mapping = ClaimsMapping(subject=["sub", "client_id"])
    async with Verifier(accept(issuer, claims=mapping)) as verifier:
        assert await outcome(verifier, token) == "post"
