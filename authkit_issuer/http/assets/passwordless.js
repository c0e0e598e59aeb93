// @ts-check
/**
 * Sign-in by a message in the browser, for a client of `authkit.js`. ES2022, no dependency.
 * `passwordless.d.ts` describes every name for users.
 *
 * @typedef {{ id: string, ends: number }} Flow
 */

const KEPT = "authkit passwordless"; // in localStorage: the link of a mail opens another tab of this browser

/** The flow of this tab, for browsers that keep nothing. @type {Flow | null} */
let here = null;

/** Keeps the id of a sign-in that begins, which belongs to this browser alone. @param {Flow | null} flow */
function keep(flow) {
  here = flow;
  try {
    if (flow) localStorage.setItem(KEPT, JSON.stringify(flow));
    else localStorage.removeItem(KEPT);
  } catch {
    // The tab knows it.
  }
}

/** @returns {string | undefined} */
function kept() {
  let found = here;
  try {
    found = JSON.parse(localStorage.getItem(KEPT) ?? "null") ?? here;
  } catch {
    // As the tab knows it.
  }
  return found && found.ends > Date.now() ? found.id : undefined;
}

/** @param {import("./authkit.js").Client} client @returns {import("./passwordless.js").Passwordless} */
export function passwordlessOf(client) {
  /** @param {object} proof */
  async function enter(proof) {
    const outcome = await client.openSession("/auth/passwordless/confirm", { flowId: kept(), ...proof });
    keep(null);
    return outcome;
  }

  return {
    async start(who) {
      const { flow_id: id, expires_in: expiresIn } = await client.post("/auth/passwordless/start", who);
      keep({ id, ends: Date.now() + expiresIn * 1000 });
      return { expiresIn };
    },
    confirm: (code) => enter({ code }),
    async completeLink() {
      const token = new URLSearchParams(location.hash.slice(1)).get("token");
      if (!token) return null;
      history.replaceState(history.state, "", location.pathname + location.search); // a token works once
      return enter({ token });
    },
  };
}
