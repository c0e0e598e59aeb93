// A certified client with a DPoP key and a token that is bound to it. Arguments: the issuer, the API,
// the algorithm of its key.
// Each line is a request in JSON: method, url; other: with the proof of another key; again: the headers of
// the request before, once more. The answer is the status, the challenge and the requests that it took.
import { createInterface } from 'node:readline';
import * as oauth from 'oauth4webapi';

const [issuer, resource, algorithm] = process.argv.slice(1);
const http = { [oauth.allowInsecureRequests]: true };
const place = new URL(issuer);
const server = await oauth.processDiscoveryResponse(place, await oauth.discoveryRequest(place, http));
const client = { client_id: 'bound' };
const keyed = async () => oauth.DPoP(client, await oauth.generateKeyPair(algorithm));
const own = await keyed();
const granted = await oauth.processClientCredentialsResponse(server, client, await oauth.clientCredentialsGrantRequest(
  server, client, oauth.ClientSecretPost('secret of a service'), { resource, scope: 'orders:read' },
  { DPoP: own, ...http },
));

let sent = [];
const recorded = (url, options) => { sent.push([url, options]); return fetch(url, options); };
const ask = async ({ method, url }, DPoP, retry = true) => {
  try {
    const options = { DPoP, [oauth.customFetch]: recorded, ...http };
    return await oauth.protectedResourceRequest(granted.access_token, method, new URL(url), undefined, null, options);
  } catch (error) {
    if (retry && oauth.isDPoPNonceError(error)) return ask({ method, url }, DPoP, false);
    if (error instanceof oauth.WWWAuthenticateChallengeError) return error.response;
    throw error;
  }
};
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const repeated = sent.at(-1);
  sent = [];
  const answer = request.again ? await fetch(...repeated) : await ask(request, request.other ? await keyed() : own);
  const challenge = answer.headers.get('www-authenticate');
  console.log(JSON.stringify({ status: answer.status, challenge, requests: sent.length, token: granted.access_token }));
}
