// A certified OpenID Connect provider whose access tokens are JWTs for one API, or for each algorithm one.
// Arguments: port, the redirect URI of a public client in the browser.
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(1);
const key = (alg, type, options) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), kid: alg, use: 'sig', alg,
});
const service = (id, more) => ({
  client_id: id, client_secret: 'secret of a service', redirect_uris: [], response_types: [],
  grant_types: ['client_credentials'], token_endpoint_auth_method: 'client_secret_post', ...more,
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    service('service'),
    service('bound', { dpop_bound_access_tokens: true }),
    {
      client_id: 'docs', application_type: 'native', token_endpoint_auth_method: 'none',
      redirect_uris: [redirectUri],
    },
  ],
  jwks: {
    keys: [
      key('RS256', 'rsa', { modulusLength: 2048 }), key('ES256', 'ec', { namedCurve: 'P-256' }),
      key('EdDSA', 'ed25519', {}),
    ],
  },
  scopes: ['orders:read', 'orders:write'],
  features: {
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // https://api.example.test/ES256 has its tokens signed with ES256.
      getResourceServerInfo: (context, resource) => ({
        scope: 'orders:read orders:write', accessTokenFormat: 'jwt', accessTokenTTL: 300,
        jwt: { sign: { alg: new URL(resource).pathname.slice(1) } },
      }),
    },
  },
  clientBasedCORS: () => true,
  cookies: { keys: ['not secret'] },
});
provider.on('server_error', (context, error) => console.error(error));
process.stdin.resume().on('end', () => process.exit());
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
