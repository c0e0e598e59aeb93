// @ts-check
/**
 * Recovery by users who lost every second factor, for a client of `authkit.js`. ES2022, no dependency.
 * `recovery.d.ts` describes every name for users.
 */

/** @param {Record<string, any> | null} found @returns {any} */
function stateOf(found) {
  if (!found) return null;
  const { started_at: startedAt, completes_at: completesAt, expires_at: expiresAt, ready } = found;
  return { startedAt: new Date(startedAt), completesAt: new Date(completesAt), expiresAt: new Date(expiresAt), ready };
}

/** @param {import("./authkit.js").Client} client @returns {import("./recovery.js").Recovery} */
export function recoveryOf(client) {
  return {
    start: async ({ userId, challenge }) =>
      stateOf(await client.post("/auth/recovery/start", { userId, challenge })),
    complete: ({ userId, challenge }) => client.openSession("/auth/recovery/complete", { userId, challenge }),
    async cancelByLink() {
      const token = new URLSearchParams(location.hash.slice(1)).get("token");
      if (!token) return false;
      await client.post("/auth/recovery/cancel", { token });
      history.replaceState(history.state, "", location.pathname + location.search);
      return true;
    },
    current: async () => stateOf((await client.request("GET", "/auth/user/recovery")).recovery),
    async cancel() {
      await client.request("DELETE", "/auth/user/recovery");
    },
  };
}
