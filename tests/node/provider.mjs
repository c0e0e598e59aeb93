// A certified OpenID Connect provider with two people, as its documentation sets one up.
// Arguments: port, the redirect URI of our client, the client's secret.
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, redirectUri, secret] = process.argv.slice(1);
const key = (type, options, more) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), ...more,
});
const client = (id, more) => ({
  client_id: id, client_secret: secret, redirect_uris: [redirectUri], ...more,
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client('basic', { token_endpoint_auth_method: 'client_secret_basic' }),
    client('post', {
      token_endpoint_auth_method: 'client_secret_post', id_token_signed_response_alg: 'ES256',
      require_auth_time: true,
    }),
  ],
  jwks: {
    keys: [
      key('rsa', { modulusLength: 2048 }, { kid: 'rsa', use: 'sig', alg: 'RS256' }),
      key('ec', { namedCurve: 'P-256' }, { kid: 'ec', use: 'sig', alg: 'ES256' }),
    ],
  },
  pkce: { required: () => true },
  conformIdTokenClaims: false,
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
  cookies: { keys: ['not secret'] },
  findAccount: (context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id, email: `${id}@example.test`, email_verified: id !== 'eve', preferred_username: `${id}_l`,
    }),
  }),
});
provider.on('server_error', (context, error) => console.error(error));
process.stdin.resume().on('end', () => process.exit());
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
