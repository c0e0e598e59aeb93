import createClient from "openapi-fetch";
import type { paths, components } from "./schema.js";

declare const process: { argv: string[] };
type Refusal = components["schemas"]["Refusal"] | components["schemas"]["TwoFactorRequiredRefusal"];
const [base, identifier, password] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: base });
const refused = await client.POST("/auth/password/login", { body: { identifier, password: "not the password" } });
const refusal: Refusal | undefined = refused.error;
const login = await client.POST("/auth/password/login", { body: { identifier, password } });
if (!login.data) throw new Error(login.error.error);
const refreshed = await client.POST("/auth/token", {
  body: { grant_type: "refresh_token", refresh_token: login.data.refresh_token },
  headers: { "Content-Type": "application/x-www-form-urlencoded" },
});
if (!refreshed.data) throw new Error(JSON.stringify(refreshed.error));
const me = await client.GET("/auth/user/me", {
  headers: { Authorization: `Bearer ${refreshed.data.access_token}` },
});
if (!me.data) throw new Error(JSON.stringify(me.error));
console.log(JSON.stringify({ refused: refusal?.error, username: me.data.username }));
