// @ts-check
/**
 * Passkeys in the browser, for a client of `authkit.js`. ES2022, no dependency.
 * `passkeys.d.ts` describes every name for users.
 *
 * @typedef {Record<string, any>} Json
 */

const CHALLENGE_LIFE = 240_000; // a form that waits longer asks anew: the issuer keeps a challenge for five minutes

export class PasskeyError extends Error {
  /** @param {string} code @param {string} message @param {unknown} [cause] */
  constructor(code, message, cause) {
    super(message, { cause });
    this.name = "PasskeyError";
    this.code = code;
  }
}

/** Asks an authenticator. @param {"create" | "get"} method @param {Json} options @param {Json} [more]
 * @returns {Promise<Json>} */
async function authenticator(method, options, more) {
  const browser = /** @type {any} */ (globalThis.PublicKeyCredential);
  if (!browser?.parseRequestOptionsFromJSON) {
    throw new PasskeyError("passkeys_unsupported", "This browser has no passkeys, or the page is not on https.");
  }
  const read = method === "create" ? browser.parseCreationOptionsFromJSON : browser.parseRequestOptionsFromJSON;
  const request = { publicKey: read.call(browser, options), ...more };
  const container = /** @type {any} */ (navigator.credentials);
  const found = await container[method](request).catch((/** @type {Error} */ cause) => {
    throw new PasskeyError("passkey_not_used", `No passkey was used: ${cause.message}`, cause);
  });
  return found.toJSON();
}

/** Keeps the browser's list of passkeys in step, in browsers that can. @param {string} what @param {Json} told */
function signal(what, told) {
  /** @type {any} */ (globalThis.PublicKeyCredential)?.[`signal${what}`]?.(told).catch(() => {});
}

/** @param {import("./authkit.js").Client} client @returns {import("./passkeys.js").Passkeys} */
export function passkeysOf(client) {
  /** @param {Json} options @param {boolean} autofill @param {AbortSignal} [stop] @returns {Promise<Json | null>} */
  async function waited(options, autofill, stop) {
    if (!autofill) return authenticator("get", options, { signal: stop });
    const late = AbortSignal.timeout(CHALLENGE_LIFE), either = stop ? AbortSignal.any([stop, late]) : late;
    try {
      return await authenticator("get", options, { mediation: "conditional", signal: either });
    } catch (error) {
      if (late.aborted && !stop?.aborted) return null;
      throw error;
    }
  }

  return {
    async signIn({ org, autofill = false, signal: stop } = {}) {
      for (;;) {
        const { options } = await client.post("/auth/passkeys/login/begin");
        const credential = await waited(options, autofill, stop);
        if (!credential) continue;
        try {
          return await client.openSession("/auth/passkeys/login/finish", { credential, org });
        } catch (error) {
          const unknown = /** @type {any} */ (error).code === "passkey_unknown";
          if (unknown) signal("UnknownCredential", { rpId: options.rpId, credentialId: credential.id });
          throw error;
        }
      }
    },
    async completeSecondFactor({ userId, challenge }, { rememberDevice } = {}) {
      const { options } = await client.post("/auth/2fa/passkey/begin", { userId, challenge });
      const credential = await authenticator("get", options);
      return client.openSession("/auth/2fa/passkey/finish", { userId, challenge, credential, rememberDevice });
    },
    async add({ name, automatic = false } = {}) {
      const begun = await client.request("POST", "/auth/passkeys/register/begin", { conditional: automatic });
      const credential = await authenticator("create", begun.options, automatic ? { mediation: begun.mediation } : {});
      return client.request("POST", "/auth/passkeys/register/finish", { credential, name });
    },
    async list() {
      const { data, rp_id: rpId, user_handle: userId, ...more } = await client.request("GET", "/auth/passkeys");
      if (userId) {
        signal("AllAcceptedCredentials", { rpId, userId, allAcceptedCredentialIds: more.accepted_credential_ids });
        signal("CurrentUserDetails", { rpId, userId, name: more.name, displayName: more.display_name });
      }
      return data;
    },
    async stepUp() {
      const { options } = await client.request("POST", "/auth/step-up/passkey/begin");
      await client.stepUp({ credential: await authenticator("get", options) });
    },
  };
}
