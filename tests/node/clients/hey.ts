import { createClient } from "./hey/client/index.js";
import { getMe, login, refreshTokens } from "./hey/sdk.gen.js";

declare const process: { argv: string[] };
const [baseUrl, identifier, password] = process.argv.slice(2) as [string, string, string];
const client = createClient({ baseUrl });
const refused = await login({ client, body: { identifier, password: "not the password" } });
const opened = await login({ client, body: { identifier, password } });
if (!opened.data) throw new Error(JSON.stringify(opened.error));
const refreshed = await refreshTokens({
  client,
  body: { grant_type: "refresh_token", refresh_token: opened.data.refresh_token },
});
if (!refreshed.data) throw new Error(JSON.stringify(refreshed.error));
const me = await getMe({ client, auth: refreshed.data.access_token });
if (!me.data) throw new Error(JSON.stringify(me.error));
const refusal = refused.error;
const code = refusal && "error" in refusal ? refusal.error : undefined;
console.log(JSON.stringify({ refused: code, username: me.data.username }));
